//! Going on with what this hyperty reported and observed before a restart (protocol 5.10).

use std::sync::Arc;

use hyperty_message_bus::BusError;
use hyperty_model::message::{CreateObject, ResponseBody, ResumeBody, SubscribeBody, UpdateBody, UpdateKind};
use hyperty_model::resume::Criteria;
use hyperty_model::{Message, MessageType, ObjectUrl, StatusCode};
use serde_json::Value;

use crate::core::{Adopting, Core, Live};
use crate::observer::ObserverShared;
use crate::reporter::ReporterShared;
use crate::{Accept, Observer, Reporter, exchange};

/// What was resumed.
#[derive(Debug, Clone, Default)]
pub struct Resumed {
    /// The objects this hyperty reports.
    pub reporters: Vec<Reporter>,
    /// The objects this hyperty observes.
    pub observers: Vec<Observer>,
    /// Objects of the user that nobody could deliver: they are known to exist, and whoever has their data cannot be
    /// reached now. Only [`Syncher::resume_by`](crate::Syncher::resume_by) tells.
    pub missing: Vec<ObjectUrl>,
}

/// Why nothing, or not everything, was resumed. What was resumed before the failure is found by
/// [`Syncher::reporters`](crate::Syncher::reporters) and [`Syncher::observers`](crate::Syncher::observers).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The runtime refused. 403: the objects asked for are another user's, or a policy forbids it; 409: what was asked
    /// for is live elsewhere; 500: what is stored could not be read.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer came in time. Resume again.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The hyperty listens on too many addresses.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

pub(crate) async fn resume(core: &Arc<Core>) -> (Resumed, Result<(), ResumeError>) {
    if core.is_stopped() {
        return (Resumed::default(), Err(ResumeError::Stopped));
    }
    // Until an object is entered here, what arrives for it is kept.
    let adopting = core.adopt();
    let _asking = core.ask_all();
    // Without criteria, an identity would be one: those of this hyperty.
    let create = CreateObject { resume: true, ..CreateObject::default() };
    let subscribe = SubscribeBody { resume: true, ..SubscribeBody::default() };
    let (reported, observed) =
        tokio::join!(core.ask(MessageType::Create, create), core.ask(MessageType::Subscribe, subscribe));
    let mut resumed = Resumed::default();
    let result = take_up_all(&adopting, &reported, true, &mut resumed);
    let result = result.and(take_up_all(&adopting, &observed, false, &mut resumed));
    (resumed, result)
}

/// What the criteria cover: first what is to be reported, then what is to be observed, so that an object is not both.
pub(crate) async fn resume_by(core: &Arc<Core>, criteria: &Criteria) -> (Resumed, Result<(), ResumeError>) {
    if core.is_stopped() {
        return (Resumed::default(), Err(ResumeError::Stopped));
    }
    let adopting = core.adopt();
    let _asking = core.ask_all();
    let mut resumed = Resumed::default();
    let reported = core.ask(MessageType::Create, ResumeBody::of(criteria)).await;
    let first = take_up_all(&adopting, &reported, true, &mut resumed);
    let second = take_up_observed(&adopting, criteria, &mut resumed).await;
    (resumed, first.and(second))
}

/// What the criteria cover of what is observed, and nothing that is reported.
pub(crate) async fn observe_by(core: &Arc<Core>, criteria: &Criteria) -> (Resumed, Result<(), ResumeError>) {
    if core.is_stopped() {
        return (Resumed::default(), Err(ResumeError::Stopped));
    }
    let adopting = core.adopt();
    let _asking = core.ask_all();
    let mut resumed = Resumed::default();
    let result = take_up_observed(&adopting, criteria, &mut resumed).await;
    (resumed, result)
}

async fn take_up_observed(
    adopting: &Adopting,
    criteria: &Criteria,
    resumed: &mut Resumed,
) -> Result<(), ResumeError> {
    let observed = adopting.core().ask(MessageType::Subscribe, ResumeBody::of(criteria)).await;
    let result = take_up_all(adopting, &observed, false, resumed);
    resumed.missing.sort_unstable();
    resumed.missing.dedup();
    result
}

fn take_up_all(
    adopting: &Adopting,
    answer: &Message,
    is_reported: bool,
    resumed: &mut Resumed,
) -> Result<(), ResumeError> {
    resumed.missing.extend(missing(answer));
    snapshots(answer)?.iter().try_for_each(|value| take_up(adopting, value, is_reported, resumed))
}

/// What exists and could not be had.
fn missing(answer: &Message) -> Vec<ObjectUrl> {
    let Ok(body) = answer.decode::<ResponseBody>() else { return Vec::new() };
    let listed = body.extra.get("missing").and_then(Value::as_array);
    let read = |url: &Value| url.as_str().and_then(|url| ObjectUrl::parse(url).ok());
    listed.into_iter().flatten().filter_map(read).collect()
}

impl Core {
    /// An object became this hyperty's while nobody waited for it: it is taken up, and kept until the hyperty goes.
    pub(crate) async fn resume_given(self: Arc<Core>) {
        let (resumed, result) = resume(&self).await;
        if let Err(error) = result {
            tracing::warn!(%error, "an object that was given to this hyperty is not taken up yet");
        }
        let Some(kept) = self.kept.get().and_then(std::sync::Weak::upgrade) else { return };
        let mut kept = kept.lock();
        // It may have been this hyperty's before.
        kept.reporters.retain(|known| !known.is_closed());
        for reporter in resumed.reporters {
            if !kept.reporters.iter().any(|known| known.url() == reporter.url()) {
                kept.reporters.push(reporter);
            }
        }
    }
}

/// The objects in an answer; that there are none is no failure.
fn snapshots(answer: &Message) -> Result<Vec<Value>, ResumeError> {
    let body = answer.decode::<ResponseBody>().map_err(|error| ResumeError::Malformed(error.to_string()))?;
    match (body.code, &body.value) {
        (StatusCode::NOT_FOUND, _) => Ok(Vec::new()),
        (StatusCode::TIMEOUT, _) => Err(ResumeError::Timeout),
        (code, Some(Value::Array(values))) if code.is_success() => Ok(values.clone()),
        (code, _) if code.is_success() => Err(ResumeError::Malformed("no list of objects".to_owned())),
        (code, _) => Err(ResumeError::Refused { code, reason: body.why().to_owned() }),
    }
}

fn take_up(
    adopting: &Adopting,
    value: &Value,
    reported: bool,
    resumed: &mut Resumed,
) -> Result<(), ResumeError> {
    let core = adopting.core();
    let (snapshot, names) = match exchange::snapshot(value) {
        Ok(read) => read,
        Err(error) => {
            // One that is broken must not keep back the others.
            tracing::error!(%error, "an object could not be resumed");
            return Ok(());
        }
    };
    if reported {
        if let Some(Live::Observer(observer)) = core.live(&snapshot.metadata.url) {
            // It was given to this hyperty, or came back to it.
            observer.owned();
        }
        let shared = ReporterShared::adopt(core, snapshot, &names, Accept::Ask)?;
        shared.take_over_observers(exchange::observers(value));
        announce(core, &shared);
        resumed.reporters.push(Reporter { shared });
    } else if adopting.has_left(&snapshot.metadata.url) {
        // The answer is older than that, or its observation was begun for one who wants it no more.
        if core.live(&snapshot.metadata.url).is_none() {
            let request = core.ask(MessageType::Unsubscribe, core.unsubscribe_body(&snapshot.metadata.url));
            core.run_later(async move { drop(request.await) });
        }
    } else {
        let disconnected = value.get("status").and_then(Value::as_str) == Some("disconnected");
        if let Some(shared) = ObserverShared::resumed(core, snapshot, &names, disconnected)? {
            resumed.observers.push(Observer::of(shared));
        }
    }
    Ok(())
}

/// Tells the registry of this runtime that the object is live again.
fn announce(core: &Arc<Core>, reporter: &ReporterShared) {
    let url = reporter.url();
    let live = UpdateBody {
        resource: Some(url.to_string()),
        ..UpdateBody::new(UpdateKind::Status(Value::String("live".to_owned())))
    };
    core.minibus.post(core.minibus.new_message(MessageType::Update, core.hyperty(), &url.status(), live));
}

/// The objects that are live, each with a new handle.
pub(crate) fn live(core: &Core) -> Resumed {
    let mut found = Resumed::default();
    for live in core.all_live() {
        match live {
            Live::Reporter(shared) => found.reporters.push(Reporter { shared }),
            Live::Observer(shared) if shared.is_live() => found.observers.push(Observer::of(shared)),
            Live::Observer(_) => {}
        }
    }
    found
}
