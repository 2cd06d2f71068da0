//! Every request gets exactly one final answer (INV-MSG-1).

use std::sync::atomic::{AtomicBool, Ordering};

use hyperty_address_allocation::AllocateError;
use hyperty_message_bus::MessageBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Message, StatusCode, Url};
use hyperty_registry::{CatalogueError, RegisterError};
use tokio::sync::mpsc;

/// Why a request is refused, with the protocol's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {description}")]
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) description: String,
    pub(crate) reason: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, description: impl Into<String>) -> Refusal {
        Refusal { code, description: description.into(), reason: None }
    }

    pub(crate) fn bad_request(description: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, description)
    }

    pub(crate) fn missing(field: &str) -> Refusal {
        Refusal::bad_request(format!("Bad Request: Missing <{field}>"))
    }

    pub(crate) fn unknown(url: &Url) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, format!("{url} is not known here"))
    }

    pub(crate) fn unreachable(domain: &str) -> Refusal {
        let text = format!("the message node of {domain} did not answer in time");
        Refusal::new(StatusCode::TIMEOUT, text).because("no-route")
    }

    pub(crate) fn because(self, reason: &str) -> Refusal {
        Refusal { reason: Some(reason.to_owned()), ..self }
    }

    /// The refusal that a peer's failure response amounts to: code, text and reason are passed on.
    pub(crate) fn relayed(response: &ResponseBody) -> Refusal {
        Refusal {
            code: response.code,
            description: response.why().to_owned(),
            reason: response.reason.clone(),
        }
    }

    /// Whether this says that what was asked for is not there, and will not be.
    pub(crate) fn is_gone(&self) -> bool {
        self.code == StatusCode::GONE || (self.code == StatusCode::NOT_FOUND && !self.is_unreachable())
    }

    /// Whether this says that the addressee could not be reached, not that it refused (M12).
    pub(crate) fn is_unreachable(&self) -> bool {
        self.code == StatusCode::TIMEOUT
            || self.code == StatusCode::INTERNAL
            || self.code == StatusCode::BACKEND_UNREACHABLE
            || (self.code == StatusCode::NOT_FOUND && self.reason.as_deref() == Some("no-route"))
    }
}

impl From<Refusal> for ResponseBody {
    fn from(refusal: Refusal) -> ResponseBody {
        ResponseBody { reason: refusal.reason, ..ResponseBody::failure(refusal.code, refusal.description) }
    }
}

impl From<Refusal> for Body {
    fn from(refusal: Refusal) -> Body {
        Body::of(ResponseBody::from(refusal))
    }
}

impl From<hyperty_model::message::BodyError> for Refusal {
    fn from(error: hyperty_model::message::BodyError) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}

impl From<hyperty_storage::StorageError> for Refusal {
    fn from(error: hyperty_storage::StorageError) -> Refusal {
        Refusal::new(StatusCode::INTERNAL, format!("storage: {error}")).because("storage")
    }
}

impl From<hyperty_message_bus::BusError> for Refusal {
    fn from(error: hyperty_message_bus::BusError) -> Refusal {
        Refusal::new(StatusCode::INTERNAL, error.to_string())
    }
}

impl From<CatalogueError> for Refusal {
    fn from(error: CatalogueError) -> Refusal {
        let code = match &error {
            CatalogueError::NotFound(_) => StatusCode::NOT_FOUND,
            CatalogueError::Invalid { .. } => StatusCode::BAD_REQUEST,
            CatalogueError::Conflict(_) => StatusCode::CONFLICT,
            CatalogueError::Refused { code, .. } => *code,
            _ => StatusCode::INTERNAL,
        };
        Refusal::new(code, format!("schema: {error}")).because("schema")
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Refusal {
        let code = match &error {
            RegisterError::Conflict(_) => StatusCode::CONFLICT,
            RegisterError::Gone => StatusCode::GONE,
            RegisterError::Refused { code, .. } => *code,
            _ => StatusCode::BACKEND_UNREACHABLE,
        };
        Refusal::new(code, format!("domain registry: {error}")).because("registry")
    }
}

impl From<AllocateError> for Refusal {
    fn from(error: AllocateError) -> Refusal {
        let code = match &error {
            AllocateError::Invalid { .. } => StatusCode::BAD_REQUEST,
            AllocateError::Refused { code, .. } => *code,
            _ => StatusCode::INTERNAL,
        };
        Refusal::new(code, format!("address allocation: {error}")).because("allocation")
    }
}

impl From<hyperty_message_bus::RouteError> for Refusal {
    fn from(error: hyperty_message_bus::RouteError) -> Refusal {
        Refusal::new(StatusCode::INTERNAL, format!("message node: {error}")).because("routes")
    }
}

/// A request that waits for its final answer. One that is dropped unanswered, because its procedure panicked or
/// was cancelled, is answered 500.
pub(crate) struct Question {
    bus: MessageBus,
    request: Message,
    open: AtomicBool,
    /// Where requests come in, for as long as the Sync Manager runs.
    inbox: Option<mpsc::Sender<Message>>,
}

impl Question {
    pub(crate) fn new(bus: &MessageBus, request: Message) -> Question {
        let open = AtomicBool::new(request.kind().is_request());
        Question { bus: bus.clone(), request, open, inbox: None }
    }

    /// The same for a procedure, which ends early when the Sync Manager does.
    pub(crate) fn served(inbox: &mpsc::Sender<Message>, bus: &MessageBus, request: Message) -> Question {
        let mut question = Question::new(bus, request);
        question.inbox = Some(inbox.clone());
        question
    }

    pub(crate) fn request(&self) -> &Message {
        &self.request
    }

    /// Somebody else answers it, or it comes here once more.
    pub(crate) fn leave(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Sends a provisional answer.
    pub(crate) fn progress(&self, body: ResponseBody) {
        if self.open.load(Ordering::Acquire) {
            self.bus.post(self.request.reply(body));
        }
    }

    /// The same with a body that is encoded already.
    pub(crate) fn progress_with(&self, body: Body) {
        if self.open.load(Ordering::Acquire) {
            self.bus.post(self.request.reply(body));
        }
    }

    /// Sends the final answer; a second one is not sent.
    pub(crate) fn answer(&self, body: impl Into<ResponseBody>) {
        self.answer_with(Body::of(body.into()));
    }

    /// The same with a body that others may get too.
    pub(crate) fn answer_with(&self, body: Body) {
        self.answer_first(body);
    }

    /// The same for an answer that something hangs on: whether it was the first one.
    pub(crate) fn answer_first(&self, body: impl Into<Body>) -> bool {
        let is_first = self.open.swap(false, Ordering::AcqRel);
        if is_first {
            self.bus.post(self.request.reply(body));
        }
        is_first
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.open.load(Ordering::Acquire) {
            // What was under way when the runtime ended is nobody's fault.
            match self.inbox.as_ref().is_some_and(mpsc::Sender::is_closed) {
                true => tracing::debug!(request = ?self.request, "a procedure ended with its runtime"),
                false => tracing::error!(request = ?self.request, "a procedure ended without an answer"),
            }
            self.answer(ResponseBody::failure(
                StatusCode::INTERNAL,
                "the procedure ended early; see the runtime's log",
            ));
        }
    }
}
