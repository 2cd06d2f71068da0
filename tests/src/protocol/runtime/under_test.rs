//! What the suite needs of a runtime: a place on its bus for hyperties of the suite's own, and its connection to a
//! message node. Everything else is messages.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyperty_message_bus::{Listener, MessageBus, MiniBus};
use hyperty_model::message::Limits;
use hyperty_model::parts::WHOLE_BYTES_MAX;
use hyperty_model::{HypertyUrl, Message};
use hyperty_protostub::Connector;

/// Takes a frame: one message as JSON text.
pub type TakeFrame = Box<dyn Fn(Bytes) + Send + Sync>;

/// How a runtime under test is to be started.
#[derive(Clone)]
pub struct Start {
    /// Its URL, `hyperty-runtime://<domain>/<id>`.
    pub runtime: String,
    /// The domain that it has a message node for.
    pub domain: String,
    /// The way to that node.
    pub node: Arc<dyn Connector>,
    /// What its session there is opened with, if the node admits by token.
    pub token: Option<String>,
    /// From what everything that is random in it should follow.
    pub seed: u64,
}

/// How a runtime stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As a process that is told to end: it may say goodbye and flush its store.
    Clean,
    /// As a process that is killed: what was not durable is gone.
    Crash,
}

/// Makes runtimes to be tested, each with a store of its own. What a third party implements for its runtime.
pub trait MakeRuntime: Send + Sync {
    /// What it is called in a report.
    fn name(&self) -> &str;

    /// Starts one over an empty store.
    ///
    /// # Errors
    /// Why it cannot be started; that fails the case.
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Box<dyn RuntimeUnderTest>, String>>;

    /// Whether its runtimes can be told whose a hyperty is: [`RuntimeUnderTest::vouch`].
    fn vouches(&self) -> bool {
        false
    }

    /// Whether hyperties of its runtimes can listen outside of data objects (protocol 5.14, `<RuntimeURL>/subscriptions`).
    fn listens(&self) -> bool {
        true
    }
}

/// A running runtime.
pub trait RuntimeUnderTest: Send + Sync {
    /// Gives a hyperty of this address, which the suite plays, a seat on the bus: `receive` is called with every
    /// message that comes for it, and what is given to the returned function is posted in its name. Dropping that
    /// function gives up the seat.
    ///
    /// # Errors
    /// Why there is no seat for it.
    fn attach(&self, hyperty: &str, receive: TakeFrame) -> Result<TakeFrame, String>;

    /// Has the runtime know of which user a hyperty is, until the runtime stops.
    ///
    /// # Errors
    /// Why it does not: not every runtime can be told.
    fn vouch(&self, hyperty: &str, user: &str) -> Result<(), String> {
        Err(format!("this runtime cannot be told that {hyperty} is of {user}"))
    }

    /// Stops, and starts again over what is stored. All seats are gone afterwards.
    ///
    /// # Errors
    /// Why it cannot be started again.
    fn restart(&mut self, ending: Ending) -> BoxFuture<'_, Result<(), String>>;
}

/// [`RuntimeUnderTest::attach`] for runtimes on this project's bus.
///
/// # Errors
/// When the address is none of a hyperty, or taken.
pub fn attach(bus: &MessageBus, hyperty: &str, receive: TakeFrame) -> Result<TakeFrame, String> {
    let url = HypertyUrl::parse(hyperty).map_err(|error| error.to_string())?;
    let minibus = MiniBus::new(bus, url).map_err(|error| error.to_string())?;
    let listener = minibus
        .listen_any(move |message| receive(message.wire().clone()))
        .map_err(|error| error.to_string())?;
    let seat = Seat { minibus, _listener: listener };
    Ok(Box::new(move |frame| seat.post(frame)))
}

struct Seat {
    minibus: MiniBus,
    _listener: Listener,
}

impl Seat {
    fn post(&self, frame: Bytes) {
        // In one process: what is posted at a seat is bounded as an object is, not as a message is.
        let limits = Limits { bytes: 2 * WHOLE_BYTES_MAX, ..Limits::default() };
        match Message::from_frame(frame, &limits) {
            Ok(messages) => messages.into_iter().for_each(|message| self.minibus.post(message)),
            // A bus takes messages, not text: what is none cannot be posted.
            Err(error) => tracing::debug!(%error, "not posted"),
        }
    }
}
