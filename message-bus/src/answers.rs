//! What the bus answers by itself, and to what.

use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, StatusCode, Url, UrlKind};
use serde_json::Value;

use crate::requests::Refusal;
use crate::voice::NotItsName;

/// The `reason` of an answer to a request that could not be delivered. It says nothing of whether the addressee
/// exists (protocol M12).
pub const NO_ROUTE: &str = "no-route";

/// The `reason` of an answer to a request that met a limit.
pub const LIMIT: &str = "limit";

/// Whether what is sent to `url` is published: any number may receive it and nobody answers (protocol 2.4).
///
/// ```
/// use hyperty_message_bus::is_publish_address;
/// assert!(is_publish_address(&"comm://example.com/8a7b/changes".parse().unwrap()));
/// assert!(!is_publish_address(&"comm://example.com/8a7b/subscription".parse().unwrap()));
/// ```
pub fn is_publish_address(url: &Url) -> bool {
    if !matches!(url.kind(), UrlKind::Object | UrlKind::Runtime) {
        return false;
    }
    let Some((rest, last)) = url.path().rsplit_once('/') else { return false };
    matches!(last, "changes" | "status" | "registration" | "observers" | "children")
        || rest.rsplit('/').next() == Some("children")
}

/// Whether somebody waits for an answer to `message`.
pub(crate) fn expects_answer(message: &Message) -> bool {
    message.kind().is_request() && !is_publish_address(message.to())
}

/// Nobody listens at an address of this runtime.
///
/// The same reason as for no route: the bus does not know whether the entity exists and is only not yet, or no
/// longer, attended to.
pub(crate) fn unknown_address(to: &Url) -> ResponseBody {
    ResponseBody::failure(StatusCode::NOT_FOUND, format!("nobody listens at {to}")).with_reason(NO_ROUTE)
}

/// Nothing leads to the address.
pub(crate) fn no_route(to: &Url) -> ResponseBody {
    ResponseBody::failure(StatusCode::NOT_FOUND, format!("no route to {to}")).with_reason(NO_ROUTE)
}

/// The stub's queue is full.
pub(crate) fn stub_full(stub: &Url) -> ResponseBody {
    ResponseBody::failure(StatusCode::INTERNAL, format!("the queue of {stub} is full")).with_reason(LIMIT)
}

/// Deliveries nested too deep.
pub(crate) fn too_deep(to: &Url) -> ResponseBody {
    let text = format!("deliveries nest too deep at {to}: its handler sends to itself");
    ResponseBody::failure(StatusCode::INTERNAL, text).with_reason(LIMIT)
}

/// A hyperty spoke in a name that is not its own.
impl From<NotItsName> for ResponseBody {
    fn from(refusal: NotItsName) -> ResponseBody {
        ResponseBody::failure(StatusCode::FORBIDDEN, refusal.to_string()).with_reason("forbidden")
    }
}

/// The request could not be noted.
pub(crate) fn refused(refusal: Refusal) -> ResponseBody {
    match refusal {
        Refusal::Full(max) => {
            let text = format!("{max} requests wait for their answers already");
            ResponseBody::failure(StatusCode::INTERNAL, text).with_reason(LIMIT)
        }
        Refusal::Duplicate => {
            let text = "a request of this sender with the same id waits for its answer already";
            ResponseBody::failure(StatusCode::INTERNAL, text)
        }
    }
}

/// No answer came in time; never sent on the wire (protocol 2.5).
pub(crate) fn timed_out(request: &Message) -> ResponseBody {
    let request: Value = serde_json::from_slice(request.wire()).unwrap_or_default();
    ResponseBody::failure(StatusCode::TIMEOUT, "Response timeout!").with_value(request)
}
