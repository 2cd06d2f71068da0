//! Admission at the node: what a session brings when it opens, and the end of what it brought.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::{ResponseBody, WireBody};
use hyperty_model::{Message, MessageType, RuntimeUrl, Url, UrlKind};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{AdmissionConfig, Pass, TokenError};
use crate::link::Link;
use crate::node::Core;
use crate::outbox::CloseReason;
use crate::outgoing::Outgoing;
use crate::session::Session;

/// How often a pass is looked at that has not expired: a clock that was set is noticed, if not at once.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// What of the body of `open`, `re-open` and a renewal is about admission.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AdmissionBody {
    #[serde(rename = "accessToken")]
    access_token: Option<String>,
}

impl WireBody for AdmissionBody {}

impl Core {
    /// What a message that opens a session brings; `None` if nothing is asked for.
    pub(crate) fn admitted(&self, message: &Message) -> Result<Option<Arc<Pass>>, TokenError> {
        let AdmissionConfig::Tokens(tokens) = &self.config.admission else { return Ok(None) };
        let body = message
            .decode::<AdmissionBody>()
            .map_err(|_| TokenError::Malformed("accessToken is no text".to_owned()))?;
        let token = body.access_token.as_deref().ok_or(TokenError::Missing)?;
        let pass = tokens.keys.verify(token, &self.config.domain, self.clock.now(), tokens.leeway)?;
        Ok(Some(Arc::new(pass)))
    }

    /// Refuses a session, tells why, and has the connection closed.
    pub(crate) fn turn_away(&self, link: &Link, message: &Message, error: &TokenError) {
        tracing::info!(link = link.number(), from = %message.from(), reason = error.reason(), "not admitted");
        self.counters.refused.add(1);
        self.counters.not_admitted.add(1);
        let body = ResponseBody::failure(error.code(), error.to_string()).with_reason(error.reason());
        link.dismiss(message.reply(self.explained(body)));
    }

    /// Whether a pass opens a session for this runtime, as far as the token says; `former` is whose session that was.
    pub(crate) fn may_open(
        pass: Option<&Arc<Pass>>,
        runtime: &RuntimeUrl,
        former: Option<&Arc<Session>>,
    ) -> Result<(), TokenError> {
        let Some(pass) = pass else { return Ok(()) };
        if !pass.covers_runtime(runtime) {
            return Err(TokenError::Runtime(runtime.as_url().clone()));
        }
        match former.and_then(|former| former.who()) {
            Some(who) if who != pass.who() => Err(TokenError::Owned(runtime.as_url().clone())),
            _ => Ok(()),
        }
    }

    /// The body of an answer that admits: it tells how long that holds.
    pub(crate) fn welcome(&self, pass: Option<&Arc<Pass>>) -> ResponseBody {
        let mut body = ResponseBody::ok();
        if let (Some(pass), AdmissionConfig::Tokens(tokens)) = (pass, &self.config.admission) {
            let left = pass.expires().since(self.clock.now()).saturating_sub(tokens.leeway);
            body.extra.insert("expiresIn".to_owned(), left.as_secs().into());
        }
        body
    }

    /// When a pass is to be looked at.
    pub(crate) fn look_at(&self, pass: &Pass) -> Instant {
        let left = pass.expires().since(self.clock.now());
        // Never at once: a clock that stands still must not keep the driver busy.
        Instant::now() + left.clamp(Duration::from_millis(1), EXPIRY_LOOK)
    }

    /// A live session brings a new token.
    pub(crate) fn renew(&self, link: &Link, session: &Arc<Session>, message: &Message) {
        match self.renewed(session, message) {
            Ok(Some(pass)) => {
                self.wake_driver.notify_one();
                link.answer(message, self.welcome(Some(&pass)));
            }
            Ok(None) => link.refuse(
                message,
                hyperty_model::StatusCode::BAD_REQUEST,
                "malformed",
                "this node admits without tokens",
            ),
            Err(error) => {
                tracing::info!(session = session.number, reason = error.reason(), "not renewed");
                link.refuse(message, error.code(), error.reason(), &error.to_string());
            }
        }
    }

    fn renewed(&self, session: &Arc<Session>, message: &Message) -> Result<Option<Arc<Pass>>, TokenError> {
        let Some(pass) = self.admitted(message)? else { return Ok(None) };
        if session.who() != Some(pass.who()) {
            return Err(TokenError::OtherUser);
        }
        Core::may_open(Some(&pass), &session.runtime, None)?;
        if session.pass().is_none_or(|former| !pass.allows_as_much_as(&former)) {
            check_bound(session, &pass)?;
        }
        self.directory.with_sessions(|sessions| {
            session.renew(Arc::clone(&pass));
            sessions.expire_at(Some((self.look_at(&pass), session)), session);
        });
        Ok(Some(pass))
    }

    /// Ends the sessions whose passes have expired.
    pub(crate) fn end_expired(&self, now: Instant) {
        while let Some(session) = self.directory.with_sessions(|sessions| {
            let session = sessions.pop_expiry(now)?;
            let pass = session.pass()?;
            if self.clock.now() < pass.expires() {
                sessions.expire_at(Some((self.look_at(&pass), &session)), &session);
                return Some(None);
            }
            // One without a connection is let in again only with a new pass, and ends with its grace.
            Some((session.is_live() && sessions.remove(&self.directory, &session)).then_some(session))
        }) {
            if let Some(session) = session {
                self.end_behind(&session, self.farewell(&session.runtime), CloseReason::Expired);
            }
        }
    }

    fn farewell(&self, runtime: &Url) -> Outgoing {
        let body = json!({ "value": "expired", "code": 401, "desc": "the token has expired" });
        let from = hyperty_model::url::node::session();
        let message = Message::new(self.next_message_id(), MessageType::Event, from, runtime.clone(), body);
        Outgoing::published(message)
    }
}

/// Whether a pass allows all hyperties that a session speaks as.
fn check_bound(session: &Session, pass: &Pass) -> Result<(), TokenError> {
    let routes = session.routes.lock();
    // In order, so that the same one is named each time.
    let mut refused: Vec<&str> = routes
        .bound
        .iter()
        .filter(|key| {
            Url::parse(key).is_ok_and(|url| url.kind() == UrlKind::Hyperty && !pass.covers_hyperty(&url))
        })
        .map(|key| &**key)
        .collect();
    refused.sort_unstable();
    match refused.first() {
        Some(key) => Err(TokenError::InUse((*key).to_owned())),
        None => Ok(()),
    }
}
