//! The suite for message buses: whatever takes messages and hands them to those who listen (protocol 2.5, 2.6, 4.1).
//!
//! An implementation is presented as a [`Bus`]. What it has beside listeners and requests it declares by returning
//! [`Connections`] or [`Sequencing`]. [`ours`] presents the buses of this workspace, and whatever is wrapped
//! around them.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::suites::bus;
//! use hyperty_message_bus::{BusConfig, MessageBus};
//! use hyperty_model::SeededIds;
//!
//! let fresh = || Arc::new(MessageBus::new(BusConfig::default(), &SeededIds::new(1))) as Arc<dyn bus::Bus>;
//! bus::run(&fresh).assert_passed();
//! ```

mod fixed;
pub mod ours;
mod recorder;
mod requests;
mod routing;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{Protostub, RouteResolver};
use hyperty_model::{Message, Url};

use super::{Suite, Verdict};

/// What is called with a message, on the thread that posts it.
pub type Handler = Box<dyn Fn(&Message) + Send + Sync>;

/// Keeps what was added to a bus; it ends when this is dropped.
pub type Handle = Box<dyn Any + Send>;

/// What every bus does.
pub trait Bus: Send + Sync {
    /// The address that requests are sent from: the bus hands their answers to who waits.
    fn address(&self) -> Url;

    /// Delivers a message. Everybody who listens to `message.to()` has been called when this returns.
    fn post(&self, message: Message);

    /// Calls `handler` with each message to `url`, after those who listen there already.
    fn listen(&self, url: &Url, handler: Handler) -> Handle;

    /// Posts a request when first polled, calls `progress` with each provisional answer, and gives the final one; a
    /// synthetic 408 once `wait` is over without any answer.
    fn request(&self, request: Message, wait: Duration, progress: Handler) -> BoxFuture<'static, Message>;

    /// The ways out of the process; `None` for a bus without.
    fn connections(&self) -> Option<&dyn Connections> {
        None
    }

    /// Who stands in front of the listeners; `None` for a bus without.
    fn sequencing(&self) -> Option<&dyn Sequencing> {
        None
    }
}

/// Stubs, and what leaves through them.
pub trait Connections {
    /// Adds a stub.
    fn attach(&self, stub: Arc<dyn Protostub>);

    /// Delivers what came in through a stub.
    fn receive(&self, stub: &Url, message: Message);

    /// Sends a copy of what is delivered to `url` through `stub`, too.
    fn publish_route(&self, url: &Url, stub: &Url) -> Handle;

    /// Sets who is asked for addresses that nobody listens to.
    fn resolve_by(&self, resolver: Arc<dyn RouteResolver>);
}

/// Sequencers.
pub trait Sequencing {
    /// Makes `handler` the only receiver of what comes for `url`; `None` if there is one already.
    fn sequence(&self, url: &Url, handler: Handler) -> Option<Handle>;

    /// Hands on what a sequencer lets through, to the listeners and publish routes of its address.
    fn release(&self, message: &Message);
}

/// Makes a bus that knows nobody.
pub type Fresh<'a> = &'a dyn Fn() -> Arc<dyn Bus>;

/// Puts a bus through the suite.
///
/// | rule | what is looked at |
/// |---|---|
/// | INV-MSG-1 | a request to nobody is answered once, 404; of several final answers one is taken |
/// | INV-MSG-2 | ids are equal as integer and as text, and come back as they were |
/// | INV-MSG-3 | who waits is released: by a final answer, or by 408 when its time is over |
/// | INV-MSG-4 | nothing leaves through a stub that it has come through, nor after 16 hops |
/// | INV-MSG-5 | members that the bus does not know are relayed |
/// | 2.2 | `auth` counts only within a runtime |
/// | 2.5 | only who was asked answers; a provisional answer starts the time anew |
/// | 4.1 | who listens is called once per message, in the order of registration, whatever the others do |
/// | 4.2 | each publish route sends one copy |
pub fn run(fresh: Fresh<'_>) -> Verdict {
    let mut suite = Suite::new("bus");
    fixed::run(&mut suite, fresh);
    requests::run(&mut suite, fresh);
    routing::run(&mut suite, fresh);
    suite.finish()
}
