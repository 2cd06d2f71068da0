//! Any Data Object Storage against records held in memory.

use hyperty_model::change::{Change, ChangeOp, apply};
use hyperty_model::message::UpdateKind;
use hyperty_model::object::{ChildId, ChildOutcome};
use hyperty_storage::{
    DataObjectStorage, Entry, Grant, Invited, InvitedStage, ObjectRecord, RecordStatus, Role,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use super::objects::Open;
use super::sample::{change, child, children_name, hyperty, record, same, subscriber};

/// What a random test does next, to one of the objects.
#[derive(Debug, Clone)]
enum Act {
    Change(UpdateKind),
    PutChild(u64),
    DeleteChild(u64),
    PutSubscriber(u64),
    RemoveSubscriber(u64),
    /// Of each number one or none: a grant, an invitation, an operation that waits.
    PutEntries(Vec<(u64, bool)>),
    SaveMetadata(RecordStatus),
    Checkpoint,
    Save,
    /// Saved at another epoch.
    NewEpoch,
    Remove,
    Find,
    /// All of it is dropped and opened again.
    Reopen,
}

/// INV-DOM-6: after any series of changes, children and restarts a storage holds the records as they are in memory.
///
/// # Panics
/// With the shortest series for which it does not.
pub fn equals_records(cases: u32, fresh: &dyn Fn() -> Open) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let acts = proptest::collection::vec((0..3usize, act()), 1..80);
    if let Err(failure) = runner.run(&acts, |acts| play(&fresh(), &acts)) {
        panic!("{failure}");
    }
}

fn new_record(at: usize) -> ObjectRecord {
    match at {
        0 => record(Role::Reporter, "a", Some(json!({"list": [1, 2]}))),
        1 => record(Role::Reporter, "a/b", None),
        _ => record(Role::Observer, "a", Some(json!({"filler": "x".repeat(3_000)}))),
    }
}

fn play(open: &Open, acts: &[(usize, Act)]) -> Result<(), TestCaseError> {
    let mut records: Vec<ObjectRecord> = (0..3).map(new_record).collect();
    let mut store = open();
    records.iter().for_each(|record| _ = store.save(record));
    for (at, act) in acts {
        let record = &mut records[*at];
        match act {
            Act::Find => {
                let found = store.find(record.role, &record.metadata.url).expect("it can be read");
                prop_assert_eq!(found.map(|found| same(&found, record)), Some(Ok(())));
            }
            Act::Reopen => {
                drop(store);
                store = open();
            }
            Act::Remove => {
                store.remove(record.role, &record.metadata.url);
                prop_assert_eq!(store.find(record.role, &record.metadata.url), Ok(None));
                *record = new_record(*at);
                store.save(record);
            }
            act => write(&*store, record, act),
        }
    }
    drop(store);
    let store = open();
    let mut loaded = store.load(Role::Reporter).expect("it can be read");
    loaded.extend(store.load(Role::Observer).expect("it can be read"));
    prop_assert_eq!(loaded.len(), records.len());
    for (found, wanted) in loaded.iter().zip(&records) {
        prop_assert_eq!(same(found, wanted), Ok(()));
    }
    Ok(())
}

fn write(store: &dyn DataObjectStorage, record: &mut ObjectRecord, act: &Act) {
    let (url, name) = (record.metadata.url.clone(), children_name("notes"));
    match act {
        Act::Change(kind) if fits(record, kind) => {
            let body = change(record, kind.clone());
            if store.append(record.role, &url, &body).checkpoint_due {
                store.checkpoint(record);
            }
        }
        Act::PutChild(number) => {
            let entry = child("bob", *number, json!({"n": number}));
            if record.children.create(&name, entry.clone()) == Ok(ChildOutcome::Applied) {
                store.put_child(record.role, &url, &name, &entry);
            }
        }
        Act::DeleteChild(number) => {
            let id = ChildId::of(&hyperty("bob"), *number);
            let outcome = record.children.delete(&name, id.as_str(), &hyperty("bob"));
            if outcome == Ok(ChildOutcome::Applied) {
                store.delete_child(record.role, &url, &name, id.as_str());
            }
        }
        Act::PutSubscriber(number) => {
            let subscriber = subscriber(&format!("s{number}"));
            store.put_subscriber(record.role, &url, &subscriber);
            match record.subscriptions.binary_search_by(|other| other.hyperty.cmp(&subscriber.hyperty)) {
                Ok(at) => record.subscriptions[at] = subscriber,
                Err(at) => record.subscriptions.insert(at, subscriber),
            }
        }
        Act::RemoveSubscriber(number) => {
            let hyperty = hyperty(&format!("s{number}"));
            store.remove_subscriber(record.role, &url, &hyperty);
            record.subscriptions.retain(|other| other.hyperty != hyperty);
        }
        Act::PutEntries(numbers) => {
            let entries: Vec<Entry> =
                numbers.iter().map(|&(number, there)| entry(record, number, there)).collect();
            store.put_entries(record.role, &url, &entries);
        }
        Act::SaveMetadata(status) => {
            record.status = *status;
            store.save_metadata(record);
        }
        Act::Checkpoint => _ = store.checkpoint(record),
        Act::Save => _ = store.save(record),
        Act::NewEpoch => {
            record.position.epoch += 1;
            store.save(record);
            // What led to another epoch is of no use to an observer of this one.
            record.log.clear();
        }
        _ => {}
    }
}

/// Changes an entry of a record, and says how.
fn entry(record: &mut ObjectRecord, number: u64, there: bool) -> Entry {
    let who = hyperty(&format!("e{number}"));
    match number % 3 {
        0 => {
            record.grants.retain(|grant| grant.who != *who.as_url());
            let grant = Grant { until: Some(number), ..Grant::unlimited(who.clone().into()) };
            if !there {
                return Entry::Revoked(who.into());
            }
            record.grants.push(grant.clone());
            record.grants.sort_by(|a, b| a.who.key().cmp(b.who.key()));
            Entry::Grant(grant)
        }
        1 => {
            record.invitations.retain(|invited| invited.who != who);
            if !there {
                return Entry::Uninvited(who);
            }
            let invited = Invited { who, announced: true, until: number, stage: InvitedStage::Waiting };
            record.invitations.push(invited.clone());
            record.invitations.sort_by(|a, b| a.who.cmp(&b.who));
            Entry::Invited(invited)
        }
        _ => {
            let message = json!({"id": number});
            if !there {
                record.pending.remove(&number);
                return Entry::Answered { number };
            }
            record.pending.insert(number, message.clone());
            Entry::Pending { number, message }
        }
    }
}

/// Whether it would be committed: what does not fit never gets to the store.
fn fits(record: &ObjectRecord, kind: &UpdateKind) -> bool {
    match (kind, &record.data) {
        (UpdateKind::Change(change), Some(data)) => apply(&mut data.clone(), change).is_ok(),
        _ => true,
    }
}

fn act() -> impl Strategy<Value = Act> {
    let status =
        prop_oneof![Just(RecordStatus::Live), Just(RecordStatus::Frozen), Just(RecordStatus::Deleting)];
    prop_oneof![
        12 => kind().prop_map(Act::Change),
        3 => (1..20u64).prop_map(Act::PutChild),
        2 => (1..20u64).prop_map(Act::DeleteChild),
        2 => (1..6u64).prop_map(Act::PutSubscriber),
        1 => (1..6u64).prop_map(Act::RemoveSubscriber),
        2 => proptest::collection::vec((1..12u64, any::<bool>()), 1..6).prop_map(Act::PutEntries),
        1 => status.prop_map(Act::SaveMetadata),
        1 => Just(Act::Checkpoint),
        1 => Just(Act::Save),
        1 => Just(Act::NewEpoch),
        1 => Just(Act::Remove),
        1 => Just(Act::Find),
        1 => Just(Act::Reopen),
    ]
}

fn kind() -> impl Strategy<Value = UpdateKind> {
    let path = prop_oneof![Just("a"), Just("a.b"), Just("list"), Just("list.0"), Just("list.1.x"), Just("")];
    let op = prop_oneof![
        4 => value().prop_map(ChangeOp::Set),
        1 => Just(ChangeOp::Delete),
        1 => value().prop_map(ChangeOp::ReplaceElement),
        2 => proptest::collection::vec(value(), 1..4).prop_map(ChangeOp::Insert),
        1 => (1..3u64).prop_map(ChangeOp::Remove),
    ];
    let metadata = any::<String>()
        .prop_map(|name| UpdateKind::Metadata { attribute: "name".to_owned(), value: json!(name) });
    prop_oneof![
        9 => (path, op).prop_map(|(path, op)| UpdateKind::Change(Change::new(path, op))),
        1 => metadata,
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!({"b": [[]]})),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        (0..2_000usize).prop_map(|length| json!("y".repeat(length))),
    ]
}
