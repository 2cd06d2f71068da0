//! The runtime's end of a connection: a transport like any other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::Sink;
use hyperty_protostub::{ConnectError, Connector, Incoming, Outgoing, TransportError};
use tokio::time::Sleep;

use super::Wire;
use super::pipe::Item;
use super::wire::Connection;
use crate::sim::hosts::NodeHost;
use crate::sim::trace::Direction;

/// How often a silent node is asked whether it is there, as over a WebSocket.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Connects a runtime to a node of the simulation.
pub(crate) struct SimConnector {
    pub(crate) wire: Arc<Wire>,
    pub(crate) node: Arc<NodeHost>,
}

impl Connector for SimConnector {
    fn connect(&self) -> BoxFuture<'_, Result<hyperty_protostub::Connection, ConnectError>> {
        Box::pin(async {
            let away = |why: &str| ConnectError::Unreachable(why.to_owned());
            self.wire.reach().await.map_err(|()| away("the link is cut"))?;
            self.node.powered().await;
            let connection = self.wire.connect();
            self.node.accept(&connection).map_err(|why| away(&why))?;
            let end = Arc::new(End(connection));
            Ok(hyperty_protostub::Connection {
                outgoing: Box::pin(SimSink(Arc::clone(&end))),
                incoming: Box::pin(SimStream { end, timer: Box::pin(tokio::time::sleep(Duration::ZERO)) }),
                keep_alive: Some(PING_INTERVAL),
            })
        })
    }
}

/// What both halves hold. Dropping the last is the end of the connection.
struct End(Arc<Connection>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.hang_up(Direction::Up, Direction::Down);
    }
}

struct SimSink(Arc<End>);

impl Sink<Outgoing> for SimSink {
    type Error = TransportError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.0.poll_room(Direction::Up, cx).map_err(|()| TransportError::Closed)
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> Result<(), TransportError> {
        let item = match item {
            Outgoing::Frame(frame) => Item::Frame(frame),
            Outgoing::Ping => Item::Ping,
        };
        self.0.0.push(Direction::Up, item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0.0.push(Direction::Up, Item::End);
        Poll::Ready(Ok(()))
    }
}

struct SimStream {
    end: Arc<End>,
    timer: Pin<Box<Sleep>>,
}

impl Stream for SimStream {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let connection = Arc::clone(&self.end.0);
        let item = ready!(connection.poll_item(Direction::Down, cx, self.timer.as_mut()));
        Poll::Ready(match item {
            Some(Item::Frame(frame)) => Some(Ok(Incoming::Frame(frame))),
            Some(Item::Ping) => {
                connection.push(Direction::Up, Item::Pong);
                Some(Ok(Incoming::Alive))
            }
            Some(Item::Pong) => Some(Ok(Incoming::Alive)),
            Some(Item::End) => None,
            None => Some(Err(TransportError::Closed)),
        })
    }
}
