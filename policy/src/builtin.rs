use futures_core::future::BoxFuture;

use crate::{Decision, Point, Policy, PolicyRequest};

/// What a refusal by [`Closed`] says; the text that the protocol gives to denials (4.3).
pub const BLOCKED: &str = "Blocked by policy";

/// Adds no restriction of its own: what the protocol's rules allow goes ahead, and the Reporter's application
/// decides about every observer and reader that it has not authorised before.
///
/// It therefore has no opinion at [`Point::Subscribe`] and [`Point::Read`]; permitting there would hand the data
/// to whoever asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissive;

impl Policy for Permissive {
    fn decide<'a>(&'a self, request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        let decision = match request.point {
            Point::Subscribe | Point::Read => Decision::NotApplicable,
            _ => Decision::Permit,
        };
        Box::pin(std::future::ready(decision))
    }
}

/// Denies everything, whoever asks.
///
/// For runtimes that must do nothing until a real policy is set, and for tests of refusals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed;

impl Policy for Closed {
    fn decide<'a>(&'a self, _request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Deny(BLOCKED.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::Url;

    use super::*;

    async fn decide(policy: &dyn Policy, point: Point) -> Decision {
        policy.decide(&PolicyRequest::new(point, Url::parse("hyperty://example.com/6f1c").unwrap())).await
    }

    #[tokio::test]
    async fn permissive_refuses_nothing_and_leaves_observers_to_the_application() {
        for point in Point::ALL {
            let decision = decide(&Permissive, point).await;
            assert_eq!(decision.refusal(), None, "{}", point.as_str());
            let asks_the_application = matches!(point, Point::Subscribe | Point::Read);
            assert_eq!(decision.is_permit(), !asks_the_application, "{}", point.as_str());
        }
    }

    #[tokio::test]
    async fn closed_refuses_everything() {
        for point in Point::ALL {
            assert_eq!(decide(&Closed, point).await.refusal(), Some(BLOCKED), "{}", point.as_str());
        }
    }
}
