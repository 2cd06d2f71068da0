//! What [`DataObjectStorage`] promises, case by case.

use std::sync::Arc;

use hyperty_model::Position;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{ChildOutcome, Children};
use hyperty_storage::{DataObjectStorage, Durability, ObjectRecord, Role, Ticket, reached};
use serde_json::json;

use super::changes::{
    a_change_out_of_order_is_not_served, a_checkpoint_is_asked_for_and_changes_nothing,
    a_new_epoch_begins_with_a_record, changes_are_applied_when_it_is_loaded,
    saving_metadata_leaves_data_and_children_alone, without_data_position_and_metadata_are_kept,
};
use super::newer;
use super::sample::{
    change, child, children_name, full_record, hyperty, object, record, same, same_but_log, set,
};
use crate::suites::{Broken, Suite, Time, Verdict, block_on};

/// Where one storage is: each call opens it again and finds what was there. The one opened before is dropped first.
pub type Open = Box<dyn Fn() -> Arc<dyn DataObjectStorage>>;

/// What a storage claims to do beyond keeping records; the cases of what it does not claim are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// It keeps the newest changes of an object (protocol 10.1).
    pub log: bool,
    /// It keeps who observes, and who was removed, one by one (5.3, 5.7).
    pub subscribers: bool,
    /// It keeps grants with their limits, and invitations (5.2).
    pub grants: bool,
    /// It keeps child operations that wait for their answer, one by one and in their order (M18).
    pub pending: bool,
    /// It keeps every status of a record (M27, 5.8, 5.11).
    pub statuses: bool,
    /// It keeps how far a delegation has come (5.11).
    pub delegation: bool,
    /// It can be [crashed](Site::crash), and what it had acknowledged is there afterwards.
    pub durable: bool,
    /// It can be crashed, and be [opened](Site::open) so that it acknowledges before it is durable: it then says that
    /// history broke (M8).
    pub buffered: bool,
}

impl Claims {
    /// All that does not need a crash.
    pub const IN_GOOD_ORDER: Claims = Claims {
        log: true,
        subscribers: true,
        grants: true,
        pending: true,
        statuses: true,
        delegation: true,
        durable: false,
        buffered: false,
    };

    /// All there is.
    pub const ALL: Claims = Claims { durable: true, buffered: true, ..Claims::IN_GOOD_ORDER };
}

/// Where one storage is, as its owner sees it.
pub trait Site {
    /// Opens it again and finds what was there. The one opened before was dropped, or has crashed.
    fn open(&self, durability: Durability) -> Arc<dyn DataObjectStorage>;

    /// The machine stops; what is open now is of no use any more. For sites that claim that.
    fn crash(&self) {}
}

/// A site that knows one durability.
impl<F: Fn() -> Arc<dyn DataObjectStorage>> Site for F {
    fn open(&self, _durability: Durability) -> Arc<dyn DataObjectStorage> {
        self()
    }
}

/// Makes an empty site with each call.
pub type Fresh<'a> = &'a dyn Fn() -> Box<dyn Site>;

/// Puts a storage through the suite.
pub fn run(claims: Claims, fresh: Fresh<'_>) -> Verdict {
    let mut suite = Suite::new("storage of objects");
    for Rule { name, invariant, claimed, check } in rules() {
        match claimed(claims) {
            true => suite.case(name, invariant, || {
                check(fresh());
                Ok(())
            }),
            false => suite.skip(name, "it does not claim to do this"),
        }
    }
    suite.finish()
}

/// One case. Its check panics with what is wrong.
struct Rule {
    name: &'static str,
    invariant: &'static str,
    claimed: fn(Claims) -> bool,
    check: fn(Box<dyn Site>),
}

/// A case of one function that opens the site again and again.
macro_rules! rule {
    ($name:literal, $invariant:literal, $claimed:expr, $check:path) => {
        Rule {
            name: $name,
            invariant: $invariant,
            claimed: $claimed,
            check: |site| $check(&(Box::new(move || site.open(Durability::Durable)) as Open)),
        }
    };
}

fn rules() -> Vec<Rule> {
    let mut rules = of_every_storage();
    rules.extend(of_claims());
    rules
}

fn of_every_storage() -> Vec<Rule> {
    let always: fn(Claims) -> bool = |_| true;
    vec![
        rule!("an empty storage has no records", "INV-DOM-6", always, an_empty_storage_has_no_records),
        rule!(
            "a record comes back as it was saved",
            "INV-DOM-6",
            always,
            a_record_comes_back_as_it_was_saved
        ),
        rule!(
            "changes are applied when it is loaded",
            "INV-DOM-7",
            always,
            changes_are_applied_when_it_is_loaded
        ),
        rule!("objects and sides are apart", "INV-DOM-6", always, objects_and_sides_are_apart),
        rule!(
            "a checkpoint changes nothing",
            "INV-DOM-6",
            always,
            a_checkpoint_is_asked_for_and_changes_nothing
        ),
        rule!("metadata alone", "INV-DOM-6", always, saving_metadata_leaves_data_and_children_alone),
        rule!("without data", "INV-RES-6", always, without_data_position_and_metadata_are_kept),
        rule!("children outlive changes", "INV-DOM-6", always, children_outlive_changes_of_the_object),
        rule!("deleted children stay deleted", "INV-DOM-5", always, deleted_children_stay_deleted),
        rule!("a removed object leaves nothing", "INV-DEL-1", always, a_removed_object_leaves_nothing),
        rule!("a new epoch begins with a record", "M8", always, a_new_epoch_begins_with_a_record),
        rule!(
            "a change out of order is not served",
            "INV-DOM-6",
            always,
            a_change_out_of_order_is_not_served
        ),
    ]
}

/// The cases of what a storage may claim.
fn of_claims() -> Vec<Rule> {
    vec![
        rule!("the newest changes are kept", "10.1", |claims| claims.log, newer::the_newest_changes_are_kept),
        rule!(
            "who observes",
            "INV-SUB-3",
            |claims| claims.subscribers,
            newer::subscribers_come_and_go_one_by_one
        ),
        rule!(
            "grants and invitations",
            "5.2",
            |claims| claims.grants,
            newer::grants_and_invitations_keep_their_limits
        ),
        rule!(
            "operations that wait",
            "M18",
            |claims| claims.pending,
            newer::operations_that_wait_come_and_go_one_by_one
        ),
        rule!("every status", "M27", |claims| claims.statuses, newer::every_status_is_kept),
        rule!(
            "a delegation at each step",
            "INV-DLG-1",
            |claims| claims.delegation,
            newer::a_delegation_is_kept_at_each_step
        ),
        Rule {
            name: "what is acknowledged outlives a crash",
            invariant: "INV-RES-7",
            claimed: |claims| claims.durable,
            check: newer::what_is_acknowledged_outlives_a_crash,
        },
        Rule {
            name: "a buffered store says that history broke",
            invariant: "M8",
            claimed: |claims| claims.buffered,
            check: newer::a_buffered_store_says_that_history_broke,
        },
    ]
}

/// Waits until it says that this is durable; what went wrong if it does not.
pub(super) fn durable(store: &dyn DataObjectStorage, ticket: Ticket) -> Result<(), String> {
    let wait = async {
        let reached = reached(store.progress(), ticket).await;
        reached.map_err(|error| Broken::new("INV-DOM-6", error.to_string()))
    };
    block_on(Time::Real, "INV-DOM-6", wait).map_err(|broken| broken.detail)
}

pub(super) fn append(store: &dyn DataObjectStorage, record: &mut ObjectRecord, kind: UpdateKind) -> bool {
    let body = change(record, kind);
    store.append(record.role, &record.metadata.url, &body).checkpoint_due
}

/// Loads and finds the same, and nothing else on that side. The log has a case of its own.
#[track_caller]
pub(super) fn check(store: &dyn DataObjectStorage, wanted: &[&ObjectRecord]) {
    check_by(store, wanted, same_but_log);
}

/// The same, the log included.
#[track_caller]
pub(super) fn check_all(store: &dyn DataObjectStorage, wanted: &[&ObjectRecord]) {
    check_by(store, wanted, same);
}

type Compare = fn(&ObjectRecord, &ObjectRecord) -> Result<(), String>;

#[track_caller]
fn check_by(store: &dyn DataObjectStorage, wanted: &[&ObjectRecord], same: Compare) {
    let role = wanted[0].role;
    let mut loaded = store.load(role).expect("it can be read");
    loaded.sort_by(|a, b| a.metadata.url.cmp(&b.metadata.url));
    assert_eq!(loaded.len(), wanted.len());
    for (found, wanted) in loaded.iter().zip(wanted) {
        assert_eq!(Ok(()), same(found, wanted));
    }
    for record in wanted {
        let found = store.find(role, &record.metadata.url).expect("it can be read");
        assert_eq!(Ok(()), same(&found.expect("it is there"), record));
    }
}

/// Nothing was saved: nothing is found, and that is no error.
fn an_empty_storage_has_no_records(open: &Open) {
    let store = open();
    assert_eq!(store.load(Role::Reporter), Ok(Vec::new()));
    assert_eq!(store.find(Role::Observer, &object("a")), Ok(None));
    store.remove(Role::Reporter, &object("a"));
    assert_eq!(store.load(Role::Reporter), Ok(Vec::new()));
}

/// Every field survives a restart, and an acknowledged record is durable.
fn a_record_comes_back_as_it_was_saved(open: &Open) {
    let full = full_record();
    let store = open();
    let ticket = store.save(&full);
    assert!(ticket > Ticket::default());
    assert_eq!(durable(&*store, ticket), Ok(()));
    check(&*store, &[&full]);
    drop(store);
    let store = open();
    check(&*store, &[&full]);
    // The case of a URL is kept, and does not matter for finding it.
    let found = store.find(Role::Reporter, &"COMM://example.COM/full".parse().expect("a URL"));
    assert_eq!(
        found.expect("it can be read").map(|found| found.metadata.url.to_string()),
        Some(full.metadata.url.to_string())
    );
}

/// One object's rows are never another's, however alike their URLs are.
fn objects_and_sides_are_apart(open: &Open) {
    let store = open();
    let mut all: Vec<_> =
        ["a", "a-b", "a/b", "aa", "b"].map(|n| record(Role::Reporter, n, Some(json!({})))).into();
    let mut observed = record(Role::Observer, "a", Some(json!({"observed": true})));
    all.iter().for_each(|record| _ = store.save(record));
    store.save(&observed);
    for record in &mut all {
        append(&*store, record, set("name", json!(record.metadata.name)));
        let entry = child("bob", 1, json!({"of": record.metadata.name}));
        store.put_child(record.role, &record.metadata.url, &children_name("n"), &entry);
        record.children.create(&children_name("n"), entry).expect("it is new");
    }
    append(&*store, &mut observed, set("more", json!(1)));
    all.sort_by(|a, b| a.metadata.url.cmp(&b.metadata.url));
    drop(store);
    let store = open();
    check(&*store, &all.iter().collect::<Vec<_>>());
    check(&*store, &[&observed]);
    store.remove(Role::Reporter, &object("a"));
    all.retain(|record| record.metadata.url != object("a"));
    check(&*store, &all.iter().collect::<Vec<_>>());
    check(&*store, &[&observed]);
}

/// INV-DOM-6: children are never dropped by a write of something else.
fn children_outlive_changes_of_the_object(open: &Open) {
    let store = open();
    let (mut a, notes) = (record(Role::Observer, "a", Some(json!({}))), children_name("notes"));
    store.save(&a);
    for number in 1..=20 {
        let entry = child("bob", number, json!({"n": number}));
        store.put_child(a.role, &a.metadata.url, &notes, &entry);
        assert_eq!(a.children.create(&notes, entry), Ok(ChildOutcome::Applied));
        append(&*store, &mut a, set("n", json!(number)));
        store.checkpoint(&a);
        check(&*store, &[&a]);
    }
    let mut changed = child("bob", 3, json!({"changed": true}));
    changed.value.version = 1;
    store.put_child(a.role, &a.metadata.url, &notes, &changed);
    let whole =
        UpdateBody { version: Some(1), ..UpdateBody::new(UpdateKind::Whole(json!({"changed": true}))) };
    a.children.update(&notes, changed.value.url.as_str(), &hyperty("bob"), &whole).expect("it is his");
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    // A whole record replaces them.
    a.children = Children::default();
    store.save(&a);
    check(&*store, &[&a]);
}

/// INV-DOM-5: the number of a deleted child is not given again, not even after restarts and very many deletions.
fn deleted_children_stay_deleted(open: &Open) {
    let notes = children_name("notes");
    let mut store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    store.save(&a);
    for number in 1..=2_500 {
        let entry = child("bob", number, json!({}));
        store.put_child(a.role, &a.metadata.url, &notes, &entry);
        let id = entry.value.url.clone();
        a.children.create(&notes, entry).expect("it is new");
        if number % 5 > 0 {
            store.delete_child(a.role, &a.metadata.url, &notes, id.as_str());
            a.children.delete(&notes, id.as_str(), &hyperty("bob")).expect("it is his");
        }
        if number % 700 == 0 {
            drop(store);
            store = open();
            check(&*store, &[&a]);
        }
    }
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    let found = store.find(a.role, &a.metadata.url).expect("it can be read").expect("it is there");
    assert_eq!(found.children.next_number(&notes, &hyperty("bob")), 2_501);
    store.save(&a);
    drop(store);
    check(&*open(), &[&a]);
}

/// INV-DEL-1: nothing of a removed object is found again, not even by a new one of the same URL.
fn a_removed_object_leaves_nothing(open: &Open) {
    let store = open();
    let mut a = ObjectRecord { position: Position::default(), ..full_record() };
    store.save(&a);
    append(&*store, &mut a, set("n", json!(1)));
    store.delete_child(a.role, &a.metadata.url, &children_name("notes"), "hyperty://example.com/bob#1");
    store.remove(a.role, &a.metadata.url);
    assert_eq!(store.load(a.role), Ok(Vec::new()));
    let again = record(a.role, "full", Some(json!({"new": true})));
    store.save(&again);
    check(&*store, &[&again]);
    drop(store);
    check(&*open(), &[&again]);
}
