//! Whether an object can be asked for here, and the end of that.

use hyperty_model::{HypertyUrl, StatusCode};

use super::object::{Phase, State};
use crate::answer::Refusal;

impl State {
    /// Whether it can be observed and read.
    ///
    /// # Errors
    /// 410 once it is deleted for good; 408 while that is being decided.
    pub(crate) fn check_there(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Deleting => Err(Refusal::new(StatusCode::GONE, "the object is deleted")),
            Phase::Frozen | Phase::Delegated => {
                let text = "the object is changing hands; ask again";
                Err(Refusal::new(StatusCode::TIMEOUT, text).because("delegating"))
            }
            Phase::Condemned => Err(Refusal::new(StatusCode::TIMEOUT, "the object is about to be deleted")),
            // Nobody forgets a copy because of this: the object is elsewhere.
            Phase::Deposed => Err(Refusal::new(StatusCode::TIMEOUT, "the object has another Reporter")),
            _ => Ok(()),
        }
    }

    /// Whether its Reporter may go on with it: what is being deleted, or is another's by now, is not its own any more.
    pub(crate) fn is_its_own(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Frozen)
    }

    /// Nobody observes what it reports itself: its subscription may have been under way when it became the Reporter.
    ///
    /// # Errors
    /// 409, reason `owner`.
    pub(crate) fn check_not_own(&self, applicant: &HypertyUrl) -> Result<(), Refusal> {
        // While it changes hands whoever gives it away may come back as an observer, in a moment.
        match self.phase == Phase::Live && self.metadata.reporter == *applicant {
            true => Err(Refusal::new(StatusCode::CONFLICT, "a Reporter does not observe its own object")
                .because("owner")),
            false => Ok(()),
        }
    }

    /// Nothing that is sent to its addresses comes here any more.
    pub(crate) fn detach(&mut self) {
        self.listeners.clear();
        self.forwards.clear();
    }
}
