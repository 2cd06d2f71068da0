use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyperty_model::Position;
use tokio::sync::oneshot;

use super::WriteError;

/// A change, made and under way since the call that returned this.
///
/// Awaited it gives the object's position once the change is committed and published: durable, if the object is
/// stored. Dropping it cancels nothing, so many changes can be in flight and only the last be awaited. It has no timer:
/// while the store hangs, it waits, for nobody knows whether the change will be kept;
/// [`Reporter::lag`](crate::Reporter::lag) shows that.
#[derive(Debug)]
pub struct Commit {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waiting(oneshot::Receiver<Result<Position, WriteError>>),
    Known(Result<Position, WriteError>),
}

impl Commit {
    pub(super) fn waiting(answer: oneshot::Receiver<Result<Position, WriteError>>) -> Commit {
        Commit { stage: Stage::Waiting(answer) }
    }

    pub(super) fn known(result: Result<Position, WriteError>) -> Commit {
        Commit { stage: Stage::Known(result) }
    }
}

impl Future for Commit {
    type Output = Result<Position, WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.stage {
            Stage::Known(result) => Poll::Ready(result.clone()),
            Stage::Waiting(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(WriteError::Stopped)))
            }
        }
    }
}
