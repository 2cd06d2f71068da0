//! Somebody offers an object to this hyperty (protocol 5.11 steps 2 to 4 and 11 to 13).

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use hyperty_message_bus::BusError;
use hyperty_model::message::{CreateObject, OneOrMany, ResponseBody};
use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, Identity, Message, MessageType, ObjectUrl, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::{Core, Live};
use crate::decisions::Decision;
use crate::exchange;
use crate::notifications::{Notice, next_notice};
use crate::reporter::ReporterShared;
use crate::{Accept, Reporter};

/// An object that its Reporter offers to this hyperty.
///
/// Dropped undecided, or too late, it is declined: the object stays where it is.
#[must_use = "dropped, it is declined"]
pub struct Delegation {
    core: Weak<Core>,
    decision: Decision,
    metadata: Box<Metadata>,
    offer: CreateObject,
    /// The Sync Manager that offers it.
    giver: Url,
}

/// Why an object that was offered is not this hyperty's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeOverError {
    /// It was refused. 403: a policy on either side forbids it; 404: the offer is over; 408: it has expired; 409:
    /// somebody else has it; 412: its Reporter could not be stopped, or it could not be hosted here.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// Nothing was heard of the runtime. If the object becomes this hyperty's after all, it is found by
    /// [`Syncher::reporters`](crate::Syncher::reporters).
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The object is this hyperty's, but it listens on too many addresses to report it.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

impl Delegation {
    /// The object.
    pub fn object(&self) -> &ObjectUrl {
        &self.metadata.url
    }

    /// Who reports it, and offers it.
    pub fn reporter(&self) -> &HypertyUrl {
        &self.metadata.reporter
    }

    /// The user behind the Reporter.
    pub fn identity(&self) -> Option<&Identity> {
        self.offer.identity.as_ref()
    }

    /// The object's schema.
    pub fn schema(&self) -> &Url {
        &self.metadata.schema
    }

    /// What is known of the object beside its data.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Takes the object over; awaited it gives the [`Reporter`].
    pub fn accept(self) -> AcceptDelegation {
        AcceptDelegation { delegation: self, store: None, backup: None, accept: Accept::Ask }
    }

    /// Declines, and says why.
    pub fn reject(self, reason: &str) {
        self.decision.answer(ResponseBody::failure(StatusCode::DECLINED, reason));
    }

    /// Nobody has read it and nobody will.
    pub(crate) fn not_seen(self) {
        self.decision.answer(ResponseBody::failure(StatusCode::DECLINED, "nobody decides here"));
    }
}

impl Notice for Delegation {
    fn is_open(&self) -> bool {
        self.decision.is_open()
    }
}

impl fmt::Debug for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delegation({} by {})", self.object(), self.reporter())
    }
}

/// An offer that is being accepted, with options; awaited it gives the [`Reporter`].
#[derive(Debug)]
#[must_use = "nothing is taken over until this is awaited"]
pub struct AcceptDelegation {
    delegation: Delegation,
    store: Option<bool>,
    backup: Option<bool>,
    accept: Accept,
}

impl AcceptDelegation {
    /// Keeps the object in the runtime's store; as the former Reporter had it if not set.
    pub fn store(self, store: bool) -> AcceptDelegation {
        AcceptDelegation { store: Some(store), ..self }
    }

    /// Keeps the object at the backup of its domain from now on, for the other devices of this hyperty's user; as the
    /// runtime was told to if not set, and of no effect where there is no backup, no user, or no registration.
    pub fn backup(self, backup: bool) -> AcceptDelegation {
        AcceptDelegation { backup: Some(backup), ..self }
    }

    /// Who else may observe and read; the application is asked if not set.
    pub fn observers(self, accept: Accept) -> AcceptDelegation {
        AcceptDelegation { accept, ..self }
    }

    async fn run(self) -> Result<Reporter, TakeOverError> {
        let core = self.delegation.core.upgrade().ok_or(TakeOverError::Stopped)?;
        if core.is_stopped() {
            return Err(TakeOverError::Stopped);
        }
        let job = Arc::clone(&core);
        // A Reporter that nobody waits for any more is dropped, and found by resuming.
        let taken = core.driven(async move { self.take_over(&job).await }).await;
        taken.unwrap_or(Err(TakeOverError::Stopped))
    }

    async fn take_over(self, core: &Arc<Core>) -> Result<Reporter, TakeOverError> {
        let AcceptDelegation { delegation, store, backup, accept } = self;
        let Delegation { decision, metadata, offer, giver, .. } = delegation;
        // What arrives for the object before it is entered here is kept.
        let adopting = core.adopt();
        // What is heard of children meanwhile is not older than the answer.
        let _asking = core.board(&metadata.url).ask();
        let body = CreateObject {
            resource: Some(OneOrMany(vec![metadata.url.clone()])),
            source: Some(giver),
            store,
            backup,
            identity: core.config.identity.clone(),
            expires: None,
            ..offer.clone()
        };
        let answer = core.ask(MessageType::Create, body).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| TakeOverError::Malformed(error.to_string()))?;
        if !body.code.is_success() {
            let reason = body.why().to_owned();
            decision.answer(ResponseBody::failure(body.code, reason.clone()));
            return Err(match body.code {
                StatusCode::TIMEOUT if body.source.is_some() || body.reason.as_deref() == Some("unheard") => {
                    TakeOverError::Timeout
                }
                code => TakeOverError::Refused { code, reason },
            });
        }
        let value = body.value.as_ref().ok_or_else(|| TakeOverError::Malformed("no value".to_owned()))?;
        let (snapshot, names) = exchange::snapshot(value).map_err(TakeOverError::Malformed)?;
        if let Some(Live::Observer(observer)) = core.live(&metadata.url) {
            observer.owned();
        }
        let shared = ReporterShared::adopt(core, snapshot, &names, accept)?;
        shared.take_over_observers(exchange::observers(value));
        drop(adopting);
        let mut done = ResponseBody::ok();
        done.extra.insert("delegation".to_owned(), json!(offer.delegation));
        decision.answer(done);
        Ok(Reporter { shared })
    }
}

impl IntoFuture for AcceptDelegation {
    type Output = Result<Reporter, TakeOverError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The objects that are offered to a hyperty, also those that came before anybody asked for them.
///
/// There is one queue for all handles: each offer goes to whoever asks first. It ends when the Syncher stops.
pub struct Delegations {
    pub(crate) core: Arc<Core>,
}

impl Delegations {
    /// The next offer; `None` after the last.
    pub async fn next(&mut self) -> Option<Delegation> {
        next_notice(&self.core.notifications.delegations).await
    }
}

impl Stream for Delegations {
    type Item = Delegation;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delegation>> {
        self.core.notifications.delegations.poll(context)
    }
}

impl fmt::Debug for Delegations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delegations({})", self.core.hyperty())
    }
}

impl Core {
    /// A `create` with `delegation` to the hyperty: checked, acknowledged with 100, then the application's to answer.
    pub(crate) fn on_delegation(self: &Arc<Core>, message: &Message, body: &CreateObject) {
        let metadata = match self.read_offer(message, body) {
            Ok(metadata) => metadata,
            Err((code, why)) => return self.refuse(message, code, &why),
        };
        if let Some(Live::Reporter(_)) = self.live(&metadata.url) {
            return self.refuse(message, StatusCode::CONFLICT, "this hyperty reports the object already");
        }
        let Some(decision) = self.notifications.delegated.ask(message, StatusCode::DECLINED) else { return };
        self.minibus.post(message.reply(ResponseBody::of(StatusCode::PROVISIONAL)));
        let delegation = Delegation {
            core: Arc::downgrade(self),
            decision,
            metadata: Box::new(metadata),
            offer: body.clone(),
            giver: message.from().clone(),
        };
        if let Err(delegation) = self.notifications.delegations.raise(delegation) {
            delegation.not_seen();
        }
    }

    /// What an offer says, if it is one, to this hyperty, from the Sync Manager of the object's runtime.
    fn read_offer(&self, message: &Message, body: &CreateObject) -> Result<Metadata, (StatusCode, String)> {
        let bad = |why: &str| (StatusCode::BAD_REQUEST, format!("Bad Request: {why}"));
        let value = body.value.clone().ok_or_else(|| bad("Missing <value>"))?;
        let metadata = Metadata::deserialize(Value::Object(value))
            .map_err(|error| bad(&format!("malformed value: {error}")))?;
        if body.resource.as_ref().is_none_or(|resource| resource.0 != [metadata.url.clone()]) {
            return Err(bad("resource and value.url name different objects"));
        }
        if body.delegate.as_ref() != Some(self.hyperty()) {
            return Err((StatusCode::FORBIDDEN, "it is offered to another hyperty".to_owned()));
        }
        let by_owner = *message.from() == metadata.runtime.sync_manager()
            && body.source.as_ref() == Some(metadata.reporter.as_url());
        if !by_owner {
            return Err((StatusCode::FORBIDDEN, "an object is offered by its own runtime".to_owned()));
        }
        Ok(metadata)
    }
}
