//! Another hyperty of the same user takes an object over (protocol 5.10.1 step 3): decided by the domain's registry,
//! which accepts each epoch once, then persisted, then told.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::{Body, UpdateBody, UpdateKind};
use hyperty_model::{HypertyUrl, Identity, MessageType, ObjectUrl, Position, StatusCode};
use hyperty_registry::{QueryError, RegistrationRecord, RegistrationStatus};
use hyperty_storage::{ObjectRecord, RecordStatus, Role};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::object::{ObserverEntry, Reported};
use super::resume::homes_of;
use super::resume_by::{identity_of, registry_refusal};
use super::routes::Path;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::observer::LocalObserver;

/// A record that is to be gone on with.
pub(super) struct Candidate {
    pub(super) record: ObjectRecord,
    /// It is the latest that the user's devices have saved, not only the latest that this one has.
    pub(super) from_backup: bool,
}

/// Who takes over.
pub(super) struct Heir {
    pub(super) hyperty: HypertyUrl,
    pub(super) user: Option<Identity>,
}

impl SyncManager {
    /// Makes `heir` the Reporter of a stored object. `known` is what the registry said of it a moment ago.
    ///
    /// What it is to go on from is kept here first: from the registry's yes on the other devices give up what they have. A
    /// crash between that and the durable record of the new epoch leaves an epoch that nobody uses: the next takeover
    /// goes above it. So no two runtimes are ever Reporter at one epoch (INV-RES-5).
    pub(super) async fn take_over(
        &self,
        candidate: Candidate,
        heir: &Heir,
        known: Option<&RegistrationRecord>,
        deadline: Instant,
    ) -> Result<Arc<Reported>, Refusal> {
        let record = &candidate.record;
        let url = record.metadata.url.clone();
        check_same_user(record.reporter_user.as_ref(), heir)?;
        self.may_inherit(record, heir).await?;
        let from = record.position;
        // Without its data, or with a store that may have forgotten some, nobody's copy can be gone on from.
        let whole = record.data.is_some() && !record.broken;
        let epoch = match record.domain_registration {
            true => self.epoch_to_take(&candidate, heir, known, deadline).await?,
            false if record.metadata.runtime == self.shared.parts.runtime => from.epoch + 1,
            false => {
                return Err(conflict("an object that is not registered is taken over in its runtime only"));
            }
        };
        // From here to the durable record nobody else here may resume it (INV-RES-3).
        let _one_at_a_time = self.shared.resuming.lock().await;
        self.check_untaken(&url, record)?;
        let base = self.keep_base(record, deadline).await?;
        let record = inherited(self, candidate.record, heir, epoch);
        if record.domain_registration
            && let Err(refusal) = self.claim(&record, from, deadline).await
        {
            self.put_back(&url, base, &refusal);
            return Err(refusal);
        }
        self.storage().save(&record);
        let ticket = self.storage().barrier();
        if let Err(refusal) = self.durable_by(ticket, deadline).await {
            // Nothing was told to anybody: the registry's entry is given up, and the epoch with it.
            let registrations = self.shared.parts.registrations.clone();
            self.put_back(&url, base, &refusal);
            self.later(Box::pin(async move { drop(registrations.unregister(url.as_url()).await) }));
            return Err(refusal);
        }
        self.shared.dormant.lock().reported.remove(&url);
        // Whoever it was once given to from here has lost it.
        self.shared.given.lock().remove(&url);
        // Not before: one that is not kept leaves those who observe here where they are.
        let released = self.release_observation(&url).await;
        let homes = homes_of(std::slice::from_ref(&record));
        let object = self.wake_reported(record).await?.ok_or_else(|| Refusal::unknown(&url))?;
        self.go_on_with_children(&object, &mut object.lock(), &released);
        self.adopt_locals(&object, released.locals, &heir.hyperty);
        self.begin_routes(homes);
        self.withdraw_all(released.wishes);
        self.tell_new_reporter(&object, whole.then_some(from));
        // What was on its way to the former Reporter is decided here now.
        for message in released.pending {
            self.on_child_channel(&object, &message);
        }
        self.tally().epochs_raised.add(1);
        tracing::info!(object = %url, %from, position = %object.lock().position, "an object is taken over");
        Ok(object)
    }

    /// Makes sure that this runtime has, durably, what is to be gone on from; gives the record, if it had it not before.
    async fn keep_base(
        &self,
        record: &ObjectRecord,
        deadline: Instant,
    ) -> Result<Option<ObjectRecord>, Refusal> {
        let url = &record.metadata.url;
        let has_it = |known: &ObjectRecord| known.position == record.position;
        if !record.domain_registration || self.shared.dormant.lock().reported.get(url).is_some_and(has_it) {
            return Ok(None);
        }
        let base = ObjectRecord { status: RecordStatus::Taking, ..record.clone() };
        self.storage().save(&base);
        match self.durable_by(self.storage().barrier(), deadline).await {
            Ok(()) => Ok(Some(base)),
            Err(refusal) => {
                self.restore_former(url);
                Err(refusal)
            }
        }
    }

    /// A takeover came to nothing, surely or not: what it was to go on from is kept while it may have been granted.
    fn put_back(&self, url: &ObjectUrl, base: Option<ObjectRecord>, refusal: &Refusal) {
        let Some(base) = base else { return };
        match refusal.is_unreachable() {
            true => drop(self.shared.dormant.lock().reported.insert(url.clone(), base)),
            false => self.restore_former(url),
        }
    }

    /// The store has of an object what it had before its takeover was begun.
    fn restore_former(&self, url: &ObjectUrl) {
        let _ticket = match self.shared.dormant.lock().reported.get(url) {
            Some(former) => self.storage().save(former),
            None => self.storage().remove(Role::Reporter, url),
        };
    }

    /// An object whose takeover was begun here is another's.
    pub(super) fn forget_taking(&self, url: &ObjectUrl) {
        let mut dormant = self.shared.dormant.lock();
        if dormant.reported.get(url).is_some_and(|record| record.status == RecordStatus::Taking) {
            dormant.reported.remove(url);
            self.storage().remove(Role::Reporter, url);
        }
    }

    /// The epoch to ask the registry for, if the object may be taken at all: not while it is live elsewhere.
    async fn epoch_to_take(
        &self,
        Candidate { record, from_backup }: &Candidate,
        heir: &Heir,
        known: Option<&RegistrationRecord>,
        deadline: Instant,
    ) -> Result<u64, Refusal> {
        let url = &record.metadata.url;
        let registered = match known {
            Some(known) => Some(known.clone()),
            None => self.registration_of(url, deadline).await?,
        };
        let Some(registered) = registered else { return Ok(record.position.epoch + 1) };
        let here = registered.runtime == self.shared.parts.runtime;
        if registered.status == RegistrationStatus::Live && !here {
            return Err(conflict(format!("{url} is live in {}", registered.runtime)));
        }
        if let Some(owner) = identity_of(&registered) {
            check_same_user(Some(&owner), heir)?;
        }
        if registered.epoch > record.position.epoch && !here && !from_backup {
            // Somebody took it over since, and has what we do not: our record is of the past. Of what a backup has,
            // nothing is later; who took it over was lost before it had saved anything.
            return Err(conflict(format!("{url} went on elsewhere in epoch {}", registered.epoch)));
        }
        Ok(registered.epoch.max(record.position.epoch) + 1)
    }

    async fn registration_of(
        &self,
        url: &ObjectUrl,
        deadline: Instant,
    ) -> Result<Option<RegistrationRecord>, Refusal> {
        let registry = self.shared.parts.registrations.registry();
        let read = tokio::time::timeout_at(deadline, registry.read(url.as_url())).await;
        match read.map_err(|_| Refusal::unreachable(url.home()))? {
            Ok(record) => Ok(Some(record)),
            Err(QueryError::Disconnected(records)) => Ok(records.into_iter().next()),
            Err(QueryError::NotFound) => Ok(None),
            Err(QueryError::Gone) => Err(Refusal::new(StatusCode::GONE, format!("{url} is deleted"))),
            Err(error) => Err(registry_refusal(&error)),
        }
    }

    /// Whether the object is still nobody's here.
    fn check_untaken(&self, url: &ObjectUrl, record: &ObjectRecord) -> Result<(), Refusal> {
        if self.reported(url).is_some() {
            return Err(conflict(format!("{url} is reported here")));
        }
        let dormant = self.shared.dormant.lock();
        if dormant.reported.get(url).is_some_and(|now| now.position > record.position) {
            return Err(conflict(format!("{url} has changed meanwhile")));
        }
        Ok(())
    }

    /// The registry decides: it takes each epoch from one runtime only.
    async fn claim(&self, record: &ObjectRecord, from: Position, deadline: Instant) -> Result<(), Refusal> {
        let metadata = &record.metadata;
        let registration = RegistrationRecord::of_object(
            &metadata.url,
            metadata.runtime.clone(),
            metadata.schema.clone(),
            &metadata.name,
            metadata.reporter.clone(),
        );
        let registration = RegistrationRecord {
            resources: metadata.resources.clone(),
            children_resources: Some(record.children_names.iter().map(ToString::to_string).collect()),
            epoch: record.position.epoch,
            ..registration.with_user(record.reporter_user.as_ref()).with_taken_from(from)
        };
        let claiming = self.shared.parts.registrations.resume(registration);
        let claimed = tokio::time::timeout_at(deadline, claiming).await;
        Ok(claimed.map_err(|_| Refusal::unreachable(metadata.url.home()))??)
    }

    /// Observers of this runtime see the object directly from now on; the new Reporter is none of them any more.
    fn adopt_locals(
        &self,
        object: &Arc<Reported>,
        locals: BTreeMap<HypertyUrl, LocalObserver>,
        reporter: &HypertyUrl,
    ) {
        let here = &self.shared.parts.runtime;
        object.lock().observers.remove(reporter);
        self.storage().remove_subscriber(Role::Reporter, &object.url, reporter);
        for (hyperty, local) in locals.into_iter().filter(|(hyperty, _)| hyperty != reporter) {
            match self.observer_routes(object, &Path::Local(hyperty.clone())) {
                Ok(routes) => {
                    let mut state = object.lock();
                    let identity = local.identity.as_ref();
                    let entry = ObserverEntry {
                        children: state.may_write_children(&hyperty, identity, self.now()),
                        runtime: Some(here.clone()),
                        identity: local.identity,
                        resumable: local.resumable,
                        since: Some(self.now()),
                        away: None,
                        routes,
                    };
                    self.persist_observer(object, &state, &hyperty, &entry);
                    state.observers.insert(hyperty, entry);
                }
                Err(refusal) => {
                    tracing::error!(object = %object.url, %refusal, "an observer here is cut off")
                }
            }
        }
    }

    /// Whoever follows the object hears of the new epoch, does not trust the message, and reads (5.11, fencing). Who
    /// stood where the object was taken over is told the one change, everybody else the state.
    fn tell_new_reporter(&self, object: &Reported, from: Option<Position>) {
        let mut state = object.lock();
        let reporter = &state.metadata.reporter;
        let kind = UpdateKind::Metadata { attribute: "reporter".into(), value: json!(reporter) };
        let body = UpdateBody {
            source: Some(reporter.as_url().clone()),
            last_modified: Some(state.metadata.last_modified),
            ..UpdateBody::new(kind).at(state.position)
        };
        let body = Arc::new(body);
        if let Some(from) = from {
            let position = state.position;
            let mut log = ChangeLog::continuing(from, position.epoch, LogLimits::default());
            log.push(position, Arc::clone(&body));
            state.log = log;
            state.answers.outdate();
        }
        let (from, to) = (object.url.as_url(), object.url.changes());
        let message = self.bus().new_message(MessageType::Update, from, &to, Body::shared(body));
        self.bus().release(&message);
    }
}

/// The record as the new Reporter has it: in a new epoch, one version further, for the change of the Reporter.
fn inherited(manager: &SyncManager, record: ObjectRecord, heir: &Heir, epoch: u64) -> ObjectRecord {
    let mut record = record;
    record.metadata.reporter = heir.hyperty.clone();
    record.subscriptions.retain(|subscriber| subscriber.hyperty != heir.hyperty);
    record.metadata.runtime = manager.shared.parts.runtime.clone();
    record.metadata.last_modified = manager.shared.parts.clock.now();
    record.reporter_user = heir.user.clone();
    record.position = Position::new(epoch, record.position.version + 1);
    record.data = Some(record.data.unwrap_or_else(|| Value::Object(Map::new())));
    record.status = RecordStatus::Live;
    // No copy stands in this epoch yet: what was logged leads nobody here.
    (record.log, record.broken) = (Vec::new(), false);
    record
}

/// No object of another user is ever taken over (INV-RES-4). Nobody's objects are nobody's to take.
fn check_same_user(owner: Option<&Identity>, heir: &Heir) -> Result<(), Refusal> {
    let same = owner.zip(heir.user.as_ref()).is_some_and(|(owner, heir)| owner.same_user(heir));
    if same { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "another user's").because("identity")) }
}

fn conflict(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, text).because("owner")
}
