use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::sync::oneshot;

use super::ChildError;

/// An operation on a child, under way since the call that made it.
///
/// Awaited it says whether the Reporter's side took it. Dropping it cancels nothing.
pub struct ChildCommit<T> {
    answer: BoxFuture<'static, Result<T, ChildError>>,
}

impl<T: Send + 'static> ChildCommit<T> {
    /// Waits so long for the answer, which is worth `value`.
    pub(super) fn waiting(
        answer: oneshot::Receiver<Result<(), ChildError>>,
        patience: Duration,
        value: T,
    ) -> ChildCommit<T> {
        let answer = async move {
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(answer)) => answer.map(|()| value),
                Ok(Err(_)) => Err(ChildError::Stopped),
                Err(_) => Err(ChildError::Unanswered),
            }
        };
        ChildCommit { answer: Box::pin(answer) }
    }

    /// Known already.
    pub(super) fn ready(result: Result<T, ChildError>) -> ChildCommit<T> {
        ChildCommit { answer: Box::pin(std::future::ready(result)) }
    }
}

impl<T> Future for ChildCommit<T> {
    type Output = Result<T, ChildError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for ChildCommit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildCommit").finish_non_exhaustive()
    }
}
