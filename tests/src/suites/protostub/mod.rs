//! The suite for protostubs: whatever carries messages between a bus and a message node or another runtime (protocol
//! 2.6, 5.15, 10.3).
//!
//! The suite plays the far side. An implementation is presented as a [`Subject`], which starts it and hands out both
//! ends: the bus that it serves, and the connections that it makes, as two channels of frames each. [`ours`] presents
//! the session stub over any connector, and the pair of stubs in memory.
//!
//! ```
//! use hyperty_conformance::suites::protostub::{self, ours::SessionOverChannels};
//!
//! protostub::run(&SessionOverChannels::default()).assert_passed();
//! ```

mod carrying;
mod far;
pub mod ours;
mod random;
mod session;
mod waiting;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::{BoxFuture, LocalBoxFuture};
use hyperty_message_bus::{MessageBus, Protostub, Replay};
use tokio::sync::mpsc;

use super::{Checked, Suite, Time, Verdict, block_on};
use far::Far;

/// What a protostub does beside carrying messages.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// It keeps a session with a message node: opens it, takes it up again by its token, replays routes, says goodbye.
    pub sessions: bool,
    /// How many messages may wait while it has no connection; `None` if none do. Few, so that a case can fill it.
    pub queue: Option<usize>,
    /// How long the far side may be silent before its connection counts as lost; `None` if a loss is always reported.
    pub silence: Option<Duration>,
    /// How time passes while it is tried.
    pub time: Time,
}

/// One connection, seen from the far side. Dropping it is losing the connection without notice.
pub struct End {
    /// What the stub sent.
    pub from_stub: mpsc::Receiver<Bytes>,
    /// What the stub is to receive.
    pub to_stub: mpsc::Sender<Bytes>,
    /// Once this is set, nothing is read and nothing answered any more, and nothing fails: half open.
    pub silent: Arc<AtomicBool>,
}

/// A protostub that runs, and both its ends.
pub struct Rig {
    /// The bus that it serves; it was added there.
    pub bus: MessageBus,
    /// The stub.
    pub stub: Arc<dyn Protostub>,
    /// The connections that it makes.
    pub connections: mpsc::UnboundedReceiver<End>,
    /// Ends it in an orderly way; ready when it has ended.
    pub close: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// Whatever must live as long as it runs.
    pub keep: Box<dyn Any>,
}

/// Starts protostubs of one kind.
pub trait Subject: Send + Sync {
    /// What they do.
    fn capabilities(&self) -> Capabilities;

    /// Starts one for the runtime [`ours::RUNTIME`], within a tokio runtime. Nothing may have happened before the next
    /// await: the suite still has to listen.
    fn start(&self, replay: Arc<dyn Replay>) -> Rig;
}

/// Puts a protostub through the suite.
///
/// | rule | what is looked at |
/// |---|---|
/// | INV-SES-1 | a lost session is taken up again by its token; if the node has lost it, a fresh one is told all routes first |
/// | INV-SES-2 | a refused token, or an answer to somebody else, attaches to nothing |
/// | INV-SES-3 | what is told of the status follows the state machine; live only after a 200 |
/// | INV-MSG-4 | nothing leaves that has come through this stub |
/// | INV-EXT-4 | what waits is bounded |
/// | 10.3 | of what waits nothing is lost but updates that a newer one of their object replaces; the order is kept |
/// | 5.15/frames | what arrives is handed on in order, with its way, without `auth`; what is no message is dropped |
/// | 5.15/close | closing sends what waits, says goodbye, and takes nothing more |
/// | 5.15/silence | a connection on which nothing moves any more is given up and made again |
pub fn run(subject: &dyn Subject) -> Verdict {
    let mut suite = Suite::new("protostub");
    let capabilities = subject.capabilities();
    let mut tried = Tried { suite: &mut suite, subject, capabilities };
    carrying::run(&mut tried);
    session::run(&mut tried);
    waiting::run(&mut tried);
    random::run(&mut tried);
    suite.finish()
}

/// A suite, and whom it is about.
struct Tried<'a> {
    suite: &'a mut Suite,
    subject: &'a dyn Subject,
    capabilities: Capabilities,
}

impl Tried<'_> {
    /// A case without choice, if the subject claims to pass it.
    fn case(
        &mut self,
        name: &'static str,
        invariant: &'static str,
        claimed: bool,
        check: impl for<'f> FnOnce(&'f mut Far) -> LocalBoxFuture<'f, Checked>,
    ) {
        if !claimed {
            return self.suite.skip(name, "it does not claim to");
        }
        let (subject, time) = (self.subject, self.capabilities.time);
        self.suite.case(name, invariant, || {
            block_on(time, invariant, async { check(&mut Far::of(subject)).await })
        });
    }
}
