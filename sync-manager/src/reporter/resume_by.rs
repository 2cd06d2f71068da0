//! Reporters resume by criteria (protocol 5.10.1): what is their own, and what another hyperty of the same user had,
//! in this runtime or on another device.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::message::{CreateObject, ResponseBody};
use hyperty_model::resume::Criteria;
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, StatusCode};
use hyperty_policy::{Point, PolicyRequest};
use hyperty_registry::{Query, QueryError, RegistrationRecord, RegistrationStatus};
use hyperty_storage::{ObjectRecord, RecordStatus, Role};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::resume::resumed_reporter_value;
use super::takeover::{Candidate, Heir};
use crate::answer::{Question, Refusal};
use crate::backup::{BackupKey, Restored};
use crate::manager::SyncManager;

/// Most objects whose loss is told in one answer: with the longest URLs still half of a small message.
pub(crate) const MISSING_MAX: usize = 256;

/// What a search on other devices found.
#[derive(Default)]
pub(super) struct Elsewhere {
    /// What a backup delivered, and what of it did not come.
    pub(super) restored: Restored,
    /// What the domain's registry knows of the user's objects.
    pub(super) registered: BTreeMap<ObjectUrl, RegistrationRecord>,
}

impl Elsewhere {
    fn add(&mut self, more: Elsewhere) {
        self.restored.records.extend(more.restored.records);
        self.restored.missing.extend(more.restored.missing);
        self.registered.extend(more.registered);
    }
}

impl SyncManager {
    pub(crate) async fn resume_reporters_by(
        &self,
        question: Question,
        hyperty: HypertyUrl,
        criteria: &Criteria,
    ) {
        match self.resume_by(&hyperty, criteria).await {
            Ok((values, missing)) if values.is_empty() && missing.is_empty() => {
                question.answer(Refusal::new(StatusCode::NOT_FOUND, "not found"));
            }
            Ok((values, missing)) => {
                let mut body = ResponseBody::ok().with_value(Value::Array(values));
                if !missing.is_empty() {
                    let told: Vec<_> = missing.iter().take(MISSING_MAX).collect();
                    body.extra.insert("missing".to_owned(), json!(told));
                }
                question.answer(body);
            }
            Err(refusal) => question.answer(refusal),
        }
    }

    async fn resume_by(
        &self,
        hyperty: &HypertyUrl,
        criteria: &Criteria,
    ) -> Result<(Vec<Value>, BTreeSet<ObjectUrl>), Refusal> {
        let deadline = Instant::now() + self.config().peer_timeout;
        let user = self.check_identity(hyperty, criteria.identity.as_ref())?;
        // a. What is its own, live or stored, comes first and waits for nobody.
        let mut values = self.resume_own(hyperty, criteria).await?;
        // b. What another hyperty of the user left in this runtime's store.
        let mut candidates = self.left_here(hyperty, user.as_ref(), criteria);
        let mut from_backup = BTreeSet::new();
        // c. What the user has on other devices.
        let mut missing = BTreeSet::new();
        let mut registered = BTreeMap::new();
        let on_other_devices = criteria.identity.as_ref().and(user.as_ref());
        if let Some(user) = on_other_devices {
            let found = self.look_elsewhere(hyperty, user, criteria, deadline).await?;
            for (_, record) in found.restored.records.into_iter().filter(|(_, r)| is_candidate(r, criteria)) {
                if self.shared.parts.backup.as_ref().is_some_and(|backup| backup.has_the_latest()) {
                    from_backup.insert(record.metadata.url.clone());
                }
                add_newest(&mut candidates, record);
            }
            missing = self.not_delivered(&found.registered, &candidates, criteria);
            missing.extend(found.restored.missing.into_iter().filter(|url| !candidates.contains_key(url)));
            registered = found.registered;
        }
        let heir = Heir { hyperty: hyperty.clone(), user };
        let mut failure = None;
        for (url, record) in candidates {
            if self.reported(&url).is_some() {
                failure = Some(Refusal::new(StatusCode::CONFLICT, format!("{url} is reported here")));
                continue;
            }
            let candidate = Candidate { record, from_backup: from_backup.contains(&url) };
            match self.take_over(candidate, &heir, registered.get(&url), deadline).await {
                Ok(object) => values.extend(resumed_reporter_value(&object, &object.lock())),
                Err(refusal) => {
                    tracing::info!(object = %url, %refusal, "an object is not taken over");
                    if matches!(refusal.code, StatusCode::CONFLICT | StatusCode::GONE) {
                        self.forget_taking(&url);
                    }
                    failure = Some(refusal);
                }
            }
        }
        // Others may have taken an object over while the rest was being looked for.
        values.retain(|value| is_still_here(self, value));
        match failure {
            // One that was asked for alone tells why; of several, those that fail are left out.
            Some(refusal) if values.is_empty() && missing.is_empty() => Err(refusal),
            _ => Ok((values, missing)),
        }
    }

    /// Who asks for the objects of a user must be that user (INV-RES-4). What counts is what this runtime knows of its
    /// hyperties, not what the request says.
    pub(crate) fn check_identity(
        &self,
        hyperty: &HypertyUrl,
        claimed: Option<&Identity>,
    ) -> Result<Option<Identity>, Refusal> {
        let user = self.shared.parts.registry.user_of(hyperty);
        let matches = |claimed: &Identity| user.as_ref().is_some_and(|user| user.same_user(claimed));
        if claimed.is_some_and(|claimed| !matches(claimed)) {
            let text = "only the user's own hyperties resume the objects of a user";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text).because("identity"));
        }
        Ok(user)
    }

    /// The objects that the hyperty reports itself.
    async fn resume_own(&self, hyperty: &HypertyUrl, criteria: &Criteria) -> Result<Vec<Value>, Refusal> {
        let mut wanted = BTreeSet::new();
        for object in self.all_reported() {
            let state = object.lock();
            let is_own = state.is_its_own() && state.metadata.reporter == *hyperty;
            if is_own && criteria.covers(&state.metadata, Some(&state.data)) {
                wanted.insert(object.url.clone());
            }
        }
        for record in self.shared.dormant.lock().reported.values() {
            if record.metadata.reporter == *hyperty && criteria.covers(&record.metadata, record.data.as_ref())
            {
                wanted.insert(record.metadata.url.clone());
            }
        }
        wanted.retain(|url| observed_by(criteria, url, self));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.resume_reported(hyperty, &CreateObject::default(), Some(&wanted)).await
    }

    /// Records of the same user that nobody has resumed, of another hyperty.
    fn left_here(
        &self,
        hyperty: &HypertyUrl,
        user: Option<&Identity>,
        criteria: &Criteria,
    ) -> BTreeMap<ObjectUrl, ObjectRecord> {
        let Some(user) = user else { return BTreeMap::new() };
        let dormant = self.shared.dormant.lock();
        let of_user = |record: &&ObjectRecord| {
            record.metadata.reporter != *hyperty
                && record.reporter_user.as_ref().is_some_and(|owner| owner.same_user(user))
                && is_candidate(record, criteria)
        };
        let found = dormant.reported.values().filter(of_user);
        found.map(|record| (record.metadata.url.clone(), record.clone())).collect()
    }

    /// What the user has on other devices, as the domain of the hyperty knows, and every other one that is reached from
    /// here: an object that was taken from somebody else lives in that one's domain.
    async fn look_elsewhere(
        &self,
        hyperty: &HypertyUrl,
        user: &Identity,
        criteria: &Criteria,
        deadline: Instant,
    ) -> Result<Elsewhere, Refusal> {
        let mut found = self.look_at(hyperty.home(), user, criteria, deadline).await?;
        let elsewhere = |domain: &str| !domain.eq_ignore_ascii_case(hyperty.home());
        for domain in self.shared.parts.registry.domains().into_iter().filter(|domain| elsewhere(domain)) {
            if !self.is_live(&domain) {
                continue;
            }
            // One that is slow must not take the time that is needed for what the others told.
            let patience = deadline.min(Instant::now() + self.config().peer_timeout / 4);
            match self.look_at(&domain, user, criteria, patience).await {
                Ok(more) => found.add(more),
                Err(refusal) => tracing::info!(domain, %refusal, "what is kept there is not found"),
            }
        }
        // Whoever names an object that lives where nobody can be asked shall not hear that there is none.
        let named = criteria.resources.iter().flatten();
        let unreached = named.filter(|url| elsewhere(url.home()) && !self.is_live(url.home()));
        found.restored.missing.extend(unreached.filter(|url| self.reported(url).is_none()).cloned());
        Ok(found)
    }

    /// What the user has at a domain: the records a backup keeps, and what is registered.
    async fn look_at(
        &self,
        domain: &str,
        user: &Identity,
        criteria: &Criteria,
        deadline: Instant,
    ) -> Result<Elsewhere, Refusal> {
        if self.stub_of(domain).is_none() {
            return Ok(Elsewhere::default());
        }
        let query = match (user.guid(), user.user()) {
            (Some(guid), _) => Query::of_guid(guid).objects(),
            (None, Some(user)) => Query::of_user(user).objects(),
            (None, None) => return Ok(Elsewhere::default()),
        };
        let registry = self.shared.parts.registrations.registry();
        let asked = tokio::time::timeout_at(deadline, registry.find(domain, &query)).await;
        let records = match asked.map_err(|_| Refusal::unreachable(domain))? {
            Ok(records) | Err(QueryError::Disconnected(records)) => records,
            Err(QueryError::NotFound | QueryError::Gone) => Vec::new(),
            Err(error) => return Err(registry_refusal(&error)),
        };
        let registered = records.into_iter().filter_map(|record| {
            let url = ObjectUrl::try_from(record.url.clone()).ok()?;
            // The domain says whose it is; the identity key decides, as everywhere.
            let owner = identity_of(&record)?;
            owner.same_user(user).then_some((url, record))
        });
        let registered: BTreeMap<_, _> = registered.collect();
        let wanted = |key: &BackupKey| self.wants_backup(key, registered.get(&key.object), criteria);
        let restored = self.restored((domain, user, Role::Reporter), deadline, wanted).await;
        Ok(Elsewhere { registered, restored })
    }

    /// Whether a record at the backup is worth fetching: it may be meant, nothing here is further, and it is not live
    /// elsewhere. One that was asked for by its address is: whoever asks shall hear why it is not to be had.
    fn wants_backup(
        &self,
        key: &BackupKey,
        registered: Option<&RegistrationRecord>,
        criteria: &Criteria,
    ) -> bool {
        let here = &self.shared.parts.runtime;
        let lives = registered.is_some_and(|it| it.status == RegistrationStatus::Live && it.runtime != *here);
        let dormant = self.shared.dormant.lock();
        let known = dormant.reported.get(&key.object).is_some_and(|record| record.position >= key.position);
        let named = criteria.resources.as_ref().map(|list| list.contains(&key.object));
        self.reported(&key.object).is_none() && !known && named.unwrap_or(!lives)
    }

    /// Objects of the user that are registered, not live, and that no storage delivers.
    fn not_delivered(
        &self,
        registered: &BTreeMap<ObjectUrl, RegistrationRecord>,
        candidates: &BTreeMap<ObjectUrl, ObjectRecord>,
        criteria: &Criteria,
    ) -> BTreeSet<ObjectUrl> {
        let lost = registered.iter().filter(|(url, record)| {
            let elsewhere = record.status != RegistrationStatus::Live;
            elsewhere
                && !candidates.contains_key(url)
                && self.reported(url).is_none()
                && !self.shared.dormant.lock().reported.contains_key(url)
                && may_be_meant(record, criteria)
        });
        lost.map(|(url, _)| url.clone()).collect()
    }

    /// P-RESUME (4.3.1), asked after the identities were compared.
    pub(super) async fn may_inherit(&self, record: &ObjectRecord, heir: &Heir) -> Result<(), Refusal> {
        let request = PolicyRequest::new(Point::Resume, heir.hyperty.as_url().clone())
            .identity(heir.user.clone())
            .object(record.metadata.url.clone())
            .schema(record.metadata.schema.clone())
            .reporter(record.metadata.reporter.clone(), record.reporter_user.clone());
        self.decide(&request).await.map(drop)
    }
}

/// Why the registry did not tell, as a refusal.
pub(super) fn registry_refusal(error: &QueryError) -> Refusal {
    let code = match error {
        QueryError::Refused { code, .. } => *code,
        _ => StatusCode::BACKEND_UNREACHABLE,
    };
    Refusal::new(code, format!("domain registry: {error}")).because("registry")
}

/// The user of a registration.
pub(super) fn identity_of(record: &RegistrationRecord) -> Option<Identity> {
    let profile = json!({ "userURL": record.user, "guid": record.guid });
    let present = record.user.is_some() || record.guid.is_some();
    present.then(|| serde_json::from_value(json!({ "userProfile": profile })).ok()).flatten()
}

/// Whether a record can be taken over at all, and is meant. One that was never finished, or is being deleted or
/// delegated, belongs to those procedures.
fn is_candidate(record: &ObjectRecord, criteria: &Criteria) -> bool {
    let observed = criteria.subscriber.as_ref();
    matches!(record.status, RecordStatus::Live | RecordStatus::Disconnected | RecordStatus::Taking)
        && observed.is_none_or(|who| record.subscriptions.iter().any(|s| s.hyperty == *who))
        && criteria.covers(&record.metadata, record.data.as_ref())
}

/// Whether criteria may mean an object of which only the registration is known.
fn may_be_meant(record: &RegistrationRecord, criteria: &Criteria) -> bool {
    let url = ObjectUrl::try_from(record.url.clone()).ok();
    let listed = criteria.resources.as_ref().is_none_or(|l| url.is_some_and(|url| l.contains(&url)));
    let of_schema = criteria.schema.is_none() || criteria.schema == record.schema;
    let of_reporter = criteria.reporter.is_none() || criteria.reporter == record.reporter;
    // What is in an object cannot be compared while nobody has it.
    listed && of_schema && of_reporter && criteria.data.is_none() && criteria.like.is_none()
}

fn is_still_here(manager: &SyncManager, value: &Value) -> bool {
    let url = value["url"].as_str().and_then(|url| ObjectUrl::parse(url).ok());
    url.is_some_and(|url| manager.reported(&url).is_some())
}

fn observed_by(criteria: &Criteria, url: &ObjectUrl, manager: &SyncManager) -> bool {
    let Some(who) = &criteria.subscriber else { return true };
    if let Some(object) = manager.reported(url) {
        return object.lock().observers.contains_key(who);
    }
    let dormant = manager.shared.dormant.lock();
    dormant.reported.get(url).is_some_and(|r| r.subscriptions.iter().any(|s| s.hyperty == *who))
}

/// Of two records of one object the one that is further counts.
fn add_newest(candidates: &mut BTreeMap<ObjectUrl, ObjectRecord>, record: ObjectRecord) {
    let url = record.metadata.url.clone();
    if candidates.get(&url).is_none_or(|known| known.position < record.position) {
        candidates.insert(url, record);
    }
}
