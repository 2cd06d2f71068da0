//! What [`Tables`] promises, case by case.

use std::sync::Arc;

use hyperty_storage::{Batch, StorageError, Tables, Ticket, durable, flush};

use super::{Capabilities, Fresh, Place};

const T: &str = "cases/v1";
const OTHER: &str = "others/v1";

/// Runs all cases that apply.
pub async fn run(capabilities: Capabilities, fresh: Fresh<'_>) {
    absent_rows_are_none(&*fresh()).await;
    rows_are_set_replaced_and_removed(&*fresh()).await;
    tables_are_apart(&*fresh()).await;
    scans_are_ordered_and_stay_below_the_prefix(&*fresh()).await;
    appending_extends_a_row(&*fresh()).await;
    a_range_is_half_open(&*fresh()).await;
    steps_of_a_batch_take_effect_in_order(&*fresh()).await;
    keys_and_values_are_any_bytes(&*fresh()).await;
    own_writes_are_read_at_once(&*fresh()).await;
    tickets_rise_and_progress_follows(&*fresh()).await;
    ticket_zero_is_durable_from_the_start(&*fresh()).await;
    concurrent_writers_keep_their_order(&*fresh()).await;
    a_closed_store_refuses(&*fresh()).await;
    if capabilities.durable {
        durable_batches_are_there_after_closing(&*fresh()).await;
        closing_frees_the_place_with_handles_alive(&*fresh()).await;
        dropping_loses_nothing(&*fresh()).await;
        large_rows_are_kept(&*fresh()).await;
    }
}

fn texts(rows: Vec<(bytes::Bytes, bytes::Bytes)>) -> Vec<(String, String)> {
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).expect("the cases write text");
    rows.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn row(tables: &dyn Tables, table: &str, key: &str) -> Option<String> {
    let value = tables.get(table, key.as_bytes()).expect("the store is open");
    value.map(|value| String::from_utf8(value.to_vec()).expect("the cases write text"))
}

fn rows(tables: &dyn Tables, prefix: &str) -> Vec<String> {
    let rows = texts(tables.scan(T, prefix.as_bytes()).expect("the store is open"));
    rows.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// A table or row that was never written is empty, not an error.
pub async fn absent_rows_are_none(place: &dyn Place) {
    let tables = place.open();
    assert_eq!(row(&*tables, T, "a"), None);
    assert_eq!(tables.scan(T, b""), Ok(Vec::new()));
    let ticket = tables.commit(Batch::new().delete(T, "a").delete_range(T, "a", "z"));
    assert_eq!(durable(&*tables, ticket).await, Ok(()));
    assert_eq!(row(&*tables, T, "a"), None);
}

/// Put, put again, delete.
pub async fn rows_are_set_replaced_and_removed(place: &dyn Place) {
    let tables = place.open();
    tables.commit(Batch::new().put(T, "a", "1"));
    assert_eq!(row(&*tables, T, "a").as_deref(), Some("1"));
    tables.commit(Batch::new().put(T, "a", ""));
    assert_eq!(row(&*tables, T, "a").as_deref(), Some(""), "an empty value is a value");
    flush(&*tables).await.expect("it can be written");
    assert_eq!(row(&*tables, T, "a").as_deref(), Some(""));
    tables.commit(Batch::new().delete(T, "a"));
    assert_eq!(row(&*tables, T, "a"), None);
    flush(&*tables).await.expect("it can be written");
    assert_eq!(row(&*tables, T, "a"), None);
}

/// The same key in two tables is two rows.
pub async fn tables_are_apart(place: &dyn Place) {
    let tables = place.open();
    tables.commit(Batch::new().put(T, "a", "1").put(OTHER, "a", "2").delete_range(T, "a", "b"));
    flush(&*tables).await.expect("it can be written");
    assert_eq!(row(&*tables, T, "a"), None);
    assert_eq!(row(&*tables, OTHER, "a").as_deref(), Some("2"));
}

/// A scan gives the rows below the prefix, in the order of their bytes.
pub async fn scans_are_ordered_and_stay_below_the_prefix(place: &dyn Place) {
    let tables = place.open();
    let batch =
        ["b", "ab", "a", "aa\u{10ffff}", "c", "aa"].iter().fold(Batch::new(), |b, k| b.put(T, k, "1"));
    tables.commit(batch);
    for _ in 0..2 {
        assert_eq!(rows(&*tables, "a"), ["a=1", "aa=1", "aa\u{10ffff}=1", "ab=1"]);
        assert_eq!(rows(&*tables, "aa"), ["aa=1", "aa\u{10ffff}=1"]);
        assert_eq!(rows(&*tables, "").len(), 6);
        assert_eq!(rows(&*tables, "d"), [""; 0]);
        // Once through what waits, once from where it is kept.
        flush(&*tables).await.expect("it can be written");
    }
}

/// Appended parts make one row, whatever became durable in between.
pub async fn appending_extends_a_row(place: &dyn Place) {
    let tables = place.open();
    tables.commit(Batch::new().append(T, "a", "1").append(T, "a", "2"));
    assert_eq!(row(&*tables, T, "a").as_deref(), Some("12"));
    flush(&*tables).await.expect("it can be written");
    tables.commit(Batch::new().append(T, "a", "3"));
    assert_eq!(rows(&*tables, "a"), ["a=123"]);
    tables.commit(Batch::new().append(T, "a", "4"));
    flush(&*tables).await.expect("it can be written");
    assert_eq!(row(&*tables, T, "a").as_deref(), Some("1234"));
    tables.commit(Batch::new().delete(T, "a").append(T, "a", "5"));
    assert_eq!(row(&*tables, T, "a").as_deref(), Some("5"));
    tables.commit(Batch::new().put(T, "a", "6").append(T, "a", "7"));
    flush(&*tables).await.expect("it can be written");
    assert_eq!(row(&*tables, T, "a").as_deref(), Some("67"));
}

/// A range holds its first key and not its last; one that ends before it begins is empty.
pub async fn a_range_is_half_open(place: &dyn Place) {
    let tables = place.open();
    tables.commit(["a", "b", "c", "d"].iter().fold(Batch::new(), |b, k| b.put(T, k, "1")));
    tables.commit(Batch::new().delete_range(T, "d", "a").delete_range(T, "a", "a"));
    assert_eq!(rows(&*tables, "").len(), 4);
    flush(&*tables).await.expect("it can be written");
    tables.commit(Batch::new().delete_range(T, "b", "d"));
    assert_eq!(rows(&*tables, ""), ["a=1", "d=1"]);
    flush(&*tables).await.expect("it can be written");
    assert_eq!(rows(&*tables, ""), ["a=1", "d=1"]);
}

/// Later steps of a batch see what earlier ones did.
pub async fn steps_of_a_batch_take_effect_in_order(place: &dyn Place) {
    let tables = place.open();
    let batch = Batch::new().put(T, "a", "1").put(T, "b", "1").delete(T, "a").put(T, "a", "2");
    tables.commit(batch.delete_range(T, "a", "c").append(T, "b", "3").put(T, "c", "4").delete(T, "c"));
    for _ in 0..2 {
        assert_eq!(rows(&*tables, ""), ["b=3"]);
        flush(&*tables).await.expect("it can be written");
    }
}

/// Keys and values are not text.
pub async fn keys_and_values_are_any_bytes(place: &dyn Place) {
    let tables = place.open();
    let keys: [&[u8]; 5] = [&[], &[0], &[0, 0xff], &[0xff], &[0xff, 0xff]];
    tables.commit(keys.iter().fold(Batch::new(), |batch, key| batch.put(T, key, key)));
    flush(&*tables).await.expect("it can be written");
    let found = tables.scan(T, b"").expect("the store is open");
    assert_eq!(found.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), keys);
    assert!(found.iter().all(|(key, value)| key == value));
    assert_eq!(tables.scan(T, &[0xff]).expect("the store is open").len(), 2);
}

/// `get` and `scan` see what is committed and not yet durable.
pub async fn own_writes_are_read_at_once(place: &dyn Place) {
    let tables = place.open();
    for round in 0..200 {
        tables.commit(Batch::new().put(T, "a", round.to_string()).append(T, "b", "x"));
        assert_eq!(row(&*tables, T, "a"), Some(round.to_string()));
        assert_eq!(rows(&*tables, "b"), [format!("b={}", "x".repeat(round + 1))]);
    }
}

/// Tickets rise by one, and everything up to the reported one is durable.
pub async fn tickets_rise_and_progress_follows(place: &dyn Place) {
    let tables = place.open();
    let progress = tables.progress();
    let first = tables.commit(Batch::new().put(T, "a", "1"));
    let tickets: Vec<Ticket> = (0..100).map(|_| tables.commit(Batch::new().append(T, "a", "1"))).collect();
    assert!(tickets.iter().zip(first.0 + 1..).all(|(ticket, wanted)| ticket.0 == wanted));
    for ticket in tickets.iter().rev() {
        durable(&*tables, *ticket).await.expect("it can be written");
    }
    assert!(progress.borrow().durable >= tickets[99]);
    assert_eq!(progress.borrow().failed, None);
}

/// Nothing needs no waiting.
pub async fn ticket_zero_is_durable_from_the_start(place: &dyn Place) {
    let tables = place.open();
    assert_eq!(durable(&*tables, Ticket::default()).await, Ok(()));
    tables.close();
    assert_eq!(durable(&*tables, Ticket::default()).await, Ok(()));
}

/// Each writer's batches take effect in its own order, and none is lost.
pub async fn concurrent_writers_keep_their_order(place: &dyn Place) {
    const EACH: u32 = 500;
    let tables = place.open();
    let writers: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|key| {
            let tables = Arc::clone(&tables);
            std::thread::spawn(move || {
                let write = |_, i: u32| tables.commit(Batch::new().append(T, key, i.to_be_bytes()));
                (0..EACH).fold(Ticket::default(), write)
            })
        })
        .collect();
    let last = writers.into_iter().map(|writer| writer.join().expect("it does not panic")).max();
    durable(&*tables, last.expect("there are four")).await.expect("it can be written");
    let wanted: Vec<u8> = (0..EACH).flat_map(u32::to_be_bytes).collect();
    for key in ["a", "b", "c", "d"] {
        assert_eq!(tables.get(T, key.as_bytes()).expect("the store is open").as_deref(), Some(&*wanted));
    }
}

/// After `close` nothing is read or becomes durable, and whoever waits is told.
pub async fn a_closed_store_refuses(place: &dyn Place) {
    let tables = place.open();
    let before = tables.commit(Batch::new().put(T, "a", "1"));
    durable(&*tables, before).await.expect("it can be written");
    tables.close();
    tables.close();
    let after = tables.commit(Batch::new().put(T, "a", "2"));
    assert_eq!(durable(&*tables, before).await, Ok(()), "what was durable stays so");
    assert_eq!(durable(&*tables, after).await, Err(StorageError::Closed));
    assert_eq!(tables.get(T, b"a"), Err(StorageError::Closed));
    assert_eq!(tables.scan(T, b""), Err(StorageError::Closed));
    let progress = tables.progress();
    drop(tables);
    assert_eq!(progress.borrow().failed, Some(StorageError::Closed));
}

/// What was reported durable is there when the store is opened again.
pub async fn durable_batches_are_there_after_closing(place: &dyn Place) {
    for round in 0..5 {
        let tables = place.open();
        assert_eq!(rows(&*tables, "").len(), round);
        let ticket = tables.commit(Batch::new().put(T, round.to_string(), "1"));
        durable(&*tables, ticket).await.expect("it can be written");
        // What waits may be lost, but only together and from the end.
        tables.commit(Batch::new().put(OTHER, "a", round.to_string()).put(OTHER, "b", round.to_string()));
        tables.close();
        drop(tables);
        let tables = place.open();
        assert_eq!(row(&*tables, OTHER, "a"), row(&*tables, OTHER, "b"), "in part after round {round}");
    }
}

/// `close` gives up the place at once, even if somebody still holds the store.
pub async fn closing_frees_the_place_with_handles_alive(place: &dyn Place) {
    let old = place.open();
    durable(&*old, old.commit(Batch::new().put(T, "a", "1"))).await.expect("it can be written");
    old.close();
    let new = place.open();
    assert_eq!(row(&*new, T, "a").as_deref(), Some("1"));
    durable(&*new, new.commit(Batch::new().put(T, "a", "2"))).await.expect("it can be written");
    old.commit(Batch::new().put(T, "a", "3"));
    drop(old);
    assert_eq!(row(&*new, T, "a").as_deref(), Some("2"));
}

/// Dropping the last handle writes what waits.
pub async fn dropping_loses_nothing(place: &dyn Place) {
    let tables = place.open();
    let progress = tables.progress();
    for i in 0..1000 {
        tables.commit(Batch::new().append(T, "a", "x").put(T, format!("b{i}"), "1"));
    }
    drop(tables);
    assert_eq!(progress.borrow().durable, Ticket(1000));
    let tables = place.open();
    assert_eq!(row(&*tables, T, "a"), Some("x".repeat(1000)));
    assert_eq!(rows(&*tables, "b").len(), 1000);
}

/// A row may be larger than any page or buffer.
pub async fn large_rows_are_kept(place: &dyn Place) {
    const BYTES: usize = 3 << 20;
    let tables = place.open();
    let value: Vec<u8> = (0..BYTES).map(|i| (i / 7) as u8).collect();
    tables.commit(Batch::new().put(T, "a", "1"));
    tables.commit(Batch::new().put(T, "b", &value));
    tables.commit(Batch::new().put(T, "c", "1"));
    flush(&*tables).await.expect("it can be written");
    drop(tables);
    let tables = place.open();
    assert!(tables.get(T, b"b").expect("the store is open").is_some_and(|found| *found == *value));
    assert_eq!(row(&*tables, T, "c").as_deref(), Some("1"));
}
