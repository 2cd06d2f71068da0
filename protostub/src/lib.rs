//! Keeps a runtime in session with a message node, whatever happens to the connection.
//!
//! Vocabulary:
//! - A *session* is what a node knows of one runtime: its routes. It outlives a connection and is taken up again by a
//!   token; if the node has forgotten it, a fresh one is opened and told all routes before anything else.
//! - A [`SessionStub`] is the session as the bus sees it: a stub that takes messages and never blocks. Its
//!   [`SessionDriver`] is the one future that does the work; who runs it decides how long the session lives.
//! - A [`Connector`] makes the connections: [`WebSocketConnector`] to a node elsewhere, [`ChannelConnector`] to one in
//!   this process, or one of your own: an ordinary `Sink` and an ordinary `Stream` of frames.
//!
//! What is sent while there is no connection waits in a bounded queue. When that is full, waiting updates of one object
//! collapse into the newest, and what may not be dropped is refused. What a connection had taken when it broke may be
//! lost: that shows as a gap, and is repaired by whoever sees it. What it had not taken is not lost.
//!
//! ```
//! use std::sync::Arc;
//!
//! use hyperty_message_bus::{BusConfig, DomainRoutes, MessageBus};
//! use hyperty_model::{Ids, RuntimeUrl, SystemIds};
//! use hyperty_protostub::{ChannelConnector, SessionStub, StubConfig};
//! # fn node() -> hyperty_protostub::Channel {
//! #     let (to_node, mut from_runtime) = tokio::sync::mpsc::channel(16);
//! #     let (to_runtime, from_node) = tokio::sync::mpsc::channel(16);
//! #     tokio::spawn(async move {
//! #         while let Some(frame) = from_runtime.recv().await {
//! #             let limits = hyperty_model::message::Limits::default();
//! #             for message in hyperty_model::Message::from_frame(frame, &limits).unwrap() {
//! #                 let answer = message.reply(hyperty_model::message::ResponseBody::ok());
//! #                 let close = message.kind() == hyperty_model::MessageType::Close;
//! #                 if close { return } else { to_runtime.send(answer.wire().clone()).await.unwrap() }
//! #             }
//! #         }
//! #     });
//! #     (to_node, from_node)
//! # }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let ids: Arc<dyn Ids> = Arc::new(SystemIds);
//!     let bus = MessageBus::new(BusConfig::default(), &*ids);
//!     let runtime = RuntimeUrl::parse("hyperty-runtime://example.com/alice-laptop")?;
//!     let routes = Arc::new(DomainRoutes::new(bus.clone(), runtime.clone()));
//!
//!     // `WebSocketConnector::new("ws://127.0.0.1:9090/ws")` for a node in another process.
//!     let connector = Arc::new(ChannelConnector::new(|| Ok(node())));
//!     let config = StubConfig::new(runtime, "example.com", &*ids)?;
//!     let (stub, driver) = SessionStub::new(config, connector, bus.clone(), routes, ids);
//!     bus.add_stub(stub.clone());
//!     tokio::spawn(driver.run());
//!
//!     stub.live().await?;
//!     // From here on the bus reaches the node, and what the node sends arrives at the bus.
//!     stub.close().await;
//!     Ok(())
//! }
//! ```

mod channel;
mod config;
mod driver;
mod error;
mod handshake;
mod pump;
mod renewal;
mod stub;
mod token;
mod transport;
#[cfg(feature = "websocket")]
mod websocket;

pub use channel::{Channel, ChannelConnector};
/// The pace of attempts.
pub use hyperty_message_bus::Retry;

pub use config::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, CONNECT_TIMEOUT, StubConfig};
pub use driver::SessionDriver;
pub use error::{SessionError, StubClosed};
pub use stub::{SessionStub, StubCounters};
pub use token::{FixedToken, TokenError, TokenFile, TokenSource};
pub use transport::{
    ConnectError, Connection, Connector, FrameSink, FrameStream, Incoming, Outgoing, SILENT_INTERVALS_MAX,
    STUCK_INTERVALS_MAX, TransportError,
};
#[cfg(feature = "websocket")]
pub use websocket::{PING_INTERVAL, TlsClient, TlsClientError, WebSocketConnector};
