//! A transport inside one process: two bounded channels of frames.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::Sink;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendError, TrySendError};

use crate::transport::{ConnectError, Connection, Connector, Incoming, Outgoing, TransportError};

/// What a node hands out to a client in its process: where frames go to the node, and where they come from it.
pub type Channel = (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>);

/// Connects to a message node in the same process.
///
/// ```
/// # use hyperty_protostub::ChannelConnector;
/// # use tokio::sync::mpsc;
/// # fn attach() -> (mpsc::Sender<bytes::Bytes>, mpsc::Receiver<bytes::Bytes>) { (mpsc::channel(1).0, mpsc::channel(1).1) }
/// let connector = ChannelConnector::new(|| Ok(attach()));
/// ```
pub struct ChannelConnector<F>(F);

impl<F: Fn() -> Result<Channel, ConnectError> + Send + Sync> ChannelConnector<F> {
    /// Takes what makes a pair of channels; it is called for every connection.
    pub fn new(attach: F) -> ChannelConnector<F> {
        ChannelConnector(attach)
    }
}

impl<F: Fn() -> Result<Channel, ConnectError> + Send + Sync> Connector for ChannelConnector<F> {
    fn connect(&self) -> BoxFuture<'_, Result<Connection, ConnectError>> {
        let connection = (self.0)().map(|(sender, receiver)| Connection {
            outgoing: Box::pin(ChannelSink(SinkState::Idle(sender))),
            incoming: Box::pin(ChannelStream(receiver)),
            keep_alive: None,
        });
        Box::pin(std::future::ready(connection))
    }
}

type Permit = mpsc::OwnedPermit<Bytes>;
type Reserving = Pin<Box<dyn Future<Output = Result<Permit, SendError<()>>> + Send>>;

/// A channel's sender as a sink. A place is reserved before an item is taken, so that nothing is taken in vain.
struct ChannelSink(SinkState);

enum SinkState {
    Idle(mpsc::Sender<Bytes>),
    Waiting(Reserving),
    Reserved(Permit),
    Closed,
}

impl ChannelSink {
    fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            self.0 = match std::mem::replace(&mut self.0, SinkState::Closed) {
                SinkState::Idle(sender) => match sender.try_reserve_owned() {
                    Ok(permit) => SinkState::Reserved(permit),
                    Err(TrySendError::Full(sender)) => SinkState::Waiting(Box::pin(sender.reserve_owned())),
                    Err(TrySendError::Closed(_)) => return Poll::Ready(Err(TransportError::Closed)),
                },
                SinkState::Waiting(mut reserving) => match reserving.as_mut().poll(cx) {
                    Poll::Ready(Ok(permit)) => SinkState::Reserved(permit),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(TransportError::Closed)),
                    Poll::Pending => {
                        self.0 = SinkState::Waiting(reserving);
                        return Poll::Pending;
                    }
                },
                SinkState::Reserved(permit) => {
                    self.0 = SinkState::Reserved(permit);
                    return Poll::Ready(Ok(()));
                }
                SinkState::Closed => return Poll::Ready(Err(TransportError::Closed)),
            }
        }
    }
}

impl Sink<Outgoing> for ChannelSink {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_reserve(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Outgoing) -> Result<(), TransportError> {
        // A channel reports its end by itself: there is nothing to ask for.
        let Outgoing::Frame(frame) = item else { return Ok(()) };
        match std::mem::replace(&mut self.0, SinkState::Closed) {
            SinkState::Reserved(permit) => {
                self.0 = SinkState::Idle(permit.send(frame));
                Ok(())
            }
            _ => Err(TransportError::Closed),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.0 = SinkState::Closed;
        Poll::Ready(Ok(()))
    }
}

struct ChannelStream(mpsc::Receiver<Bytes>);

impl Stream for ChannelStream {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(self.0.poll_recv(cx));
        Poll::Ready(frame.map(|frame| Ok(Incoming::Frame(frame))))
    }
}
