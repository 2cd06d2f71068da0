//! Connections inside one process: two bounded channels of frames.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::link::Link;
use crate::node::{AttachError, MessageNode};
use crate::outbox::CloseReason;

/// Frames in one channel: enough to keep both sides busy; what waits longer waits in the session's queue.
const CHANNEL_FRAMES: usize = 64;

impl MessageNode {
    /// Connects a client in this process: frames sent by it go to the node, and those received come from it.
    /// Dropping the sender is losing the connection. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`AttachError`] when there is no place for it.
    pub fn channel(&self) -> Result<(mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>), AttachError> {
        let link = self.attach()?;
        let (to_node, from_client) = mpsc::channel(CHANNEL_FRAMES);
        let (to_client, from_node) = mpsc::channel(CHANNEL_FRAMES);
        let open_wait = self.config().timers.open;
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = link.stopped() => {}
                () = cut_off(&link) => {}
                () = receive(&link, from_client) => {}
                () = send(&link, to_client) => {}
                () = unopened(&link, open_wait) => {}
            }
        });
        Ok((to_node, from_node))
    }
}

/// Ends when no session was opened in time.
async fn unopened(link: &Link, wait: Duration) {
    sleep(wait).await;
    if link.has_session() {
        std::future::pending::<()>().await;
    }
}

/// Ends with the client's connection; reads nothing any more once the node drains.
async fn receive(link: &Link, mut frames: mpsc::Receiver<Bytes>) {
    let mut draining = pin!(link.node_draining());
    loop {
        tokio::select! {
            biased;
            () = &mut draining => break,
            frame = frames.recv() => match frame {
                Some(frame) => link.receive(frame),
                None => return,
            }
        }
    }
    // A client that goes is noticed by who sends to it.
    std::future::pending::<()>().await;
}

/// Ends when the connection is to be closed, or with the client's. A node that stops in order hands over what is ready
/// first.
async fn send(link: &Link, frames: mpsc::Sender<Bytes>) {
    let mut stopping = pin!(link.node_stopping());
    let mut batch = Vec::new();
    let mut last = false;
    while !last {
        tokio::select! {
            biased;
            _ = &mut stopping => last = true,
            ready = link.next_batch(&mut batch) => if ready.is_err() { return },
        }
        if last {
            let rest = |cx: &mut Context<'_>| {
                while let Poll::Ready(Ok(())) = link.poll_batch(cx, &mut batch) {}
                Poll::Ready(())
            };
            poll_fn(rest).await;
        }
        for item in batch.drain(..) {
            if frames.send(item.bytes().clone()).await.is_err() {
                return;
            }
        }
    }
}

/// Ends when the node just stops, which is as good as a crash; not when it stops in order.
async fn cut_off(link: &Link) {
    if link.node_stopping().await == CloseReason::Restart {
        std::future::pending::<()>().await;
    }
}
