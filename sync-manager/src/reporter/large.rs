//! Changes and children that no message can carry (protocol 10.5).

use hyperty_model::change::approximate_size;
use hyperty_model::message::UpdateBody;
use hyperty_model::{Message, MessageType, StatusCode};

use serde_json::Value;

use super::object::Reported;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// How much longer a text may get when it is written as JSON: a control character takes six bytes.
const ESCAPED: usize = 6;

/// What a node and others on the way add to a message, at most: some addresses.
const ADDED: usize = 8 << 10;

impl SyncManager {
    /// Hands a change to everybody. One that is larger than a message goes to the observers here; those elsewhere are
    /// told the position it leads to, and fetch what they lack.
    pub(super) fn release_update(&self, object: &Reported, message: &Message, body: &UpdateBody) {
        if !self.exceeds_message(message, body.approximate_size()) {
            return self.bus().release(message);
        }
        self.bus().release_locally(message);
        let Some(position) = body.position() else { return };
        let (from, to) = (object.url.as_url(), object.url.changes());
        let beat = UpdateBody::beat(position, None);
        self.bus().publish(&self.bus().new_message(MessageType::Update, from, &to, beat));
        self.tally().announced_only.add(1);
    }

    /// Whether a change is larger than what observers elsewhere can be told of at all.
    ///
    /// # Errors
    /// 400 with the reason `limit`.
    pub(super) fn check_change_size(&self, body: &UpdateBody) -> Result<(), Refusal> {
        let (bytes, max) = (body.approximate_size(), self.config().whole_bytes_max);
        if bytes <= max {
            return Ok(());
        }
        let text = format!("a change of about {bytes} bytes is larger than an object may be, {max}");
        Err(Refusal::bad_request(text).because("limit"))
    }

    /// Whether the data of a new object is larger than observers elsewhere could be given.
    ///
    /// # Errors
    /// 400 with the reason `limit`.
    pub(super) fn check_data_size(&self, data: &Value) -> Result<(), Refusal> {
        let (bytes, max) = (approximate_size(data), self.config().whole_bytes_max);
        if bytes <= max {
            return Ok(());
        }
        let text = format!("data of about {bytes} bytes is larger than an object may be, {max}");
        Err(Refusal::bad_request(text).because("limit"))
    }

    /// Whether an operation on a child fits a message. A child is as small as that, whoever writes it: it travels from
    /// its writer to the Reporter's side and to all others as it is.
    ///
    /// # Errors
    /// 400 with the reason `limit`.
    pub(crate) fn check_child_size(&self, message: &Message) -> Result<(), Refusal> {
        let (bytes, max) = (message.body().raw().len(), self.body_bytes_max());
        if bytes <= max {
            return Ok(());
        }
        let text = format!(
            "{bytes} bytes in one operation on a child are more than {max}; use several, or several children"
        );
        Err(Refusal::new(StatusCode::BAD_REQUEST, text).because("limit"))
    }

    fn exceeds_message(&self, message: &Message, approximately: usize) -> bool {
        let max = self.body_bytes_max();
        // Written out only if it comes near: most never leave this runtime.
        approximately.saturating_mul(ESCAPED) > max && message.body().raw().len() > max
    }

    fn body_bytes_max(&self) -> usize {
        self.config().message_bytes_max.saturating_sub(ADDED)
    }
}
