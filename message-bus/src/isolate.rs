//! Calling what others wrote: a panic stays with the one who panicked, and endless nesting ends.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hyperty_model::{Message, Url};

/// What is called with a message.
pub(crate) type Handler = Arc<dyn Fn(&Message) + Send + Sync>;

/// How deep deliveries may nest on one thread: handlers post from within handlers, some ten levels in the deepest
/// procedure. A handler that answers itself for ever is stopped here, long before the stack ends.
pub(crate) const DEPTH_MAX: usize = 64;

/// Levels beyond [`DEPTH_MAX`] that only responses may use, so that the sender of the message that went too deep is
/// told so.
const DEPTH_OF_ANSWERS: usize = 8;

/// Calls every handler in order. One that panics is reported and the next is called; returns how many panicked.
pub(crate) fn call_each(handlers: &[Handler], message: &Message) -> u64 {
    let (mut next, mut panicked) = (0, 0);
    // One landing pad for all: calling a handler that behaves costs nothing more than the call.
    while next < handlers.len() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while let Some(handler) = handlers.get(next) {
                next += 1;
                handler(message);
            }
        }));
        if let Err(payload) = outcome {
            panicked += 1;
            report(message.to(), &*payload);
        }
    }
    panicked
}

/// Runs `f`; `None`, reported, if it panicked.
pub(crate) fn isolated<T>(address: &Url, f: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| report(address, &*payload)).ok()
}

fn report(address: &Url, payload: &(dyn Any + Send)) {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(to = %address, panic = text, "a handler panicked");
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// One level of delivery on this thread; left when dropped.
pub(crate) struct Level(());

impl Level {
    /// Enters one level more; `None` when that is one too many.
    pub(crate) fn enter(is_response: bool) -> Option<Level> {
        let max = if is_response { DEPTH_MAX + DEPTH_OF_ANSWERS } else { DEPTH_MAX };
        DEPTH.with(|depth| {
            let level = depth.get() + 1;
            if level > max {
                return None;
            }
            depth.set(level);
            Some(Level(()))
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}
