use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The code of a response (protocol 2.5). Written as an integer, read also from a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StatusCode(pub u16);

impl StatusCode {
    /// Provisional: names of children, progress.
    pub const PROVISIONAL: StatusCode = StatusCode(100);
    /// Success.
    pub const OK: StatusCode = StatusCode(200);
    /// Malformed: the description names what is wrong.
    pub const BAD_REQUEST: StatusCode = StatusCode(400);
    /// The reader may not read.
    pub const UNAUTHORIZED: StatusCode = StatusCode(401);
    /// Refused by policy, by the application, or because the sender is not the owner.
    pub const FORBIDDEN: StatusCode = StatusCode(403);
    /// Unknown, or no route to the addressee.
    pub const NOT_FOUND: StatusCode = StatusCode(404);
    /// An invitation or a delegation is declined.
    pub const DECLINED: StatusCode = StatusCode(406);
    /// No answer in time; or registered, but disconnected.
    pub const TIMEOUT: StatusCode = StatusCode(408);
    /// In conflict with the present state or owner.
    pub const CONFLICT: StatusCode = StatusCode(409);
    /// The object is deleted.
    pub const GONE: StatusCode = StatusCode(410);
    /// Something that had to be so before is not.
    pub const CONDITION: StatusCode = StatusCode(412);
    /// An internal failure, or an answer that cannot be read.
    pub const INTERNAL: StatusCode = StatusCode(500);
    /// Nobody serves what was asked for: the application of an object takes no such action.
    pub const NOT_IMPLEMENTED: StatusCode = StatusCode(501);
    /// The registry's backend cannot be reached.
    pub const BACKEND_UNREACHABLE: StatusCode = StatusCode(504);

    /// 1xx: keep waiting.
    pub fn is_provisional(self) -> bool {
        (100..200).contains(&self.0)
    }

    /// 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    /// What is missing or not a number is a final failure, 500.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = match &value {
            serde_json::Value::Number(number) => number.as_u64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let code = number.and_then(|code| u16::try_from(code).ok()).filter(|code| (100..600).contains(code));
        Ok(code.map_or(StatusCode::INTERNAL, StatusCode))
    }
}

impl Default for StatusCode {
    fn default() -> StatusCode {
        StatusCode::INTERNAL
    }
}
