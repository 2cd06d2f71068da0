//! An object is served as soon as it is ours; the hyperty that reports it from now on may hear of that later, or be
//! deployed later (protocol 5.11 step 11). What it is asked meanwhile waits for it (INV-DLG-4).

use std::time::Duration;

use hyperty_message_bus::NO_ROUTE;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, StatusCode};
use tokio::time::Instant;

use crate::manager::SyncManager;
use crate::reporter::Reported;

/// The first pause before the Reporter is asked again: about what it takes to resume within a process.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// The longest: the application loses at most that much of its time to decide.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// One question to a Reporter, which may be asked more than once.
pub(crate) struct Asking {
    deadline: Instant,
    pause: Duration,
}

impl Asking {
    /// How long is left for an answer.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl SyncManager {
    /// Begins a question that the Reporter's application has `decision_timeout` for.
    pub(crate) fn begin_asking(&self) -> Asking {
        Asking { deadline: Instant::now() + self.config().decision_timeout, pause: PAUSE_MIN }
    }

    /// Whether to ask once more, after a pause: the object has changed hands, its Reporter has not been heard of since,
    /// and `answer` is that it is not there.
    pub(crate) async fn ask_again(&self, object: &Reported, answer: &Message, asking: &mut Asking) -> bool {
        if !object.lock().handing.awaited {
            return false;
        }
        if !is_absent(answer) {
            object.lock().handing.awaited = false;
            return false;
        }
        if asking.left() <= asking.pause {
            return false;
        }
        tokio::time::sleep(asking.pause).await;
        asking.pause = (asking.pause * 2).min(PAUSE_MAX);
        true
    }
}

/// Whether a question did not reach the Reporter's application.
fn is_absent(answer: &Message) -> bool {
    match answer.code() {
        StatusCode::NOT_FOUND => {
            answer.decode::<ResponseBody>().is_ok_and(|body| body.reason.as_deref() == Some(NO_ROUTE))
        }
        _ => false,
    }
}
