//! Observers resume by criteria (protocol 5.10.2): what is their own, and what another hyperty of the same user
//! observed, in this runtime or on another device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyperty_model::message::{ResponseBody, SubscribeBody, UnsubscribeBody};
use hyperty_model::resume::Criteria;
use hyperty_model::{HypertyUrl, Identity, MessageType, ObjectUrl, StatusCode};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_storage::{Role, Subscriber};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answer::{Question, Refusal};
use crate::backup::BackupKey;
use crate::manager::SyncManager;
use crate::reporter::{MISSING_MAX, resumed_value};

/// Hyperties of the user that observe an object.
type Observers = BTreeSet<HypertyUrl>;

/// What is to be gone on with.
#[derive(Default)]
struct Former {
    observers: Observers,
    /// The records at the backup that tell so, and whether the data was stored there.
    kept: Vec<BackupKey>,
    store: bool,
}

impl SyncManager {
    pub(crate) async fn resume_observers_by(
        &self,
        question: Question,
        hyperty: HypertyUrl,
        criteria: &Criteria,
    ) {
        let deadline = Instant::now() + self.config().peer_timeout;
        let user = match self.check_identity(&hyperty, criteria.identity.as_ref()) {
            Ok(user) => user,
            Err(refusal) => return question.answer(refusal),
        };
        if let Err(refusal) = self.may_resume(&hyperty, criteria.identity.as_ref()).await {
            return question.answer(refusal);
        }
        let (mut values, resumed) = self.resume_observed(&hyperty, criteria).await;
        let mut missing = BTreeSet::new();
        let mut failure = None;
        for (url, former) in self.observed_by_user(&hyperty, user.as_ref(), criteria, deadline).await {
            match self.inherit_observation(&url, &hyperty, user.as_ref(), &former, deadline).await {
                Ok(value) => {
                    values.push(value);
                    self.hand_on_observation(user.as_ref(), former);
                }
                Err(refusal) => {
                    tracing::info!(object = %url, %refusal, "an observation is not taken over");
                    if refusal.is_gone() {
                        self.hand_on_observation(user.as_ref(), former);
                    }
                    if refusal.is_unreachable() {
                        missing.insert(url);
                    }
                    failure = Some(refusal);
                }
            }
        }
        // That took its time: what the hyperty has left by then is not begun anew (M6).
        values.retain(|value| self.is_observed_by(value, &hyperty));
        if values.is_empty() && missing.is_empty() {
            let nothing = || Refusal::new(StatusCode::NOT_FOUND, "not found");
            return question.answer(failure.unwrap_or_else(nothing));
        }
        let mut body = ResponseBody::ok().with_value(Value::Array(values));
        if !missing.is_empty() {
            let told: Vec<_> = missing.iter().take(MISSING_MAX).collect();
            body.extra.insert("missing".to_owned(), json!(told));
        }
        question.answer(body);
        for object in resumed {
            self.repair_soon(&object);
        }
    }

    /// Objects that other hyperties of the user observe: in this runtime, and as far as a backup tells elsewhere.
    async fn observed_by_user(
        &self,
        hyperty: &HypertyUrl,
        user: Option<&Identity>,
        criteria: &Criteria,
        deadline: Instant,
    ) -> BTreeMap<ObjectUrl, Former> {
        let Some(user) = user else { return BTreeMap::new() };
        let mut found: BTreeMap<ObjectUrl, Former> = BTreeMap::new();
        let mut add = |url: &ObjectUrl, observers: Observers, kept: Option<(BackupKey, bool)>| {
            let wanted = criteria.subscriber.as_ref().is_none_or(|who| observers.contains(who));
            if wanted && !observers.is_empty() && !observers.contains(hyperty) {
                let former = found.entry(url.clone()).or_default();
                former.observers.extend(observers);
                if let Some((key, store)) = kept {
                    former.kept.push(key);
                    former.store |= store;
                }
            }
        };
        for record in self.shared.dormant.lock().observed.values() {
            if criteria.covers(&record.metadata, record.data.as_ref()) {
                add(&record.metadata.url, of_user(&record.subscriptions, user), None);
            }
        }
        for object in self.all_observed() {
            let state = object.lock();
            let Some(metadata) = &state.metadata else { continue };
            if criteria.covers(metadata, state.replica.data()) {
                let same = |(_, o): &(&HypertyUrl, &super::LocalObserver)| {
                    o.resumable && o.identity.as_ref().is_some_and(|it| it.same_user(user))
                };
                let observers = state.observers.iter().filter(same).map(|(h, _)| h.clone());
                add(&object.url, observers.collect(), None);
            }
        }
        if criteria.identity.is_some() {
            // What else this runtime has saved is in its store.
            let here = self.shared.parts.runtime.clone();
            let wanted = |key: &BackupKey| {
                let named = criteria.resources.as_ref().is_none_or(|list| list.contains(&key.object));
                named && key.runtime != here && self.reported(&key.object).is_none()
            };
            let restored = self.restored((hyperty.home(), user, Role::Observer), deadline, wanted).await;
            for (key, record) in restored.records {
                if criteria.covers(&record.metadata, record.data.as_ref()) {
                    let observers = of_user(&record.subscriptions, user);
                    add(&record.metadata.url, observers, Some((key, record.store)));
                }
            }
        }
        // What the hyperty observes itself was resumed before.
        found.retain(|url, _| {
            self.observed(url).is_none_or(|object| !object.lock().observers.contains_key(hyperty))
        });
        found
    }

    /// The records of the former devices are not needed any more: what is observed here is kept for all of them.
    fn hand_on_observation(&self, user: Option<&Identity>, former: Former) {
        if let Some(user) = user.filter(|_| !former.kept.is_empty()) {
            self.give_up_backups(user, former.kept);
        }
    }

    /// Observes an object in the place of another hyperty of the same user: the Reporter's side accepts without asking,
    /// and the former observer goes if it does not live here (step 6).
    async fn inherit_observation(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        user: Option<&Identity>,
        former: &Former,
        deadline: Instant,
    ) -> Result<Value, Refusal> {
        let request = PolicyRequest::new(Point::Resume, hyperty.as_url().clone())
            .identity(user.cloned())
            .object(url.clone());
        self.decide(&request).await?;
        let dormant = self.shared.dormant.lock().observed.get(url).map(|record| record.store);
        let store = dormant.unwrap_or(former.kept.is_empty() || former.store);
        let backup = !former.kept.is_empty();
        // Whoever else observes it here keeps its place, and the copy saves a whole state.
        self.restore_others(url).await?;
        self.observe_for(url, (hyperty, user), (store, backup), deadline).await?;
        for old in &former.observers {
            if !self.shared.parts.registry.has_hyperty(old) && self.observes_here(url, old) {
                let body = UnsubscribeBody { resource: Some(url.clone()), ..UnsubscribeBody::default() };
                if let Err(refusal) = self.unsubscribe(old, &body).await {
                    tracing::debug!(object = %url, %old, %refusal, "the former observer is still known");
                }
            }
        }
        let here = self.reported(url).and_then(|object| resumed_value(&object, &object.lock()));
        let value = here.or_else(|| self.observed(url).and_then(|o| self.rejoin_observed(&o, hyperty)));
        value.ok_or_else(|| Refusal::unknown(url))
    }

    /// Whether a hyperty observes the object of which this is the state: reported elsewhere, here, or by one that has not
    /// come back yet.
    fn is_observed_by(&self, state: &Value, hyperty: &HypertyUrl) -> bool {
        let url = state.get("url").and_then(Value::as_str);
        let Some(url) = url.and_then(|url| ObjectUrl::parse(url).ok()) else { return false };
        self.observes_here(&url, hyperty)
            || self.reported(&url).is_some_and(|object| object.lock().observers.contains_key(hyperty))
            || self.shared.dormant.lock().early.get(&url).is_some_and(|early| early.contains(hyperty))
    }

    fn observes_here(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> bool {
        self.observed(url).is_some_and(|object| object.lock().observers.contains_key(hyperty))
    }

    /// A subscription in the name of a hyperty that asked to resume.
    async fn observe_for(
        &self,
        url: &ObjectUrl,
        (hyperty, user): (&HypertyUrl, Option<&Identity>),
        (store, backup): (bool, bool),
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let body = SubscribeBody {
            resume: true,
            resource: Some(hyperty_model::message::OneOrMany(vec![url.clone()])),
            identity: user.cloned(),
            store: Some(store),
            resumable: Some(true),
            backup: backup.then_some(true),
            ..SubscribeBody::default()
        };
        let request =
            self.bus().new_message(MessageType::Subscribe, hyperty.as_url(), self.address(), body.clone());
        let (done, mut answered) = oneshot::channel();
        let done = parking_lot::Mutex::new(Some(done));
        // The answer goes where those of all subscriptions go, and is seen here in passing.
        let _watch = self.bus().watch_responses(hyperty.as_url(), request.id(), move |answer| {
            let body = answer.decode::<ResponseBody>().unwrap_or_default();
            if !body.code.is_provisional()
                && let Some(done) = done.lock().take()
            {
                let _ = done.send(body);
            }
        });
        let question = Arc::new(Question::new(self.bus(), request));
        let (manager, asked, hyperty) = (self.clone(), Arc::clone(&question), hyperty.clone());
        // It comes to its end also when it is given up: half of it would be left behind.
        self.later(Box::pin(async move { manager.subscribe(&asked, hyperty, &body).await }));
        let unreachable = || Refusal::unreachable(url.home());
        let answer = match tokio::time::timeout_at(deadline, &mut answered).await {
            Ok(answer) => answer,
            // From here on nothing that it may come to counts, unless that was answered just now.
            Err(_) if question.answer_first(unreachable()) => return Err(unreachable()),
            Err(_) => answered.await,
        };
        let answer = answer.map_err(|_| unreachable())?;
        if answer.code.is_success() { Ok(()) } else { Err(Refusal::relayed(&answer)) }
    }
}

/// Who of these is of the user.
fn of_user(subscriptions: &[Subscriber], user: &Identity) -> Observers {
    let same = |s: &&Subscriber| s.identity.as_ref().is_some_and(|identity| identity.same_user(user));
    subscriptions.iter().filter(same).map(|subscriber| subscriber.hyperty.clone()).collect()
}
