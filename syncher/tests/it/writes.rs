//! Changes: applied, numbered and queued at the call; undone when refused (M2, 5.4).

use hyperty_model::message::{ResponseBody, UpdateBody, UpdateKind};
use hyperty_model::{MessageType, StatusCode};
use hyperty_syncher::{DataError, WriteError};
use serde_json::{Value, json};

use crate::manager::{Manager, object, quiet};

fn version_of(message: &hyperty_model::Message) -> u64 {
    message.decode::<UpdateBody>().unwrap().version.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_at_the_call_and_committed_later() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"topic": "a"}), &[]).await;

    let commit = reporter.set("topic", "b");
    assert_eq!((reporter.data(), reporter.version()), (json!({"topic": "b"}), 1));
    assert_eq!(reporter.committed().version, 0);
    let update = manager.expect(MessageType::Update).await;
    assert_eq!((update.from(), update.to()), (object().as_url(), &object().changes()));
    assert_eq!(update.sender(), Some(alice.url.as_url()));
    let body = update.decode::<UpdateBody>().unwrap();
    assert_eq!((body.version, body.receipt, body.source.as_ref()), (Some(1), true, Some(alice.url.as_url())));

    let commit = tokio::spawn(commit);
    quiet().await;
    assert!(!commit.is_finished());
    manager.settle(&update, ResponseBody { version: Some(1), ..ResponseBody::ok() });
    assert_eq!(commit.await.unwrap().unwrap().version, 1);
    assert_eq!(reporter.committed().version, 1);
}

#[tokio::test(start_paused = true)]
async fn many_are_in_flight_in_order_and_dropping_a_commit_cancels_nothing() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"list": []}), &[]).await;

    drop(reporter.insert("list", 0, [1, 2, 3]));
    drop(reporter.set("list.1", "two"));
    drop(reporter.remove_elements("list", 0, 1));
    drop(reporter.remove("absent"));
    let last = reporter.replace(json!({"list": ["two", 3], "open": null}));
    let updates = manager.rest().await;
    assert_eq!(updates.iter().map(version_of).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(reporter.data(), json!({"list": ["two", 3], "open": null}));

    // The answer to the last is the answer to all before it.
    manager.settle(&updates[4], ResponseBody::ok());
    assert_eq!(last.await.unwrap().version, 5);
    assert_eq!(reporter.committed().version, 5);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_undoes_the_change_and_all_after_it_and_the_version_is_used_again() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;

    let (first, second, third) = (reporter.set("n", 1), reporter.set("n", "x"), reporter.set("m", 2));
    let updates = manager.rest().await;
    manager.settle(&updates[0], ResponseBody::ok());
    let why = ResponseBody::failure(StatusCode::BAD_REQUEST, "/n is no number");
    manager.settle(&updates[1], why.with_reason("schema"));
    manager.settle(&updates[2], ResponseBody::failure(StatusCode::CONFLICT, "order").with_reason("order"));

    assert_eq!(first.await.unwrap().version, 1);
    let (code, reason) = (StatusCode::BAD_REQUEST, "/n is no number".to_owned());
    assert_eq!(second.await, Err(WriteError::Refused { version: 2, code, reason: reason.clone() }));
    assert_eq!(third.await, Err(WriteError::Undone { version: 2, code, reason }));
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 1}), 1));

    drop(reporter.set("n", 2));
    assert_eq!(version_of(&manager.expect(MessageType::Update).await), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_made_together_fail_with_the_refusal_of_any_of_them() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"a": 0, "b": 0}), &[]).await;
    let edit = reporter.update(|data| {
        data["a"] = json!(1);
        data["b"] = json!(1);
    });
    let updates = manager.rest().await;
    assert_eq!(updates.len(), 2);
    manager.settle(&updates[0], ResponseBody::failure(StatusCode::BAD_REQUEST, "no"));
    assert!(matches!(edit.await, Err(WriteError::Refused { version: 1, .. })));
    assert_eq!(reporter.data(), json!({"a": 0, "b": 0}));
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_while_the_change_is_posted() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    // Refuses every third change, commits the others, all within the post; and writes from within, too.
    let inner = reporter.clone();
    manager.on_arrival(move |manager, message| {
        let body = message.decode::<UpdateBody>().unwrap();
        let UpdateKind::Change(change) = &body.kind else { unreachable!() };
        let value = change.values()[0].clone();
        if value == json!(3) {
            drop(inner.set("from_within", true));
            manager.settle(message, ResponseBody::failure(StatusCode::BAD_REQUEST, "three"));
        } else {
            manager.settle(message, ResponseBody::ok());
        }
        true
    });
    for n in 1..=5 {
        let outcome = reporter.set("n", n).await;
        assert_eq!(outcome.is_err(), n == 3, "{outcome:?}");
    }
    // What was written from within came after the refused change, and went with it.
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 5}), 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_write_at_once_send_one_gapless_sequence() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0, "sum": 0}), &[]).await;
    manager.commit_at_once();
    let bob = manager.hyperty("bob");
    let mut observer =
        manager.observer(&bob, crate::manager::snapshot(0, json!({"n": 0, "sum": 0})), &[]).await;

    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let reporter = reporter.clone();
            std::thread::spawn(move || {
                for n in 0..50 {
                    drop(reporter.set("n", writer * 1000 + n));
                    // Read, add, write: atomic among threads.
                    drop(reporter.update(|data| data["sum"] = json!(data["sum"].as_u64().unwrap() + 1)));
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(reporter.set("done", true).await.unwrap().version, 401);
    assert_eq!(reporter.data()["sum"], json!(200));
    for version in 1..=401 {
        assert_eq!(observer.next().await.unwrap().version, version);
    }
    assert_eq!(observer.data(), reporter.data());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_at_once_and_changes_nothing() {
    let manager = Manager::new();
    let alice = manager.hyperty_with("alice", |config| config.limits.in_flight_max = 2);
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    // M26: integers that not every reader keeps.
    assert!(matches!(reporter.set("n", u64::MAX).await, Err(WriteError::Data(DataError::Value(_)))));
    assert!(matches!(reporter.set("x.y", 1).await, Err(WriteError::Apply(_))));
    assert!(matches!(
        reporter.replace(json!([])).await,
        Err(WriteError::Data(DataError::NotAnObject("an array")))
    ));
    assert!(matches!(reporter.set("", 1).await, Err(WriteError::Data(DataError::NotAnObject(_)))));
    let deep = (0..70).fold(json!(1), |inner, _| json!({ "x": inner }));
    assert!(matches!(reporter.set("n", deep).await, Err(WriteError::Data(DataError::Value(_)))));
    assert!(manager.rest().await.is_empty());
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 0}), 0));

    drop(reporter.set("n", 1));
    drop(reporter.set("n", 2));
    assert_eq!(reporter.set("n", 3).await, Err(WriteError::TooManyInFlight(2)));
    manager.settle(&manager.next().await, ResponseBody::ok());
    drop(reporter.set("n", 4));
    assert_eq!(reporter.version(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_changes_nothing_waits_for_what_is_in_flight() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    assert_eq!(reporter.update(|_| {}).await.unwrap().version, 0);
    drop(reporter.set("n", 1));
    let nothing = tokio::spawn(reporter.update(|data| data["n"] = json!(1)));
    quiet().await;
    assert!(!nothing.is_finished());
    manager.settle(&manager.next().await, ResponseBody::ok());
    assert_eq!(nothing.await.unwrap().unwrap().version, 1);
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_edit_may_use_the_object_and_is_dropped_when_its_ground_was_undone() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    drop(reporter.update(|data| {
        drop(reporter.set("inner", reporter.version()));
        data["n"] = json!(reporter.with_data(|data| data["n"].as_u64().unwrap()) + 1);
    }));
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 1, "inner": 0}), 2));

    let updates = manager.rest().await;
    let outdated = reporter.update(|data| {
        manager.settle(&updates[0], ResponseBody::failure(StatusCode::BAD_REQUEST, "no"));
        data["n"] = json!(7);
    });
    assert_eq!(outdated.await, Err(WriteError::EditOutdated));
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 0}), 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_store_rolls_back_and_closes_the_object_for_writing() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    let (first, second) = (reporter.set("n", 1), reporter.set("n", 2));
    let updates = manager.rest().await;
    manager.settle(&updates[0], ResponseBody::failure(StatusCode::INTERNAL, "disk full"));
    let failed = WriteError::StoreFailed { reason: "disk full".to_owned() };
    assert_eq!(first.await, Err(failed.clone()));
    assert!(matches!(second.await, Err(WriteError::Undone { version: 1, .. })));
    assert_eq!(reporter.data(), json!({"n": 0}));
    assert_eq!(reporter.set("n", 3).await, Err(failed));
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reporter_that_stands_apart_reads_its_object_anew() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    let commit = reporter.set("n", 1);
    manager.settle(&manager.next().await, ResponseBody::failure(StatusCode::CONFLICT, "order"));
    assert!(matches!(commit.await, Err(WriteError::Refused { code: StatusCode::CONFLICT, .. })));
    let read = manager.expect(MessageType::Read).await;
    manager.answer(&read, ResponseBody::ok().with_value(crate::manager::snapshot(5, json!({"n": 5}))));
    quiet().await;
    assert_eq!((reporter.data(), reporter.version()), (json!({"n": 5}), 5));
    drop(reporter.set("n", 6));
    assert_eq!(version_of(&manager.expect(MessageType::Update).await), 6);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_data_holds_nobody_up() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0}), &[]).await;
    let seen: Value = reporter.with_data(|data| {
        drop(reporter.set("n", 1));
        data.clone()
    });
    assert_eq!((seen, reporter.data()), (json!({"n": 0}), json!({"n": 1})));
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_no_copy_of_the_document() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({"n": 0, "a.b": {"c": 0}}), &[]).await;
    let place = || reporter.with_data(|data| std::ptr::from_ref(data) as usize);
    let before = place();
    drop(reporter.set("n", 1));
    drop(reporter.set("a.b.c", 1));
    drop(reporter.update(|data| data["n"] = json!(2)));
    assert_eq!(place(), before);
    let paths: Vec<String> = manager.rest().await.iter().map(path_of).collect();
    // A key with a dot is not found by every reader: the value above it is sent.
    assert_eq!(paths, ["n", "a.b", "n"]);
    drop(reporter.with_data(|_| reporter.set("n", 3)));
    assert_ne!(place(), before);
}

fn path_of(message: &hyperty_model::Message) -> String {
    match &message.decode::<UpdateBody>().unwrap().kind {
        UpdateKind::Change(change) => change.path.to_string(),
        other => panic!("{other:?}"),
    }
}
