//! Inviting others to an object, and taking that back (protocol 5.2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use hyperty_model::message::{CreateObject, OneOrMany, ResponseBody, Scope, UnsubscribeBody};
use hyperty_model::{HypertyUrl, Message, MessageType, StatusCode, Url};
use parking_lot::Mutex;
use serde_json::Value;

use super::shared::ReporterShared;
use crate::ReporterEvent;

/// Most answers of one hyperty that wait to be read; what comes beyond that and is not its last word is dropped.
const ANSWERS_OF_ONE_MAX: usize = 4;

/// What an invited hyperty said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteAnswer {
    /// Who.
    pub invitee: HypertyUrl,
    /// 100: it has arrived. 200: it observes, or will. 406: declined, and the grant is gone. 408: it did not arrive
    /// yet and is kept (`provisional`), nobody decided, or the offer has ended. Another from 300: refused.
    pub code: StatusCode,
    /// Its words.
    pub reason: String,
    /// Whether there is more to come.
    pub provisional: bool,
}

impl InviteAnswer {
    fn of(body: &ResponseBody) -> Option<InviteAnswer> {
        Some(InviteAnswer {
            invitee: HypertyUrl::try_from(body.source.clone()?).ok()?,
            code: body.code,
            reason: body.description.clone().unwrap_or_default(),
            provisional: body.code.is_provisional() || body.reason.as_deref() == Some("waiting"),
        })
    }
}

/// Why nobody was invited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The runtime refused; nobody was invited. 400: the invitation ends before it begins, or a URL is not of a
    /// hyperty; 403: a policy forbids one of them; 410: the object is deleted; 500: too many are invited, or the store
    /// failed.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time; they may be invited all the same. Invite again.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The object is deleted, or the Syncher has stopped.
    #[error("the object is closed")]
    Closed,
}

/// Why a grant was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// It is used: the hyperty observes the object. Remove it.
    #[error("it observes the object")]
    Observing,
    /// There is none.
    #[error("it is not granted")]
    NotGranted,
    /// The runtime refused. 410: the object is deleted; 500: the store failed, and the grant is back after a restart.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time. Revoke again.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

/// An invitation with its options; awaited it gives the answers.
///
/// Who is invited may observe from then on, without the application being asked. One that cannot be reached is invited
/// when it can be, until the offer ends.
#[must_use = "nobody is invited until this is awaited"]
pub struct Invite {
    reporter: Arc<ReporterShared>,
    who: BTreeSet<Url>,
    scope: Scope,
    announced: bool,
}

impl Invite {
    pub(super) fn new(
        reporter: &Arc<ReporterShared>,
        who: impl IntoIterator<Item = impl Into<Url>>,
    ) -> Invite {
        Invite {
            reporter: Arc::clone(reporter),
            who: who.into_iter().map(Into::into).collect(),
            scope: Scope::default(),
            announced: false,
        }
    }

    /// Whether they may write children, where the schema lets observers; for as long as they observe. Allowed if not
    /// set.
    pub fn children(mut self, allowed: bool) -> Invite {
        self.scope.children = allowed;
        self
    }

    /// For how long they may subscribe by it, from now; whoever observes by then goes on. Without end if not set; what
    /// has not arrived is then kept for some days.
    pub fn until(mut self, time: Duration) -> Invite {
        self.scope.until = Some(self.reporter.core.now() + time);
        self
    }

    /// Only tells them of the object: nothing is granted, and the application is asked when they subscribe.
    pub fn announce(mut self) -> Invite {
        self.announced = true;
        self
    }

    async fn run(self) -> Result<InviteAnswers, InviteError> {
        let Invite { reporter, who, scope, announced } = self;
        if reporter.has_ended() {
            return Err(InviteError::Closed);
        }
        let hyperties = who.iter().filter_map(|url| HypertyUrl::try_from(url.clone()).ok()).collect();
        let answers = reporter.invites.expect(hyperties);
        if who.is_empty() {
            return Ok(answers);
        }
        let who = OneOrMany(who.into_iter().collect());
        let (authorise, announce) = match announced {
            true => (OneOrMany::default(), who),
            false => (who, OneOrMany::default()),
        };
        let body = reporter.invite_body(authorise, announce, scope);
        let core = &reporter.core;
        let answer = core.ask(MessageType::Create, body).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| InviteError::Malformed(error.to_string()))?;
        match body.code {
            code if code.is_success() => Ok(answers),
            StatusCode::TIMEOUT => Err(InviteError::Timeout),
            code => Err(InviteError::Refused { code, reason: body.why().to_owned() }),
        }
    }
}

impl IntoFuture for Invite {
    type Output = Result<InviteAnswers, InviteError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invite({:?} to {})", self.who, self.reporter.url)
    }
}

impl ReporterShared {
    fn invite_body(&self, authorise: OneOrMany<Url>, announce: OneOrMany<Url>, scope: Scope) -> CreateObject {
        let metadata = self.state.lock().metadata.clone();
        let schema = metadata.schema.clone();
        let value = match serde_json::to_value(metadata) {
            Ok(Value::Object(value)) => Some(value),
            _ => None,
        };
        CreateObject {
            resource: Some(OneOrMany(vec![self.url.clone()])),
            schema: Some(schema),
            value,
            authorise,
            announce,
            scope,
            identity: self.core.config.identity.clone(),
            ..CreateObject::default()
        }
    }

    pub(super) async fn revoke(&self, who: Url) -> Result<(), RevokeError> {
        let body = UnsubscribeBody {
            resource: Some(self.url.clone()),
            source: Some(who),
            reason: Some("revoked".to_owned()),
            identity: self.core.config.identity.clone(),
            ..UnsubscribeBody::default()
        };
        let answer = self.core.ask(MessageType::Unsubscribe, body).await;
        let body =
            answer.decode::<ResponseBody>().map_err(|error| RevokeError::Malformed(error.to_string()))?;
        match body.code {
            code if code.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(RevokeError::Observing),
            StatusCode::NOT_FOUND => Err(RevokeError::NotGranted),
            StatusCode::TIMEOUT => Err(RevokeError::Timeout),
            code => Err(RevokeError::Refused { code, reason: body.why().to_owned() }),
        }
    }

    /// Answers of invited hyperties come from `O/subscription`, by way of the Sync Manager of this runtime.
    pub(super) fn on_invite_answer(&self, body: &ResponseBody) {
        let Some(answer) = InviteAnswer::of(body) else { return };
        if let Err(answer) = self.invites.take(answer) {
            self.raise(ReporterEvent::InviteAnswer(answer));
        }
    }
}

/// Who waits for the answers of whom. What nobody waits for any more becomes an event.
#[derive(Default)]
pub(super) struct Invites(Mutex<BTreeMap<HypertyUrl, Weak<Shared>>>);

impl Invites {
    /// From now on the answers of these go to what this returns.
    fn expect(&self, hyperties: BTreeSet<HypertyUrl>) -> InviteAnswers {
        let shared = Arc::new(Shared::default());
        shared.state.lock().awaited.clone_from(&hyperties);
        {
            let mut table = self.0.lock();
            table.retain(|_, waiting| waiting.strong_count() > 0);
            for hyperty in &hyperties {
                if let Some(earlier) = table.insert(hyperty.clone(), Arc::downgrade(&shared)) {
                    // Only the latest invitation of a hyperty is answered.
                    earlier.upgrade().inspect(|earlier| earlier.done_with(hyperty));
                }
            }
        }
        InviteAnswers { shared }
    }

    fn take(&self, answer: InviteAnswer) -> Result<(), InviteAnswer> {
        let waiting = {
            let mut table = self.0.lock();
            let waiting = table.get(&answer.invitee).and_then(Weak::upgrade);
            if !answer.provisional || waiting.is_none() {
                table.remove(&answer.invitee);
            }
            waiting
        };
        match waiting {
            Some(waiting) => {
                waiting.add(answer);
                Ok(())
            }
            None => Err(answer),
        }
    }

    /// No answer will come any more.
    pub(super) fn end(&self) {
        let table = std::mem::take(&mut *self.0.lock());
        for waiting in table.into_values().filter_map(|waiting| waiting.upgrade()) {
            waiting.end();
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    waiting: VecDeque<InviteAnswer>,
    /// Whose last word is not here.
    awaited: BTreeSet<HypertyUrl>,
    wakers: Vec<Waker>,
}

impl Shared {
    fn add(&self, answer: InviteAnswer) {
        self.change(|state| {
            if !answer.provisional {
                state.awaited.remove(&answer.invitee);
            }
            let of_one = state.waiting.iter().filter(|other| other.invitee == answer.invitee).count();
            if !answer.provisional || of_one < ANSWERS_OF_ONE_MAX {
                state.waiting.push_back(answer);
            }
        });
    }

    fn done_with(&self, hyperty: &HypertyUrl) {
        self.change(|state| {
            state.awaited.remove(hyperty);
        });
    }

    fn end(&self) {
        self.change(|state| state.awaited.clear());
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        let wakers = {
            let mut state = self.state.lock();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What those say who were invited together. It ends when all have said their last word, were invited anew, or the
/// object is closed. Dropped, what comes later is told by [`ReporterEvent::InviteAnswer`].
pub struct InviteAnswers {
    shared: Arc<Shared>,
}

impl InviteAnswers {
    /// The next answer; `None` after the last.
    pub async fn next(&mut self) -> Option<InviteAnswer> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<InviteAnswer>> {
        let mut state = self.shared.state.lock();
        match state.waiting.pop_front() {
            Some(answer) => Poll::Ready(Some(answer)),
            None if state.awaited.is_empty() => Poll::Ready(None),
            None => {
                if !state.wakers.iter().any(|known| known.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Stream for InviteAnswers {
    type Item = InviteAnswer;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<InviteAnswer>> {
        self.poll(context)
    }
}

impl fmt::Debug for InviteAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteAnswers").field("awaited", &self.shared.state.lock().awaited).finish()
    }
}

impl ReporterShared {
    /// Whether a response to the object is an invited hyperty's answer.
    pub(super) fn is_invite_answer(&self, message: &Message) -> bool {
        *message.from() == self.url.subscription()
    }

    /// Invitations that a creation makes: their answers are events, also the refusal of all of them.
    pub(super) async fn invite_at_creation(self: &Arc<ReporterShared>, who: Vec<Url>) {
        let hyperties: Vec<HypertyUrl> =
            who.iter().filter_map(|url| HypertyUrl::try_from(url.clone()).ok()).collect();
        let refused = match Invite::new(self, who).run().await {
            // Dropped: the answers become events.
            Ok(_) => return,
            Err(InviteError::Refused { code, reason }) => (code, reason),
            Err(error) => (StatusCode::TIMEOUT, error.to_string()),
        };
        for invitee in hyperties {
            let (code, reason) = refused.clone();
            let answer = InviteAnswer { invitee, code, reason, provisional: false };
            self.raise(ReporterEvent::InviteAnswer(answer));
        }
    }
}
