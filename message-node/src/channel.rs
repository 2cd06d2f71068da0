//! Connections inside one process: two bounded channels of frames.

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
                () = link.node_stopping() => {}
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

async fn receive(link: &Link, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        link.receive(frame);
    }
}

async fn send(link: &Link, frames: mpsc::Sender<Bytes>) {
    let mut batch = Vec::new();
    while link.next_batch(&mut batch).await.is_ok() {
        for item in batch.drain(..) {
            if frames.send(item.bytes().clone()).await.is_err() {
                return;
            }
        }
    }
}
