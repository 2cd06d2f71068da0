//! What the subscription manager says no with.

use hyperty_message_bus::RouteError;
use hyperty_model::StatusCode;
use hyperty_model::message::ResponseBody;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: StatusCode,
    why: String,
    reason: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, why: impl Into<String>) -> Refusal {
        Refusal { code, why: why.into(), reason: None }
    }

    pub(crate) fn because(self, reason: &'static str) -> Refusal {
        Refusal { reason: Some(reason), ..self }
    }

    pub(crate) fn late(domain: &str) -> Refusal {
        let text = format!("the message node of {domain} did not answer in time");
        Refusal::new(StatusCode::TIMEOUT, text).because("no-route")
    }

    pub(crate) fn of(error: &RouteError) -> Refusal {
        match error {
            RouteError::Refused { code, description, .. } => Refusal::new(*code, description.clone()),
            RouteError::Unreachable { domain, .. } => Refusal::late(domain),
            other => Refusal::new(StatusCode::BAD_REQUEST, other.to_string()),
        }
    }
}

impl From<Refusal> for ResponseBody {
    fn from(refusal: Refusal) -> ResponseBody {
        let body = ResponseBody::failure(refusal.code, refusal.why);
        match refusal.reason {
            Some(reason) => body.with_reason(reason),
            None => body,
        }
    }
}
