//! What was given is set up here, written, and then served (protocol 5.11 steps 9, 10 and 12).

use std::sync::Arc;

use hyperty_message_bus::{RouteError, Wish};
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::ResponseBody;
use hyperty_model::{HypertyUrl, Position, Snapshot, StatusCode};
use hyperty_registry::RegisterError;
use hyperty_storage::{Delegation, Grant, Invited, RecordStatus, Subscriber};
use serde::Deserialize;
use tokio::time::Instant;

use hyperty_model::delegation::Taker;

use super::taking::Taking;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::reporter::{ObserverEntry, Options, Path, Phase, Reported, State};

/// What the giving side's answer says.
struct Granted {
    snapshot: Snapshot,
    /// Where it stood there.
    from: Position,
    epoch: u64,
    subscribers: Vec<Subscriber>,
    grants: Vec<Grant>,
    invitations: Vec<Invited>,
    options: Options,
}

impl SyncManager {
    /// From the grant to the first change in the name of the new Reporter. An error before it may be on disk means that
    /// it is to be given back.
    pub(super) async fn adopt(&self, taking: &Arc<Taking>, grant: &ResponseBody) -> Result<(), Refusal> {
        let epoch = grant.epoch.unwrap_or_default();
        let offer = taking.offer();
        if !taking.step(|state| state.granted(&offer, epoch)) {
            return Err(Refusal::new(StatusCode::CONFLICT, "it is not waited for any more"));
        }
        let granted = read(taking, grant, epoch)?;
        let object = self.new_reported(taking, &granted);
        let wish = self.host(taking, &object, &granted).await?;
        object.lock().wish = wish;
        if !taking.step(Taker::host) {
            return Err(Refusal::new(StatusCode::CONFLICT, "it is not waited for any more"));
        }
        if granted.options.resumable {
            self.storage().save(&self.owner_record(taking, &object, &granted));
            self.on_disk().await?;
        }
        taking.step(Taker::written);
        self.serve(taking, &object, &granted).await?;
        tracing::info!(object = %object.url, position = %object.lock().position, to = %taking.to, "an object is taken over");
        self.tally().taken.add(1);
        Ok(())
    }

    /// The object as it goes on here: a new epoch, and in it one change, which says who reports it now.
    fn new_reported(&self, taking: &Taking, granted: &Granted) -> Arc<Reported> {
        let start = Position { epoch: granted.epoch, ..granted.from };
        let mut metadata = granted.snapshot.metadata.clone();
        metadata.reporter = taking.to.clone();
        metadata.runtime = self.shared.parts.runtime.clone();
        let mut state = State::new(metadata, start, granted.snapshot.data.clone(), granted.options);
        state.log = ChangeLog::continuing(granted.from, granted.epoch, LogLimits::default());
        state.children = granted.snapshot.children.clone();
        state.grants = granted.grants.iter().cloned().collect();
        state.invitations = granted.invitations.iter().cloned().collect();
        state.reporter_user = taking.identity.clone();
        state.phase = Phase::Frozen;
        state.handing.awaited = true;
        let body = Arc::new(self.first_change(&taking.to, start.next()));
        state.note_first_change(&body);
        Arc::new(Reported::new(Arc::clone(&taking.schema), state))
    }

    fn owner_record(
        &self,
        taking: &Taking,
        object: &Reported,
        granted: &Granted,
    ) -> hyperty_storage::ObjectRecord {
        let state = object.lock();
        let mut record = state.record(object.names().cloned().collect(), RecordStatus::Live);
        record.subscriptions = granted.subscribers.clone();
        record.log = state.first_change.iter().cloned().collect();
        record.delegation = Some(origin(taking, granted.from));
        record
    }

    /// Registration and routes at the node of the domain. The giving side says there whose the object is; until that is
    /// known this side is refused, and asks again for a while.
    async fn host(
        &self,
        taking: &Taking,
        object: &Arc<Reported>,
        granted: &Granted,
    ) -> Result<Option<Wish>, Refusal> {
        taking.begin_holding();
        *taking.listeners.lock() =
            vec![self.listen(&taking.url.subscription())?, self.listen(taking.url.as_url())?];
        let deadline = Instant::now() + self.config().host_wait;
        if granted.options.domain_registration {
            let record = self.registration(object);
            self.until_hosted(deadline, || async {
                match self.shared.parts.registrations.resume(record.clone()).await {
                    Ok(()) => Ok(true),
                    Err(RegisterError::Unreachable(_)) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            })
            .await?;
        }
        if !granted.options.domain_routing {
            return Ok(None);
        }
        let wish = self.shared.parts.routes.wish(taking.url.home(), object.routed());
        self.until_hosted(deadline, || async {
            match wish.establish().await {
                Ok(()) => Ok(true),
                Err(RouteError::Unreachable { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        Ok(Some(wish))
    }

    /// Tries until it is done. What is refused may be allowed soon; who cannot be reached is waited for: an owner that is
    /// cut off is one all the same.
    async fn until_hosted<F: Future<Output = Result<bool, Refusal>>>(
        &self,
        deadline: Instant,
        attempt: impl Fn() -> F,
    ) -> Result<(), Refusal> {
        let mut pause = self.config().retry_min;
        loop {
            match attempt().await {
                Ok(true) => return Ok(()),
                Err(refusal) if Instant::now() >= deadline => return Err(refusal),
                Ok(false) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.config().retry_max);
        }
    }

    /// The routes of an observed object here give way to those of a reported one, then everybody is told.
    async fn serve(&self, taking: &Taking, object: &Arc<Reported>, granted: &Granted) -> Result<(), Refusal> {
        let mut released = self.release_observation(&object.url).await;
        // They get routes of their own from the list of observers that came with the object.
        released.locals.clear();
        self.add_local_object(&object.url)?;
        let listeners = self.reporter_listeners(object)?;
        let forwards = self.reporter_forwards(object, &taking.to)?;
        let with_routes = |subscriber: &Subscriber| {
            let mut subscriber = subscriber.clone();
            // A giving side of another make does not say where its observers are.
            if subscriber.runtime.is_none() && self.bus().is_attached(&subscriber.hyperty) {
                subscriber.runtime = Some(self.shared.parts.runtime.clone());
            }
            let routes = self.routes_of_observer(object, &subscriber);
            (subscriber, routes)
        };
        let routes: Vec<_> = granted.subscribers.iter().map(with_routes).collect();
        {
            let mut state = object.lock();
            (state.listeners, state.forwards) = (listeners, forwards);
            state.origin = Some(origin(taking, granted.from));
            for (subscriber, routes) in routes {
                if subscriber.removed.is_some() {
                    state.removed.restore(subscriber);
                    continue;
                }
                let entry = ObserverEntry {
                    away: (routes.is_none() || subscriber.away).then(Instant::now),
                    routes: routes.filter(|_| !subscriber.away).unwrap_or_default(),
                    runtime: subscriber.runtime,
                    identity: subscriber.identity,
                    since: subscriber.since,
                    resumable: true,
                    children: subscriber.children,
                };
                state.observers.insert(subscriber.hyperty, entry);
            }
            self.go_on_with_children(object, &mut state, &released);
            state.phase = Phase::Live;
            self.shared.reported.insert(object.url.clone(), Arc::clone(object));
            self.release_first_change(object, &mut state);
        }
        self.plan_away(object, &object.lock());
        let held = taking.end_holding();
        self.leave_taking(taking);
        for message in held {
            self.enqueue(&message);
        }
        self.withdraw_all(released.wishes);
        for message in released.pending {
            self.on_child_channel(object, &message);
        }
        Ok(())
    }

    /// A6 and A7, or B2 and B4 for one of this runtime; `None` for one that is away.
    fn routes_of_observer(
        &self,
        object: &Reported,
        subscriber: &Subscriber,
    ) -> Option<crate::reporter::ObserverRoutes> {
        let registry = &self.shared.parts.registry;
        let here = subscriber.runtime.as_ref() == Some(&self.shared.parts.runtime);
        if registry.is_local(&subscriber.hyperty) || (here && self.bus().is_attached(&subscriber.hyperty)) {
            return self.observer_routes(object, &Path::Local(subscriber.hyperty.clone())).ok();
        }
        let stub = self.stub_of(object.url.home()).filter(|_| !here)?;
        self.observer_routes(object, &Path::Stub(stub)).ok()
    }
}

/// How the object came here, which stays with it.
fn origin(taking: &Taking, from: Position) -> Delegation {
    Delegation::Taking { state: taking.state().to_write(), from: Some(from) }
}

fn read(taking: &Taking, grant: &ResponseBody, epoch: u64) -> Result<Granted, Refusal> {
    let unusable = |what: String| Refusal::bad_request(format!("the grant cannot be used: {what}"));
    let value = grant.value.as_ref().ok_or_else(|| unusable("no value".to_owned()))?;
    let snapshot = Snapshot::deserialize(value).map_err(|error| unusable(error.to_string()))?;
    // Two owners of one epoch there are not (INV-DLG-1), whoever offers that.
    if snapshot.metadata.url != taking.url || epoch <= snapshot.epoch {
        return Err(unusable("another object, or no epoch of its own".to_owned()));
    }
    let from = Position { epoch: snapshot.epoch, version: snapshot.version };
    let member = |key: &str| grant.extra.get(key).cloned();
    let flag = |key: &str, or: bool| member(key).and_then(|value| value.as_bool()).unwrap_or(or);
    let list = |key: &str| Vec::<HypertyUrl>::deserialize(member(key)?).ok();
    let whole = member("subscribers").and_then(|value| Vec::<Subscriber>::deserialize(value).ok());
    let bare = || list("subscriptions").unwrap_or_default().into_iter().map(Subscriber::new).collect();
    let mut subscribers: Vec<Subscriber> = whole.unwrap_or_else(bare);
    subscribers.retain(|subscriber| subscriber.hyperty != taking.to);
    let grants = member("grants").or_else(|| member("authorise"));
    let domain_registration = flag("domain_registration", true);
    let options = Options {
        store: taking.store,
        resumable: taking.resumable,
        domain_registration,
        domain_routing: flag("domain_routing", true),
        // The registry says who may go on with it.
        backup: taking.backup && domain_registration,
    };
    Ok(Granted {
        snapshot,
        from,
        epoch,
        subscribers,
        grants: grants.and_then(|value| Vec::deserialize(value).ok()).unwrap_or_default(),
        invitations: member("invitations").and_then(|value| Vec::deserialize(value).ok()).unwrap_or_default(),
        options,
    })
}
