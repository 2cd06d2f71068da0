//! Routes messages between addresses in one process, and matches responses to requests.
//!
//! Vocabulary:
//! - An *address* is a URL. Any number of *listeners* may have one; the bus calls them in order of registration.
//! - A *sequencer* stands alone in front of an address: it sees what comes and *releases* what the listeners get.
//! - A *MiniBus* is the bus of one hyperty. What is posted there always leaves for the runtime's bus, which hands in
//!   what is for the hyperty and what is *forwarded* to it.
//! - A *stub* is the end of a connection to a message node or another runtime. A *publish route* sends a copy of what
//!   is delivered to an address through a stub; a *resolver* says which stub leads to addresses without listeners.
//! - A *provisional response* (100 to 199) says "still working"; exactly one *final response* ends a request.
//! - *Interceptors* see each message once, when it enters.
//! - *Domain routes* are what this runtime wishes message nodes to send its way.
//!
//! A message is delivered by the thread that posts it, before `post` returns: one look-up and a call per listener, no
//! queue and no task. Handlers therefore must be quick and never block; they may post, listen and drop listeners.
//! Messages that one thread posts to one address arrive in that order. Never post while holding a lock that a handler
//! takes.
//!
//! ```
//! use hyperty_message_bus::{BusConfig, MessageBus};
//! use hyperty_model::message::ResponseBody;
//! use hyperty_model::{Body, MessageType, StatusCode, SystemIds, Url};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let bus = MessageBus::new(BusConfig::default(), &SystemIds);
//!     let (lamp, panel) = (Url::parse("hyperty://home/lamp")?, Url::parse("hyperty://home/panel")?);
//!
//!     // A component listens on its address and answers requests.
//!     let answering = bus.clone();
//!     let lamp_listener = bus.listen(&lamp, move |request| answering.post(request.reply(ResponseBody::ok())))?;
//!
//!     // Another sends one and waits. The answer would be a 408 after 15 s of silence.
//!     let switch_on = bus.new_message(MessageType::Execute, &panel, &lamp, Body::empty());
//!     assert_eq!(bus.request(switch_on).await.code(), StatusCode::OK);
//!
//!     // Nobody listens there any more: the bus itself answers.
//!     drop(lamp_listener);
//!     let again = bus.new_message(MessageType::Execute, &panel, &lamp, Body::empty());
//!     assert_eq!(bus.request(again).await.code(), StatusCode::NOT_FOUND);
//!     Ok(())
//! }
//! ```

mod answers;
mod bus;
mod config;
mod counters;
mod dispatch;
mod domain_routes;
mod error;
mod interceptor;
mod isolate;
mod listeners;
mod minibus;
pub mod pair;
mod request;
mod requests;
mod resolver;
mod retry;
mod stub;
mod voice;
mod watch;

pub use answers::{LIMIT, NO_ROUTE, is_publish_address};
pub use bus::MessageBus;
pub use config::{ADDRESSES_MAX, BusConfig, LISTENERS_PER_ADDRESS_MAX, PENDING_MAX, RESPONSE_TIMEOUT};
pub use counters::BusCounters;
pub use domain_routes::{DomainRoutes, RouteError, Wish};
pub use error::BusError;
pub use interceptor::{Direction, Interceptor, Verdict};
pub use listeners::{Listener, PublishRoute};
pub use minibus::MiniBus;
pub use request::Request;
pub use resolver::{Route, RouteResolver};
pub use retry::Retry;
pub use stub::{Protostub, Replay, SendError, StubStatus, publish_status};
pub use watch::ResponseWatch;
