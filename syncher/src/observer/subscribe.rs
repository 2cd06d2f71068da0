//! Subscribing to an object (protocol 5.3).

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::BusError;
use hyperty_model::message::{OneOrMany, ResponseBody, SubscribeBody};
use hyperty_model::{MessageType, ObjectUrl, StatusCode, Url};

use super::Observer;
use super::shared::ObserverShared;
use crate::core::{Abandoned, Asked, Core, CoreRef, Live};
use crate::exchange;

/// A subscription with its options; awaited it gives the [`Observer`].
///
/// Subscribing to an object that this hyperty observes already gives another handle of it, with the options of the
/// latest subscription. A subscription that is dropped while it waits, or whose answer does not come in time, is
/// ended when the answer comes after all.
#[derive(Debug)]
#[must_use = "nothing is subscribed until this is awaited"]
pub struct Subscribe {
    core: CoreRef,
    object: ObjectUrl,
    options: Options,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    store: Option<bool>,
    resumable: Option<bool>,
    backup: Option<bool>,
    schema: Option<Url>,
    domain_subscription: Option<bool>,
    timeout: Option<Duration>,
}

/// Why an object is not observed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// This hyperty reports the object itself: use its [`Reporter`](crate::Reporter).
    #[error("{0} is reported by this hyperty itself")]
    OwnObject(ObjectUrl),
    /// Refused, and nothing is left behind. 403: the Reporter or a policy does not allow it; 404: there is no such
    /// object, or no way to it; 408: the Reporter's side does not answer, try again later; 410: it is deleted.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time. If one comes later, the subscription is ended.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The hyperty listens on too many addresses. Drop some objects.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

impl Subscribe {
    pub(crate) fn new(core: Arc<Core>, object: ObjectUrl) -> Subscribe {
        Subscribe { core: CoreRef(core), object, options: Options::default() }
    }

    /// Keeps the copy in the runtime's store, so that it is resumed after a restart. Off if not set.
    pub fn store(mut self, store: bool) -> Subscribe {
        self.options.store = Some(store);
        self
    }

    /// Keeps a record for resume, without the data unless `store` is set too. As `store` if not set.
    pub fn resumable(mut self, resumable: bool) -> Subscribe {
        self.options.resumable = Some(resumable);
        self
    }

    /// Lets the user's other devices know of the observation, by the backup of the domain: they can go on with it
    /// ([`Syncher::resume_by`](crate::Syncher::resume_by) with the user as criterion). Implies `resumable`; as the
    /// runtime was told to if not set, and of no effect where there is no backup or no user.
    pub fn backup(mut self, backup: bool) -> Subscribe {
        self.options.backup = Some(backup);
        self
    }

    /// The object's schema, if it is known: saves looking it up.
    pub fn schema(mut self, schema: Url) -> Subscribe {
        self.options.schema = Some(schema);
        self
    }

    /// Takes the stream through the message node of the object's domain; on if not set.
    pub fn domain_subscription(mut self, subscription: bool) -> Subscribe {
        self.options.domain_subscription = Some(subscription);
        self
    }

    /// How long to wait for an answer; [`Timeouts::response`](crate::Timeouts::response) if not set.
    pub fn timeout(mut self, timeout: Duration) -> Subscribe {
        self.options.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Observer, SubscribeError> {
        let core = &self.core.0;
        loop {
            if core.is_stopped() {
                return Err(SubscribeError::Stopped);
            }
            let shared = entered(core, &self.object)?;
            let _turn = shared.turn.lock().await;
            // It may have ended while somebody else had the turn.
            if !shared.has_ended() {
                return subscribe(&shared, &self.options).await;
            }
        }
    }
}

/// The object as it is known here, or a provisional one.
fn entered(core: &Arc<Core>, object: &ObjectUrl) -> Result<Arc<ObserverShared>, SubscribeError> {
    let live = match core.live(object) {
        Some(live) => live,
        None => {
            let new = Live::Observer(ObserverShared::provisional(core, object)?);
            core.insert(object, &new).err().unwrap_or(new)
        }
    };
    match live {
        Live::Observer(observer) => Ok(observer),
        Live::Reporter(_) => Err(SubscribeError::OwnObject(object.clone())),
    }
}

/// Asks the Sync Manager and takes over the snapshot. What arrives meanwhile is kept; the channels of children are
/// listened to from the provisional answer on.
pub(super) async fn subscribe(
    shared: &Arc<ObserverShared>,
    options: &Options,
) -> Result<Observer, SubscribeError> {
    let core = &shared.core;
    let _asking = shared.board.ask();
    let message = core.to_sync_manager(MessageType::Subscribe, body(shared, options));
    shared.state.lock().asking = Some(message.id().clone());
    let asked = Asked::new(core, message.id(), Abandoned::Subscribe(shared.url.clone()));
    let weak = Arc::downgrade(shared);
    let request = core.minibus.request(message).on_provisional(move |answer| {
        if let (Some(shared), Ok(body)) = (weak.upgrade(), answer.decode::<ResponseBody>()) {
            shared.learn(&exchange::children_names(body.children_resources.as_deref()));
        }
    });
    let timeout = options.timeout.unwrap_or(core.config.timeouts.response);
    let answer = request.timeout(timeout).await;
    let malformed = |error: String| SubscribeError::Malformed(error);
    let body = answer.decode::<ResponseBody>().map_err(|error| malformed(error.to_string()))?;
    asked.answered(body.code);
    match body.code {
        code if code.is_success() => {}
        StatusCode::TIMEOUT => return Err(SubscribeError::Timeout),
        code => return Err(SubscribeError::Refused { code, reason: body.why().to_owned() }),
    }
    let was_live = shared.is_live();
    let taken = take_answer(shared, &body);
    if taken.is_err() && !was_live && !shared.has_ended() {
        // It was accepted, and nothing is left behind.
        shared.unsubscribe_later();
    }
    taken
}

/// What was accepted is the copy from now on.
fn take_answer(shared: &Arc<ObserverShared>, body: &ResponseBody) -> Result<Observer, SubscribeError> {
    let malformed = |error: String| SubscribeError::Malformed(error);
    let repair = exchange::repair_of(body).map_err(malformed)?;
    // Its place in the stream is at the snapshot.
    let observer = Observer::at(shared);
    shared.take_over(repair);
    if shared.was_removed() {
        let reason = "the Reporter removed this observer".to_owned();
        return Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, reason });
    }
    if !shared.is_live() {
        return Err(malformed("no snapshot".to_owned()));
    }
    match shared.state.lock().deaf.take() {
        Some(error) => Err(error.into()),
        None => Ok(observer),
    }
}

fn body(shared: &ObserverShared, options: &Options) -> SubscribeBody {
    SubscribeBody {
        resource: Some(OneOrMany(vec![shared.url.clone()])),
        since: shared.stands_at(),
        schema: options.schema.clone(),
        store: options.store,
        resumable: options.resumable,
        backup: options.backup,
        domain_subscription: options.domain_subscription,
        identity: shared.core.config.identity.clone(),
        ..SubscribeBody::default()
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Observer, SubscribeError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
