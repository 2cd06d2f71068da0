//! Reading through batches that are committed but not yet applied.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use crate::tables::{Batch, Op};

/// The steps of `waiting` that bear on the row of `table` under `key`.
pub(crate) fn on_row(waiting: &Batch, table: &str, key: &[u8]) -> Batch {
    waiting.select(|t, op| {
        t == table
            && match op {
                Op::Put { key: k, .. } | Op::Append { key: k, .. } | Op::Delete { key: k } => k == key,
                Op::DeleteRange { from, to } => from <= key && key < to,
            }
    })
}

/// The steps of `waiting` that bear on rows of `table` below `prefix`.
pub(crate) fn below(waiting: &Batch, table: &str, prefix: &[u8]) -> Batch {
    waiting.select(|t, op| {
        t == table
            && match op {
                Op::Put { key, .. } | Op::Append { key, .. } | Op::Delete { key } => key.starts_with(prefix),
                Op::DeleteRange { .. } => true,
            }
    })
}

/// What becomes of `row`, the row under `key`, by steps that bear on it.
pub(crate) fn applied_to_row(row: Option<Bytes>, key: &[u8], steps: &Batch) -> Option<Bytes> {
    if steps.is_empty() {
        return row;
    }
    let mut rows: BTreeMap<Bytes, Bytes> =
        row.map(|row| (Bytes::copy_from_slice(key), row)).into_iter().collect();
    steps.ops().for_each(|(_, op)| apply(op, &mut rows));
    rows.remove(key)
}

/// What becomes of `rows` of one table by steps that bear on that table.
pub(crate) fn applied(rows: Vec<(Bytes, Bytes)>, steps: &Batch) -> Vec<(Bytes, Bytes)> {
    if steps.is_empty() {
        return rows;
    }
    let mut rows: BTreeMap<Bytes, Bytes> = rows.into_iter().collect();
    steps.ops().for_each(|(_, op)| apply(op, &mut rows));
    rows.into_iter().collect()
}

/// Does to the rows of a table what a step says.
pub(crate) fn apply(op: Op<'_>, rows: &mut BTreeMap<Bytes, Bytes>) {
    match op {
        Op::Put { key, value } => {
            rows.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        }
        Op::Append { key, value } => {
            let row = rows.entry(Bytes::copy_from_slice(key)).or_default();
            *row = [&**row, value].concat().into();
        }
        Op::Delete { key } => {
            rows.remove(key);
        }
        Op::DeleteRange { from, to } if from < to => {
            let range = (Included(from), Excluded(to));
            let keys: Vec<Bytes> = rows.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| drop(rows.remove(key)));
        }
        Op::DeleteRange { .. } => {}
    }
}
