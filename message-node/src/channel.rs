//! Connections inside one process: two bounded channels of frames.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::link::Link;
use crate::node::{AttachError, MessageNode};

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

/// Ends when the connection is to be closed, or with the client's; a node that stops hands over what is ready first.
async fn send(link: &Link, frames: mpsc::Sender<Bytes>) {
    let mut stopping = pin!(link.node_stopping());
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            ready = link.next_batch(&mut batch) => if ready.is_err() { return },
            _ = &mut stopping => return,
        }
        for item in batch.drain(..) {
            if frames.send(item.bytes().clone()).await.is_err() {
                return;
            }
        }
    }
}
