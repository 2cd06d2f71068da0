//! A request that is not granted.

use hyperty_model::StatusCode;
use hyperty_model::message::ResponseBody;

/// Why a request is refused; becomes the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: StatusCode,
    /// For programs.
    reason: Option<&'static str>,
    /// For people.
    text: String,
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, reason: &'static str, text: impl Into<String>) -> Refusal {
        Refusal { code, reason: Some(reason), text: text.into() }
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(text: impl Into<String>) -> Refusal {
        Refusal { code: StatusCode::BAD_REQUEST, reason: None, text: text.into() }
    }

    /// A limit was met.
    pub(crate) fn limit(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, "limit", text)
    }

    /// Not the sender's to do.
    pub(crate) fn forbidden(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, "forbidden", text)
    }

    /// There is no such entry.
    pub(crate) fn not_found() -> Refusal {
        Refusal { code: StatusCode::NOT_FOUND, reason: None, text: "Not Found".to_owned() }
    }
}

impl From<Refusal> for ResponseBody {
    fn from(refusal: Refusal) -> ResponseBody {
        let body = ResponseBody::failure(refusal.code, refusal.text);
        match refusal.reason {
            Some(reason) => body.with_reason(reason),
            None => body,
        }
    }
}
