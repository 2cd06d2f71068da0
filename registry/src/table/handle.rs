//! Create, update and delete at the domain registry.

use hyperty_model::message::{BodyError, ResponseBody};
use hyperty_model::{Message, MessageType, RuntimeUrl, StatusCode, Url, UrlKind};
use serde_json::Value;

use super::owner::Claim;
use super::request::{CreateBody, EntryBody, Facts, Target, Update};
use super::state::{Entry, Facet};
use super::{Change, RECORD_BYTES_MAX, RegistryLimits, query};
use crate::record::{RecordError, RecordIn, TAKEN_FROM, read_expires};
use crate::refusal::Refusal;
use crate::{RegistrationRecord, RegistrationStatus};

type Outcome = Result<ResponseBody, Refusal>;

impl Change<'_> {
    pub(super) fn handle(
        &mut self,
        message: &Message,
        runtime: &RuntimeUrl,
        limits: &RegistryLimits,
    ) -> Outcome {
        if message.body().raw().len() > RECORD_BYTES_MAX {
            let text = format!("the message is larger than {RECORD_BYTES_MAX} bytes");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "limit", text));
        }
        let malformed = |error: BodyError| Refusal::bad_request(error.to_string());
        if message.kind() == MessageType::Create {
            let body = message.decode::<CreateBody>().map_err(malformed)?;
            return self.register(body.record().map_err(Refusal::bad_request)?, runtime, limits);
        }
        let body = message.decode::<EntryBody>().map_err(malformed)?;
        match message.kind() {
            MessageType::Read => {
                let asked = body.query().map_err(Refusal::bad_request)?;
                let after = body.page().map_err(Refusal::bad_request)?;
                Ok(query::answer(self.state, &asked, after, self.sees))
            }
            MessageType::Update => {
                let update = body.update().map_err(Refusal::bad_request)?;
                let url = self.resolve(body.target().map_err(Refusal::bad_request)?, runtime)?;
                self.update(&url, update, runtime)
            }
            MessageType::Delete => {
                let url = self.resolve(body.target().map_err(Refusal::bad_request)?, runtime)?;
                self.delete(&url, runtime)
            }
            other => Err(Refusal::bad_request(format!(
                "a registry takes create, read, update and delete, not {other}"
            ))),
        }
    }

    fn register(&mut self, wire: RecordIn, runtime: &RuntimeUrl, limits: &RegistryLimits) -> Outcome {
        if wire.runtime.as_ref().is_some_and(|named| named != runtime) {
            return Err(Refusal::forbidden("a runtime registers what is its own"));
        }
        // The older forms do not name the runtime: it is the one that sends.
        let wire = RecordIn { runtime: Some(runtime.clone()), ..wire };
        let mut record =
            RegistrationRecord::try_from(wire).map_err(|error| Refusal::bad_request(error.to_string()))?;
        check_mandatory(&record).map_err(|error| Refusal::bad_request(error.to_string()))?;
        match self.state.get(&record.url) {
            Some(existing) => {
                let (user, guid) = (record.user.as_deref(), record.guid.as_deref());
                let claim = Claim { runtime, epoch: record.epoch, known: self.sender, user, guid };
                claim.check(existing)?;
                record.starting_time = existing.record.starting_time;
                // Who registers anew after a restart does not know any more what its predecessor had.
                if let Some(from) = existing.record.extra.get(TAKEN_FROM) {
                    record.extra.entry(TAKEN_FROM).or_insert_with(|| from.clone());
                }
            }
            None => {
                if self.state.len() >= limits.total || self.state.count_of(runtime) >= limits.per_runtime {
                    return Err(Refusal::limit("no more registrations are taken"));
                }
                record.starting_time = Some(self.now);
            }
        }
        record.status = RegistrationStatus::Live;
        record.last_modified = Some(self.now);
        self.put(Entry { record, touched: self.now });
        Ok(ResponseBody::ok())
    }

    fn update(&mut self, url: &Url, update: Update, runtime: &RuntimeUrl) -> Outcome {
        let entry = self.state.get(url).ok_or_else(Refusal::not_found)?;
        let deleted = entry.record.status == RegistrationStatus::Deleted;
        let own = entry.record.runtime == *runtime;
        match update {
            Update::Delete => return self.delete(url, runtime),
            _ if deleted => return Err(gone()),
            // After a takeover the former owner learns it here.
            Update::KeepAlive if !own => return Err(conflict("kept alive by another runtime")),
            Update::KeepAlive => {
                if entry.is_live() {
                    self.touch(url);
                }
            }
            Update::Unregister if !own => return Err(Refusal::forbidden("registered by another runtime")),
            Update::Unregister => {
                if entry.is_live() {
                    self.end(url, RegistrationStatus::Disconnected, self.now);
                }
            }
            Update::SetLive(facts) => {
                let mut entry = self.changed(entry, &facts, runtime)?;
                entry.record.status = RegistrationStatus::Live;
                entry.touched = self.now;
                self.put(entry);
            }
            Update::Change(facts) => {
                if !own {
                    return Err(conflict("registered by another runtime"));
                }
                let mut entry = self.changed(entry, &facts, runtime)?;
                if entry.is_live() {
                    entry.touched = self.now;
                }
                self.put(entry);
            }
        }
        Ok(ResponseBody::ok())
    }

    /// The entry with the new facts, if `runtime` may write them.
    fn changed(&self, entry: &Entry, facts: &Facts, runtime: &RuntimeUrl) -> Result<Entry, Refusal> {
        // Its own runtime need not repeat the epoch; another one that names none comes with the first.
        let own = entry.record.runtime == *runtime;
        let named = facts.runtime.as_ref().unwrap_or(runtime);
        // Who owns it may give it away, in an epoch of the other's own (protocol 5.11).
        let given = own && named != runtime && facts.epoch.is_some_and(|epoch| epoch > entry.record.epoch);
        if named != runtime && !given {
            return Err(Refusal::forbidden("a runtime registers what is its own"));
        }
        // What is taken over was nobody's when that was decided; its owner may have come back since.
        if facts.taken_from.is_some() && !own && entry.is_live() {
            return Err(conflict("live in another runtime"));
        }
        let epoch = facts.epoch.unwrap_or(if own { entry.record.epoch } else { 0 });
        let (user, guid) = (facts.user.as_deref(), facts.guid.as_deref());
        Claim { runtime, epoch, known: self.sender, user, guid }.check(entry)?;
        let mut changed = entry.clone();
        let record = &mut changed.record;
        record.runtime = named.clone();
        record.epoch = epoch;
        record.last_modified = Some(self.now);
        replace(&mut record.user, &facts.user);
        replace(&mut record.guid, &facts.guid);
        replace(&mut record.reporter, &facts.reporter);
        replace(&mut record.p2p_handler, &facts.p2p_handler);
        replace(&mut record.p2p_requester, &facts.p2p_requester);
        if facts.expires.as_ref().is_some_and(|expires| !expires.is_null()) {
            record.expires = read_expires(facts.expires.as_ref())
                .map_err(|error| Refusal::bad_request(error.to_string()))?;
        }
        let others = [
            ("preAuth", &facts.pre_auth),
            ("subscribers", &facts.subscribers),
            (TAKEN_FROM, &facts.taken_from),
        ];
        for (member, value) in others {
            if let Some(value) = value.as_ref().filter(|value| !value.is_null()) {
                record.extra.insert(member.to_owned(), Value::clone(value));
            }
        }
        Ok(changed)
    }

    /// An object leaves a mark, so that whoever looks for it learns that it is gone for good; a hyperty does not.
    fn delete(&mut self, url: &Url, runtime: &RuntimeUrl) -> Outcome {
        let entry = self.state.get(url).ok_or_else(Refusal::not_found)?;
        if entry.record.runtime != *runtime {
            return Err(Refusal::forbidden("registered by another runtime"));
        }
        if entry.record.status == RegistrationStatus::Deleted {
            return Ok(ResponseBody::ok());
        }
        if url.kind() == UrlKind::Object {
            self.end(url, RegistrationStatus::Deleted, self.now);
            return Ok(ResponseBody::ok());
        }
        if entry.is_live() {
            self.end(url, RegistrationStatus::Disconnected, self.now);
        }
        self.forget(url);
        Ok(ResponseBody::ok())
    }

    /// The URL that a message is about. An identifier is looked for among what the sender registered.
    fn resolve(&self, target: Target, runtime: &RuntimeUrl) -> Result<Url, Refusal> {
        let (hyperty, id) = match target {
            Target::Url(url) => return Ok(url),
            Target::Identifier { hyperty, id } => (hyperty, id),
        };
        let wanted = if hyperty { UrlKind::Hyperty } else { UrlKind::Object };
        self.state
            .with_facet(&Facet::Runtime(runtime.key()))
            .map(|entry| &entry.record)
            .find(|record| {
                record.runtime == *runtime && record.url.kind() == wanted && record.url.path() == id
            })
            .map(|record| record.url.clone())
            .ok_or_else(Refusal::not_found)
    }
}

/// What a registration must have, by the kind of its URL. A user is not demanded of an object: its Reporter may be
/// anonymous.
fn check_mandatory(record: &RegistrationRecord) -> Result<(), RecordError> {
    let missing = |absent: bool, member| if absent { Err(RecordError::Missing(member)) } else { Ok(()) };
    match record.url.kind() {
        UrlKind::Object => {
            missing(record.schema.is_none(), "schema")?;
            missing(record.name.is_none(), "name")?;
            missing(record.reporter.is_none(), "reporter")
        }
        UrlKind::Hyperty => {
            missing(record.descriptor.is_none(), "descriptor")?;
            missing(record.user.is_none(), "user")
        }
        _ => Err(RecordError::Kind),
    }
}

fn replace<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        old.clone_from(new);
    }
}

pub(super) fn gone() -> Refusal {
    Refusal::new(StatusCode::GONE, "deleted", "deleted")
}

pub(super) fn conflict(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "owner", text)
}
