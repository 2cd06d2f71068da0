//! The way of the runtime under test to its node: through the boundary, and only while it is not cut.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use hyperty_protostub::{ChannelConnector, ConnectError, Connection, Connector, Incoming, Outgoing};
use tokio::sync::{mpsc, watch};

use super::boundary::{Boundary, Place, Way};
use super::scene::UNDER_WAY_MAX;
use crate::protocol::node::NodeUnderTest;

/// The way of the runtime under test to its node: through the boundary, and only while it is not cut.
pub(super) fn through(
    boundary: &Boundary,
    connector: &Arc<dyn Connector>,
    connected: &watch::Sender<bool>,
) -> impl Connector + use<> {
    let (boundary, connector, connected) = (boundary.clone(), Arc::clone(connector), connected.subscribe());
    ChannelConnector::new(move || {
        if !*connected.borrow() {
            return Err(ConnectError::Unreachable("the connection is cut".to_owned()));
        }
        let (to_us, from_runtime) = mpsc::channel(UNDER_WAY_MAX);
        let (to_runtime, from_us) = mpsc::channel(UNDER_WAY_MAX);
        let carried = carry(boundary.clone(), Arc::clone(&connector), from_runtime, to_runtime);
        let mut connected = connected.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = connected.wait_for(|connected| !connected) => {}
                () = carried => {}
            }
        });
        Ok((to_us, from_us))
    })
}

async fn carry(
    boundary: Boundary,
    connector: Arc<dyn Connector>,
    mut from_runtime: mpsc::Receiver<Bytes>,
    to_runtime: mpsc::Sender<Bytes>,
) {
    let Ok(connection) = connector.connect().await else { return };
    let (mut outgoing, mut incoming) = (connection.outgoing, connection.incoming);
    let (to_node, mut for_node) = mpsc::channel(UNDER_WAY_MAX);
    // A full queue would be a defect of the suite's own; what is lost in it is missed by the case.
    boundary.connect(Place::Node, Way::Out, move |frame| drop(to_node.try_send(frame)));
    // Not kept alive by the boundary: when this ends, the runtime sees that its connection is lost.
    let weak = to_runtime.downgrade();
    boundary.connect(Place::Node, Way::In, move |frame| {
        if let Some(to_runtime) = weak.upgrade() {
            let _ = to_runtime.try_send(frame);
        }
    });
    loop {
        tokio::select! {
            biased;
            frame = for_node.recv() => {
                let Some(frame) = frame else { break };
                if outgoing.send(Outgoing::Frame(frame)).await.is_err() { break }
            }
            frame = from_runtime.recv() => match frame {
                Some(frame) => boundary.cross(Place::Node, Way::Out, frame),
                None => break,
            },
            frame = incoming.next() => match frame {
                Some(Ok(Incoming::Frame(frame))) => boundary.cross(Place::Node, Way::In, frame),
                Some(Ok(Incoming::Alive)) => {}
                Some(Err(_)) | None => break,
            },
            () = to_runtime.closed() => break,
        }
    }
    // What is left for the node leaves before the connection does.
    while let Ok(frame) = for_node.try_recv() {
        if outgoing.send(Outgoing::Frame(frame)).await.is_err() {
            break;
        }
    }
}

/// The way to a node that is itself something under test.
pub fn way_to(node: Arc<dyn NodeUnderTest>) -> Arc<dyn Connector> {
    Arc::new(WayTo(node))
}

struct WayTo(Arc<dyn NodeUnderTest>);

impl Connector for WayTo {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        self.0.connect()
    }
}
