//! Somebody invites this hyperty to observe an object (protocol 5.2.5).

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use hyperty_model::message::{InviteBody, ResponseBody, Scope};
use hyperty_model::object::Metadata;
use hyperty_model::{DerivedTail, HypertyUrl, Identity, Message, ObjectUrl, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::latch::{self, Notice};
use crate::core::{Core, Live};
use crate::decisions::Decision;
use crate::{Observer, Subscribe, SubscribeError};

/// An invitation to observe an object.
///
/// Whoever invited was told that it arrived. It stays open until it is accepted or declined, or until
/// [`Timeouts::invitation`](crate::Timeouts::invitation) is over. Dropped undecided it commits to nothing: the Reporter
/// hears that nobody decided, and the object can be subscribed to by its URL as long as the Reporter's grant stands.
#[must_use = "dropped, it is answered with no decision"]
pub struct Invitation {
    core: Weak<Core>,
    decision: Decision,
    metadata: Box<Metadata>,
    identity: Option<Identity>,
    scope: Scope,
    announced: bool,
}

impl Invitation {
    /// The object.
    pub fn object(&self) -> &ObjectUrl {
        &self.metadata.url
    }

    /// Who reports it, and invites.
    pub fn reporter(&self) -> &HypertyUrl {
        &self.metadata.reporter
    }

    /// The user behind the Reporter.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The object's schema.
    pub fn schema(&self) -> &Url {
        &self.metadata.schema
    }

    /// What is known of the object beside its data.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the Reporter allows, and until when.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether the object was only announced: the Reporter's application decides on the subscription.
    pub fn is_announcement(&self) -> bool {
        self.announced
    }

    /// Subscribes to the object; awaited it gives the [`Observer`]. The Reporter hears of the acceptance when the
    /// subscription stands.
    pub fn accept(self) -> AcceptInvitation {
        let subscribe = self
            .core
            .upgrade()
            .map(|core| Subscribe::new(core, self.metadata.url.clone()).schema(self.metadata.schema.clone()));
        AcceptInvitation { subscribe, invitation: self }
    }

    /// Declines, and says why: the grant that came with the invitation is gone then.
    pub fn decline(self, reason: &str) {
        self.decision.answer(ResponseBody::failure(StatusCode::DECLINED, reason));
    }

    /// Nobody has read it and nobody will: the answer asks to invite again later.
    pub(super) fn not_seen(self) {
        let body = ResponseBody::failure(StatusCode::INTERNAL, "the hyperty stops");
        self.decision.answer(body.with_reason("stopped"));
    }
}

impl Notice for Invitation {
    fn is_open(&self) -> bool {
        self.decision.is_open()
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation({} by {})", self.object(), self.reporter())
    }
}

/// An invitation that is being accepted, with the options of the subscription; awaited it gives the [`Observer`].
///
/// If the subscription fails, or this is dropped, the Reporter hears that nobody decided, and the grant stays.
#[derive(Debug)]
#[must_use = "nothing is subscribed until this is awaited"]
pub struct AcceptInvitation {
    invitation: Invitation,
    subscribe: Option<Subscribe>,
}

impl AcceptInvitation {
    /// Keeps the copy in the runtime's store, so that it is resumed after a restart. Off if not set.
    pub fn store(self, store: bool) -> AcceptInvitation {
        AcceptInvitation { subscribe: self.subscribe.map(|subscribe| subscribe.store(store)), ..self }
    }

    /// Keeps a record for resume, without the data unless `store` is set too. As `store` if not set.
    pub fn resumable(self, resumable: bool) -> AcceptInvitation {
        AcceptInvitation { subscribe: self.subscribe.map(|subscribe| subscribe.resumable(resumable)), ..self }
    }

    /// Lets the user's other devices know of the observation, as [`Subscribe::backup`] does.
    pub fn backup(self, backup: bool) -> AcceptInvitation {
        AcceptInvitation { subscribe: self.subscribe.map(|subscribe| subscribe.backup(backup)), ..self }
    }

    async fn run(self) -> Result<Observer, SubscribeError> {
        let observer = self.subscribe.ok_or(SubscribeError::Stopped)?.await?;
        self.invitation.decision.accept();
        Ok(observer)
    }
}

impl IntoFuture for AcceptInvitation {
    type Output = Result<Observer, SubscribeError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The invitations of a hyperty, also those that came before anybody asked for them.
///
/// There is one queue for all handles: each invitation goes to whoever asks first. It ends when the Syncher stops.
pub struct Invitations {
    pub(crate) core: Arc<Core>,
}

impl Invitations {
    /// The next invitation; `None` after the last.
    pub async fn next(&mut self) -> Option<Invitation> {
        latch::next(&self.core.notifications.invitations).await
    }
}

impl Stream for Invitations {
    type Item = Invitation;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Invitation>> {
        self.core.notifications.invitations.poll(context)
    }
}

impl fmt::Debug for Invitations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitations({})", self.core.hyperty())
    }
}

impl Core {
    /// A `create` to the hyperty: checked, acknowledged with 100, then the application's to answer.
    pub(crate) fn on_invitation(self: &Arc<Core>, message: &Message) {
        let (body, metadata) = match read(message) {
            Ok(read) => read,
            Err((code, why)) => return self.refuse(message, code, &why),
        };
        match self.live(&metadata.url) {
            Some(Live::Observer(observer)) if observer.is_live() => {
                return self.minibus.post(message.reply(ResponseBody::ok()));
            }
            Some(Live::Reporter(_)) => {
                return self.refuse(message, StatusCode::CONFLICT, "this hyperty reports the object itself");
            }
            _ => {}
        }
        let Some(decision) = self.notifications.invited.ask(message, StatusCode::TIMEOUT) else { return };
        self.minibus.post(message.reply(ResponseBody::of(StatusCode::PROVISIONAL)));
        let invitation = Invitation {
            core: Arc::downgrade(self),
            decision,
            metadata: Box::new(metadata),
            identity: body.identity.clone(),
            scope: body.scope.clone(),
            announced: body.announced,
        };
        if let Err(invitation) = self.notifications.invitations.raise(invitation) {
            invitation.not_seen();
        }
    }
}

/// What an invitation says, if it is one and comes from where invitations to the object come from: its
/// `/subscription`, in the name of its Reporter. That the sender is that address is the business of whoever let the
/// message in.
fn read(message: &Message) -> Result<(Arc<InviteBody>, Metadata), (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let missing = |field: &str| bad(format!("Bad Request: Missing <{field}>"));
    let body = message.decode::<InviteBody>().map_err(|error| bad(error.to_string()))?;
    let source = body.source.clone().ok_or_else(|| missing("source"))?;
    let schema = body.schema.clone().ok_or_else(|| missing("schema"))?;
    let value = body.value.clone().ok_or_else(|| missing("value"))?;
    let metadata = Metadata::deserialize(Value::Object(value))
        .map_err(|error| bad(format!("Bad Request: malformed value: {error}")))?;
    if metadata.schema != schema {
        return Err(bad("schema and value.schema are not the same".to_owned()));
    }
    let sender = message.from().split_derived();
    let is_subscription = matches!(
        sender,
        Some((object, Some(DerivedTail::Subscription))) if object == metadata.url
    );
    if !is_subscription || metadata.reporter != source {
        return Err((
            StatusCode::FORBIDDEN,
            "an invitation comes from the object and its Reporter".to_owned(),
        ));
    }
    Ok((body, metadata))
}
