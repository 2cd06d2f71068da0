//! What records of today have that the first ones had not: a log, observers one by one, limits of grants, every status,
//! delegations, and what a crash does to them.

use std::time::Duration;

use hyperty_model::delegation::{Giver, Taker};
use hyperty_model::log::LOG_CHANGES_MAX;
use hyperty_model::message::UpdateKind;
use hyperty_model::{Position, StatusCode};
use hyperty_storage::{
    DataObjectStorage, Delegation, Durability, Entry, Grant, Invited, InvitedStage, ObjectRecord,
    RecordStatus, Role, Subscriber,
};
use serde_json::json;

use super::objects::{Open, Site, append, check, check_all, durable};
use super::sample::{
    change, child, children_name, hyperty, object, record, removed, same_but_log, set, subscriber,
};

/// Protocol 10.1: the newest changes are there after any number of checkpoints and restarts, within their limits, and
/// a whole record replaces them.
pub(super) fn the_newest_changes_are_kept(open: &Open) {
    let mut a = record(Role::Reporter, "a", Some(json!({"filler": "x".repeat(300)})));
    let mut store = open();
    store.save(&a);
    for i in 0..2_600 {
        let kind = match i % 40 {
            0 => UpdateKind::Metadata { attribute: "name".to_owned(), value: json!(i.to_string()) },
            _ => set("n", json!("y".repeat(i % 97))),
        };
        if append(&*store, &mut a, kind) {
            store.checkpoint(&a);
        }
        if i % 500 == 499 {
            check_all(&*store, &[&a]);
            drop(store);
            store = open();
        }
    }
    let found = store.find(a.role, &a.metadata.url).expect("it can be read").expect("it is there");
    assert!((10..LOG_CHANGES_MAX).contains(&found.log.len()), "{} changes are kept", found.log.len());
    a.log.drain(..a.log.len() - 10);
    store.save(&a);
    append(&*store, &mut a, set("n", json!(0)));
    check_all(&*store, &[&a]);
    // One that does not lead to where the record stands is not kept.
    store.save(&ObjectRecord { log: a.log[..5].to_vec(), ..a.clone() });
    a.log.clear();
    // What led to another epoch is of no use in this one.
    append(&*store, &mut a, set("n", json!(1)));
    a.position = Position::new(1, 0);
    store.save(&a);
    a.log.clear();
    append(&*store, &mut a, set("n", json!(2)));
    check_all(&*store, &[&a]);
    // What was left out cannot be told to anybody.
    change(&mut a, set("n", json!(3)));
    append(&*store, &mut a, set("n", json!(4)));
    store.checkpoint(&a);
    a.log.clear();
    check_all(&*store, &[&a]);
    append(&*store, &mut a, set("n", json!(5)));
    drop(store);
    check_all(&*open(), &[&a]);
}

/// Who observes is written one by one, and comes back in order.
pub(super) fn subscribers_come_and_go_one_by_one(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    let b = ObjectRecord { subscriptions: vec![subscriber("s5")], ..record(Role::Reporter, "b", None) };
    store.save(&a);
    store.save(&b);
    for name in ["s7", "s3", "s5", "s30", "s3"] {
        store.put_subscriber(a.role, &a.metadata.url, &subscriber(name));
    }
    store.remove_subscriber(a.role, &a.metadata.url, &hyperty("s5"));
    store.remove_subscriber(a.role, &a.metadata.url, &hyperty("nobody"));
    let away = Subscriber { away: true, ..subscriber("s7") };
    store.put_subscriber(a.role, &a.metadata.url, &away);
    // Who was removed is kept, so that it does not come back (INV-KICK-1).
    let removed = removed("s8");
    store.put_subscriber(a.role, &a.metadata.url, &removed);
    let reader = Subscriber { children: false, ..subscriber("s9") };
    store.put_subscriber(a.role, &a.metadata.url, &reader);
    a.subscriptions = vec![subscriber("s3"), subscriber("s30"), away, removed, reader];
    check(&*store, &[&a, &b]);
    // They are left alone by what is written of the rest.
    append(&*store, &mut a, set("n", json!(1)));
    store.checkpoint(&a);
    store.save_metadata(&ObjectRecord { subscriptions: Vec::new(), ..a.clone() });
    drop(store);
    let store = open();
    check(&*store, &[&a, &b]);
    a.subscriptions.remove(1);
    store.save(&a);
    store.put_subscriber(a.role, &object("unknown"), &subscriber("s1"));
    drop(store);
    check(&*open(), &[&a, &b]);
}

/// Each grant lets in whom it let in, for what and until when; an invitation is where it was, and its answer with it.
pub(super) fn grants_and_invitations_keep_their_limits(open: &Open) {
    let store = open();
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    let b = ObjectRecord {
        grants: vec![Grant::unlimited(hyperty("b").into())],
        ..record(Role::Reporter, "b", None)
    };
    store.save(&a);
    store.save(&b);
    let who = |number: usize| format!("hyperty://example-{number}.org/*").parse().expect("a URL");
    for (number, (children, until)) in
        [(true, None), (false, None), (true, Some(0)), (false, Some(u64::MAX))].into_iter().enumerate()
    {
        a.grants.push(Grant { who: who(number), children, until });
    }
    a.grants.push(Grant::unlimited("user-guid://bob".parse().expect("a URL")));
    let answered = |code: u16, text: Option<&str>| InvitedStage::Answered {
        code: StatusCode(code),
        description: text.map(str::to_owned),
    };
    let stages = [
        InvitedStage::Waiting,
        InvitedStage::Delivered,
        answered(200, None),
        answered(403, Some("not today")),
    ];
    for (number, stage) in stages.into_iter().enumerate() {
        let who = hyperty(&format!("guest-{number}"));
        a.invitations.push(Invited { who, announced: number % 2 == 1, until: number as u64, stage });
    }
    let granted = a.grants.iter().cloned().map(Entry::Grant);
    let entries: Vec<Entry> = granted.chain(a.invitations.iter().cloned().map(Entry::Invited)).collect();
    store.put_entries(a.role, &a.metadata.url, &entries);
    check(&*store, &[&a, &b]);
    // They are left alone by what is written of the rest.
    append(&*store, &mut a, set("n", json!(1)));
    let bare = ObjectRecord { grants: Vec::new(), invitations: Vec::new(), ..a.clone() };
    store.checkpoint(&bare);
    store.save_metadata(&bare);
    drop(store);
    let store = open();
    check(&*store, &[&a, &b]);
    // One is taken back, one is changed, one is done with; and some that are not there.
    a.grants.remove(1);
    a.grants[0].until = Some(7);
    a.invitations.remove(0);
    let done = [
        Entry::Revoked(who(1)),
        Entry::Revoked(who(9)),
        Entry::Grant(a.grants[0].clone()),
        Entry::Uninvited(hyperty("guest-0")),
        Entry::Uninvited(hyperty("guest-9")),
    ];
    store.put_entries(a.role, &a.metadata.url, &done);
    store.put_entries(a.role, &object("unknown"), &entries);
    drop(store);
    let store = open();
    check(&*store, &[&a, &b]);
    // A whole record replaces them.
    a.grants.truncate(1);
    a.invitations.clear();
    store.save(&a);
    check(&*store, &[&a, &b]);
    drop(store);
    check(&*open(), &[&a, &b]);
}

/// M18: what waits for its answer is kept in the order in which it was written, and goes one by one, in any order.
pub(super) fn operations_that_wait_come_and_go_one_by_one(open: &Open) {
    let mut store = open();
    let mut a = record(Role::Observer, "a", Some(json!({})));
    store.save(&a);
    let message = |number: u64| json!({"id": number, "type": "create", "body": {"text": "x\n".repeat(9)}});
    for number in [0, 1, 2, 9, 10, 11, 99, 100, u64::MAX] {
        let entry = Entry::Pending { number, message: message(number) };
        store.put_entries(a.role, &a.metadata.url, &[entry]);
        a.pending.insert(number, message(number));
    }
    check(&*store, &[&a]);
    for (turn, number) in [9, 0, 100].into_iter().enumerate() {
        store.put_entries(a.role, &a.metadata.url, &[Entry::Answered { number }]);
        a.pending.remove(&number);
        append(&*store, &mut a, set("n", json!(turn)));
        store.save_metadata(&ObjectRecord { pending: Default::default(), ..a.clone() });
        drop(store);
        store = open();
        check(&*store, &[&a]);
    }
    // The place of one that is gone may be another's.
    let both = [Entry::Answered { number: 11 }, Entry::Pending { number: 11, message: json!({}) }];
    store.put_entries(a.role, &a.metadata.url, &both);
    a.pending.insert(11, json!({}));
    check(&*store, &[&a]);
    a.pending.retain(|number, _| *number < 3);
    store.save(&a);
    drop(store);
    let store = open();
    check(&*store, &[&a]);
    store.remove(a.role, &a.metadata.url);
    a.pending.clear();
    store.save(&a);
    check(&*store, &[&a]);
}

/// M27, 5.8, 5.11: what was being done to an object when a process ended is known to the next one, on both sides.
pub(super) fn every_status_is_kept(open: &Open) {
    use RecordStatus as S;
    let all = [
        S::Live,
        S::Disconnected,
        S::Creating,
        S::Deleting,
        S::Frozen,
        S::Delegated,
        S::Requested,
        S::Returning,
    ];
    for role in [Role::Reporter, Role::Observer] {
        let mut a = record(role, "a", Some(json!({})));
        for (status, whole) in all.into_iter().flat_map(|status| [(status, true), (status, false)]) {
            let store = open();
            a.status = status;
            if whole {
                store.save(&a)
            } else {
                store.save_metadata(&a)
            };
            append(&*store, &mut a, set("n", json!(whole)));
            store.checkpoint(&ObjectRecord { status: S::Live, ..a.clone() });
            check(&*store, &[&a]);
            drop(store);
            check(&*open(), &[&a]);
        }
    }
}

/// INV-DLG-1: who owns an object after a crash is decided by what is stored of its delegation.
pub(super) fn a_delegation_is_kept_at_each_step(open: &Open) {
    let other = || "hyperty-runtime://example.com/b/sm".parse().expect("a URL");
    let (offer, from) = (|| "8a7b".to_owned(), Position::new(3, 17));
    let giving = [
        Giver::Owner { epoch: 3 },
        Giver::Offered { epoch: 3, offer: offer() },
        Giver::Frozen { epoch: 3, offer: offer(), taker: other() },
        Giver::Committing { epoch: 4, offer: offer(), taker: other() },
        Giver::Given { epoch: 4, offer: offer(), taker: other(), confirmed: false },
        Giver::Given { epoch: 4, offer: offer(), taker: other(), confirmed: true },
    ];
    let taking = [
        Taker::Requested { offer: offer(), giver: other() },
        Taker::Hosting { offer: offer(), giver: other(), epoch: 4 },
        Taker::Writing { offer: offer(), giver: other(), epoch: 4 },
        Taker::Owner { offer: offer(), giver: other(), epoch: 4 },
        Taker::Returning { offer: offer(), giver: other(), epoch: 4 },
    ];
    let giving =
        giving.map(|state| Delegation::Giving { state, former: hyperty("alice"), from, departed: false });
    let taking =
        taking.map(|state| [None, Some(from)].map(|from| Delegation::Taking { state: state.clone(), from }));
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    for step in giving.into_iter().chain(taking.into_iter().flatten()).map(Some).chain([None]) {
        let store = open();
        a.delegation = step;
        store.save_metadata(&a);
        append(&*store, &mut a, set("n", json!(1)));
        check(&*store, &[&a]);
        drop(store);
        let store = open();
        check(&*store, &[&a]);
        store.save(&a);
        drop(store);
        check(&*open(), &[&a]);
    }
}

/// INV-RES-7: whatever was acknowledged is there after a crash, and what was not is there whole or not at all.
pub(super) fn what_is_acknowledged_outlives_a_crash(site: Box<dyn Site>) {
    let open = || site.open(Durability::Durable);
    let notes = children_name("notes");
    let mut a = record(Role::Reporter, "a", Some(json!({"n": 0})));
    let store = open();
    let ticket = store.save(&a);
    assert_eq!(durable(&*store, ticket), Ok(()));
    drop(store);
    for round in 1..=8_u64 {
        let store = open();
        append(&*store, &mut a, set("n", json!(round)));
        let grant = Grant { who: hyperty(&format!("g{round}")).into(), children: false, until: Some(round) };
        a.grants.push(grant.clone());
        store.put_entries(a.role, &a.metadata.url, &[Entry::Grant(grant)]);
        store.save_metadata(&a);
        a.children.create(&notes, child("bob", round, json!({}))).expect("it is new");
        store.put_child(a.role, &a.metadata.url, &notes, &child("bob", round, json!({})));
        a.subscriptions.push(subscriber(&format!("s{round}")));
        let last = store.put_subscriber(a.role, &a.metadata.url, &subscriber(&format!("s{round}")));
        assert_eq!(durable(&*store, last), Ok(()));
        // Nobody waits for this one.
        let mut next = a.clone();
        append(&*store, &mut next, set("more", json!("x".repeat(50_000))));
        site.crash();
        drop(store);
        let found = open().find(a.role, &a.metadata.url).expect("it can be read").expect("it is there");
        let is = [&a, &next].into_iter().find(|record| same_but_log(&found, record).is_ok());
        a = is.unwrap_or_else(|| panic!("{found:?} is neither {a:?} nor what came of it")).clone();
    }
}

/// M8: a store that acknowledges before it is durable says so after a crash, of every record, until that is saved whole;
/// and after a good end it does not.
pub(super) fn a_buffered_store_says_that_history_broke(site: Box<dyn Site>) {
    let buffered = Durability::Buffered { sync_every: Duration::from_secs(3_600) };
    let open = || site.open(buffered);
    let url = object("a");
    let find = |store: &dyn DataObjectStorage| {
        store.find(Role::Reporter, &url).expect("it can be read").expect("it is there")
    };
    let mut a = record(Role::Reporter, "a", Some(json!({})));
    let store = open();
    store.save(&a);
    store.save(&record(Role::Reporter, "b", None));
    drop(store);
    let store = open();
    append(&*store, &mut a, set("n", json!(1)));
    assert!(!find(&*store).broken, "a good end is told as a broken one");
    drop(store);
    let store = open();
    assert_eq!(Ok(()), same_but_log(&find(&*store), &a));
    // Acknowledged and lost, or not: that is what cannot be known.
    let mut later = a.clone();
    let ticket = append_unheard(&*store, &mut later);
    assert_eq!(durable(&*store, ticket), Ok(()), "it acknowledges at once");
    site.crash();
    drop(store);
    for _ in 0..2 {
        let store = open();
        let all = store.load(Role::Reporter).expect("it can be read");
        assert_eq!(all.len(), 2, "records that were durable are there");
        assert!(all.iter().all(|record| record.broken), "a crash is not told: {all:?}");
        assert!(find(&*store).broken, "told of all records, and not of one");
        // Neither a change nor metadata mends it.
        append(&*store, &mut find(&*store), set("n", json!(2)));
        store.save_metadata(&find(&*store));
    }
    let store = open();
    let healed = ObjectRecord { position: Position::new(1, 0), broken: false, ..find(&*store) };
    store.save(&healed);
    assert!(!find(&*store).broken, "what was saved whole is still broken");
    drop(store);
    let store = open();
    assert!(!find(&*store).broken, "what was saved whole is broken again");
    let all = store.load(Role::Reporter).expect("it can be read");
    assert_eq!(all.iter().filter(|record| record.broken).count(), 1, "the other one is mended too");
}

fn append_unheard(store: &dyn DataObjectStorage, record: &mut ObjectRecord) -> hyperty_storage::Ticket {
    let body = change(record, set("n", json!("unheard")));
    store.append(record.role, &record.metadata.url, &body).ticket
}
