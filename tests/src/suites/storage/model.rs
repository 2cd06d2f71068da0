//! Any store against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_storage::{Batch, Tables, flush};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{Capabilities, Fresh, Place};

const TABLES: [&str; 2] = ["left/v1", "right/v1"];

/// What a random test does next.
#[derive(Debug, Clone)]
enum Act {
    Commit(Vec<Step>),
    Flush,
    Read {
        table: usize,
        key: Vec<u8>,
    },
    Scan {
        table: usize,
        prefix: Vec<u8>,
    },
    /// Drop the store and open it again.
    Reopen,
    /// Flush it, close it, open it again while the old handle is alive.
    Close,
}

#[derive(Debug, Clone)]
enum Step {
    Put { table: usize, key: Vec<u8>, value: Vec<u8> },
    Append { table: usize, key: Vec<u8>, value: Vec<u8> },
    Delete { table: usize, key: Vec<u8> },
    DeleteRange { table: usize, from: Vec<u8>, to: Vec<u8> },
}

type Model = [BTreeMap<Vec<u8>, Vec<u8>>; 2];

/// INV-DOM-6: after any series of batches, reads and restarts a store holds what a map holds.
///
/// # Panics
/// With the shortest series for which it does not.
pub fn equals_a_map(capabilities: Capabilities, fresh: Fresh<'_>) {
    let cases = if capabilities.durable { 48 } else { 256 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let acts = proptest::collection::vec(act(capabilities.durable), 1..40);
    if let Err(failure) = runner.run(&acts, |acts| play(&*fresh(), &acts)) {
        panic!("{failure}");
    }
}

fn play(place: &dyn Place, acts: &[Act]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let mut model = Model::default();
    let mut tables = Some(place.open());
    for act in acts {
        let store = tables.as_deref().expect("it was opened again");
        match act {
            Act::Commit(steps) => commit(store, &mut model, steps),
            Act::Flush => runtime.block_on(flush(store)).expect("it can be written"),
            Act::Read { table, key } => {
                let found = store.get(TABLES[*table], key).expect("the store is open");
                prop_assert_eq!(found.as_deref(), model[*table].get(key).map(Vec::as_slice));
            }
            Act::Scan { table, prefix } => check(store, &model, *table, prefix)?,
            Act::Reopen => {
                drop(tables.take());
                tables = Some(place.open());
            }
            Act::Close => {
                runtime.block_on(flush(store)).expect("it can be written");
                store.close();
                let old: Option<Arc<dyn Tables>> = tables.replace(place.open());
                drop(old);
            }
        }
    }
    let store = tables.as_deref().expect("it was opened again");
    (0..TABLES.len()).try_for_each(|table| check(store, &model, table, &[]))
}

fn check(store: &dyn Tables, model: &Model, table: usize, prefix: &[u8]) -> Result<(), TestCaseError> {
    let found = store.scan(TABLES[table], prefix).expect("the store is open");
    let found: Vec<(&[u8], &[u8])> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
    let below = model[table].iter().filter(|(key, _)| key.starts_with(prefix));
    prop_assert_eq!(found, below.map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>());
    Ok(())
}

fn commit(store: &dyn Tables, model: &mut Model, steps: &[Step]) {
    let mut batch = Batch::new();
    for step in steps {
        batch = match step {
            Step::Put { table, key, value } => {
                model[*table].insert(key.clone(), value.clone());
                batch.put(TABLES[*table], key, value)
            }
            Step::Append { table, key, value } => {
                model[*table].entry(key.clone()).or_default().extend(value);
                batch.append(TABLES[*table], key, value)
            }
            Step::Delete { table, key } => {
                model[*table].remove(key);
                batch.delete(TABLES[*table], key)
            }
            Step::DeleteRange { table, from, to } => {
                model[*table].retain(|key, _| !(from <= key && key < to));
                batch.delete_range(TABLES[*table], from, to)
            }
        };
    }
    store.commit(batch);
}

fn act(durable: bool) -> impl Strategy<Value = Act> {
    let table = || 0..TABLES.len();
    let reopen = u32::from(durable);
    prop_oneof![
        10 => proptest::collection::vec(step(), 0..6).prop_map(Act::Commit),
        2 => Just(Act::Flush),
        3 => (table(), key()).prop_map(|(table, key)| Act::Read { table, key }),
        3 => (table(), key()).prop_map(|(table, prefix)| Act::Scan { table, prefix }),
        reopen => Just(Act::Reopen),
        reopen => Just(Act::Close),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let table = || 0..TABLES.len();
    let value = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        4 => (table(), key(), value()).prop_map(|(table, key, value)| Step::Put { table, key, value }),
        4 => (table(), key(), value()).prop_map(|(table, key, value)| Step::Append { table, key, value }),
        2 => (table(), key()).prop_map(|(table, key)| Step::Delete { table, key }),
        1 => (table(), key(), key()).prop_map(|(table, from, to)| Step::DeleteRange { table, from, to }),
    ]
}

/// Few bytes and short keys, so that the same rows are met again.
fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xff)], 0..3)
}
