//! Asking a policy, whatever happens in it: who cannot be asked has not said yes (protocol 4.3).

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::{BLOCKED, Decision, Policy, PolicyRequest};

/// What a policy decides. One that panics has denied. How long to wait is the caller's business: a policy may take its
/// time.
pub async fn decide(policy: &dyn Policy, request: &PolicyRequest) -> Decision {
    let mut deciding = pin!(async { policy.decide(request).await });
    let caught =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| deciding.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(decision)) => Poll::Ready(Some(decision)),
            Err(_) => Poll::Ready(None),
        });
    caught.await.unwrap_or_else(|| denied(request, "the policy failed"))
}

/// The same for a policy that decides at once; `None` from one that takes its time, which is then to be asked by
/// [`decide`].
pub fn decide_now(policy: &dyn Policy, request: &PolicyRequest) -> Option<Decision> {
    let poll = || pin!(policy.decide(request)).poll(&mut Context::from_waker(Waker::noop()));
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Pending) => None,
        Ok(Poll::Ready(decision)) => Some(decision),
        Err(_) => Some(denied(request, "the policy failed")),
    }
}

/// The denial in the place of a decision that there is none of, logged with its reason.
pub fn denied(request: &PolicyRequest, why: &str) -> Decision {
    tracing::error!(point = request.point.as_str(), actor = %request.actor, why, "denied");
    Decision::Deny(format!("{BLOCKED}: {why}"))
}

#[cfg(test)]
mod tests {
    use futures_core::future::BoxFuture;
    use hyperty_model::Url;

    use super::*;
    use crate::{Permissive, Point};

    struct Panics;

    impl Policy for Panics {
        fn decide<'a>(&'a self, _request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
            Box::pin(async { panic!("it has a mistake") })
        }
    }

    struct Thinks;

    impl Policy for Thinks {
        fn decide<'a>(&'a self, _request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Decision::Permit
            })
        }
    }

    #[tokio::test]
    async fn a_policy_that_fails_denies_and_one_that_thinks_is_waited_for() {
        let request = PolicyRequest::new(Point::Discover, Url::parse("hyperty://example.com/6f1c").unwrap());
        assert!(decide(&Panics, &request).await.refusal().is_some());
        assert!(decide_now(&Panics, &request).unwrap().refusal().is_some());
        assert_eq!(decide_now(&Thinks, &request), None);
        assert_eq!(decide(&Thinks, &request).await, Decision::Permit);
        assert_eq!(decide_now(&Permissive, &request), Some(Decision::Permit));
    }
}
