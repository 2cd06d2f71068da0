//! The transfer point (protocol 5.11 step 7): one durable record decides whose the object is.

use std::sync::Arc;

use hyperty_model::delegation::Giver;
use hyperty_model::message::ResponseBody;
use hyperty_model::{ObjectUrl, Position, Snapshot, StatusCode, Url};
use hyperty_storage::{ObjectRecord, RecordStatus};
use serde_json::json;

use super::gift::{Contents, Gift};
use super::transfer::Transfer;
use crate::answer::Refusal;
use crate::manager::SyncManager;
use crate::reporter::{Phase, Reported, State, runtime_of};

/// What an observer or a grant takes in a message, at most: two URLs, a user, and their names.
const BYTES_FOR_EACH: usize = 2_048;

/// What stands around the snapshot in the message that gives it.
const ENVELOPE_BYTES: usize = 16 << 10;

impl SyncManager {
    /// From here on this side acts no more. What comes meanwhile is held until the record is durable.
    pub(super) async fn commit_transfer(&self, object: &Arc<Reported>, transfer: &Arc<Transfer>) {
        let Some(gift) = self.begin_commit(object, transfer) else {
            return self.stay(object, transfer);
        };
        if gift.kept
            && let Err(error) = self.on_disk().await
        {
            // Whose it is only the store knows, and whoever reads it next: until then it is nobody's.
            tracing::error!(object = %object.url, %error, "it is not known whether an object was given away");
            object.lock().phase = Phase::Closed(error.to_string());
            transfer.broken(error.into());
            // What its Reporter made meanwhile is answered: the store takes nothing any more.
            self.thaw(&transfer.former, &object.url, &transfer.offer);
            return self.release_what_was_held(object);
        }
        self.shared.given.lock().insert(object.url.clone(), Arc::clone(&gift));
        let held = {
            let mut state = object.lock();
            state.phase = Phase::Delegated;
            transfer.step(Giver::written);
            state.handing.take_held()
        };
        tracing::info!(object = %object.url, offer = transfer.offer, to = %transfer.to, "an object is given");
        self.tally().given.add(1);
        self.announce_gift(&gift);
        for message in held {
            match message.to().split_derived() {
                // Those of hyperties here are kept for when they are observers, the others come again (M18).
                Some((_, Some(hyperty_model::DerivedTail::Children(_)))) => {
                    let _ = object.lock().handing.hold(message);
                }
                _ => self.pass_on(&message, Some(transfer)),
            }
        }
    }

    /// What everything takes that the new owner needs.
    pub(super) fn bytes_to_give(&self, state: &State) -> usize {
        bytes_of(state.snapshot(), state.observers.len() + state.grants.iter().count())
    }

    /// Whether that can be given: as a whole, or to one that fetches no parts in one message; and be kept until it is
    /// acknowledged.
    pub(super) fn can_be_given(&self, url: &ObjectUrl, bytes: usize, parts: bool) -> Result<(), Refusal> {
        let max = if parts { self.config().whole_bytes_max } else { self.config().message_bytes_max };
        if bytes >= max.saturating_sub(ENVELOPE_BYTES) {
            let text = "the object is larger than what can be given";
            return Err(Refusal::new(StatusCode::CONDITION, text).because("limit"));
        }
        self.make_room_for_gift(url, bytes)
    }

    fn begin_commit(&self, object: &Arc<Reported>, transfer: &Arc<Transfer>) -> Option<Arc<Gift>> {
        let state = object.lock();
        if state.phase != Phase::Frozen || !transfer.step(|giver| giver.commit(&transfer.offer)) {
            return None;
        }
        let gift = Arc::new(self.gift_of(object, &state, transfer)?);
        if let Some(contents) = gift.in_memory().filter(|_| gift.kept) {
            self.storage().save(&contents.record);
        }
        Some(gift)
    }

    fn gift_of(&self, object: &Reported, state: &State, transfer: &Arc<Transfer>) -> Option<Gift> {
        let Giver::Committing { epoch, taker, .. } = transfer.state() else { return None };
        let names = object.names().cloned().collect();
        let mut record = state.record(names, RecordStatus::Delegated);
        // The whole list, also of those who did not ask to be known after a restart: they observe now.
        record.subscriptions =
            state.observers.iter().map(|(hyperty, entry)| entry.subscriber(hyperty)).collect();
        let returned = |one: &hyperty_storage::Subscriber| state.observers.contains_key(&one.hyperty);
        record.subscriptions.extend(state.removed.subscribers().filter(|one| !returned(one)));
        record.data = Some((*state.data).clone());
        record.position = Position { epoch, ..state.position };
        record.metadata.reporter = transfer.to.clone();
        record.metadata.runtime = runtime_of(&taker).unwrap_or(record.metadata.runtime);
        record.delegation = Some(transfer.kept(state.position));
        let former = hyperty_storage::Subscriber {
            runtime: Some(self.shared.parts.runtime.clone()),
            identity: state.reporter_user.clone(),
            ..hyperty_storage::Subscriber::new(transfer.former.clone())
        };
        let grant = grant(&record, transfer, state.snapshot(), former, self.address());
        let bytes = self.bytes_to_give(state);
        Some(Gift::new(transfer, Contents { record, grant }, state.options.resumable, bytes))
    }
}

/// What a snapshot takes, with so many observers and grants beside it.
pub(super) fn bytes_of(snapshot: Snapshot, others: usize) -> usize {
    let whole = serde_json::to_vec(&snapshot.into_value()).map_or(usize::MAX, |text| text.len());
    whole.saturating_add(others.saturating_mul(BYTES_FOR_EACH))
}

/// Step 8: what the new owner goes on from.
pub(super) fn grant(
    record: &ObjectRecord,
    transfer: &Transfer,
    mut snapshot: Snapshot,
    former: hyperty_storage::Subscriber,
    source: &Url,
) -> ResponseBody {
    snapshot.metadata.reporter = transfer.former.clone();
    let mut subscribers: Vec<_> =
        record.subscriptions.iter().filter(|one| one.hyperty != transfer.to).cloned().collect();
    subscribers.retain(|one| one.hyperty != former.hyperty);
    subscribers.push(former);
    let observing = subscribers.iter().filter(|one| one.removed.is_none());
    let urls: Vec<_> = observing.map(|one| one.hyperty.clone()).collect();
    let who: Vec<_> = record.grants.iter().map(|grant| grant.who.clone()).collect();
    let mut body = ResponseBody {
        resource: Some(record.metadata.url.to_string()),
        epoch: Some(record.position.epoch),
        children_resources: Some(record.children_names.iter().map(ToString::to_string).collect()),
        ..ResponseBody::ok().with_source(source.clone()).with_value(snapshot.into_value())
    };
    let mut put = |key: &str, value| drop(body.extra.insert(key.to_owned(), value));
    put("delegation", json!(transfer.offer));
    put("subscriptions", json!(urls));
    put("authorise", json!(who));
    // Beyond the protocol: what another make of Sync Manager does without.
    put("subscribers", json!(subscribers));
    put("grants", json!(record.grants));
    put("invitations", json!(record.invitations));
    put("store", json!(record.store));
    put("domain_registration", json!(record.domain_registration));
    put("domain_routing", json!(record.domain_routing));
    body
}
