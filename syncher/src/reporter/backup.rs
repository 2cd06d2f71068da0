//! How far the backup of an object is (protocol 5.19).

use hyperty_model::message::BackedUpBody;
use hyperty_model::{Message, Position};

use super::Reporter;
use super::shared::ReporterShared;

impl Reporter {
    /// Where the object stood in what the backup of its domain keeps: another device of the user goes on from there if
    /// this one is lost. `None` if it is not backed up, or not yet.
    pub fn backed_up(&self) -> Option<Position> {
        *self.shared.backed_up.borrow()
    }

    /// Waits until the backup is further than it was known to be; `None` when the object is not reported here any more.
    pub async fn backed_up_beyond(&self, known: Option<Position>) -> Option<Position> {
        let mut news = self.shared.backed_up.subscribe();
        loop {
            let now = *news.borrow_and_update();
            if now > known {
                return now;
            }
            // The sender cannot be gone: this handle holds it.
            if self.shared.has_ended() || news.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl ReporterShared {
    /// What the Sync Manager tells of the object.
    pub(super) fn on_event(&self, message: &Message) {
        match message.decode::<BackedUpBody>() {
            Ok(body) => drop(self.backed_up.send_replace(Some(body.backed_up))),
            Err(_) => self.on_deposed(message),
        }
    }
}
