//! One change for each row that a group of batches touches, however often it does.
//!
//! Reporters change the same objects again and again: a group of ten thousand changes may touch a thousand
//! rows. Writing each row once, in the order of the keys, is what makes a group cheap.

use foldhash::HashMap;

use crate::tables::{Batch, Op};

/// What happens to a row, or to a range of them.
#[derive(Debug)]
pub(super) enum Change<'a> {
    /// It becomes this; all parts in a row.
    Put(&'a [u8], Vec<&'a [u8]>),
    /// It gets these at its end.
    Append(&'a [u8], Vec<&'a [u8]>),
    /// It is removed.
    Delete(&'a [u8]),
    /// All rows from the first key to before the second are removed.
    DeleteRange(&'a [u8], &'a [u8]),
}

/// The changes of `group`, table by table, to be made in this order.
pub(super) fn by_table(group: &Batch) -> Vec<(&'static str, Vec<Change<'_>>)> {
    let mut tables: Vec<(&'static str, Merge<'_>)> = Vec::new();
    for (table, op) in group.ops() {
        // A store has a handful of tables.
        let index = tables.iter().position(|(name, _)| *name == table).unwrap_or_else(|| {
            tables.push((table, Merge::default()));
            tables.len() - 1
        });
        tables[index].1.add(op);
    }
    tables.into_iter().map(|(name, merge)| (name, merge.finish())).collect()
}

/// The changes of one table.
#[derive(Default)]
struct Merge<'a> {
    done: Vec<Change<'a>>,
    /// Where each row's change is in `open`.
    index: HashMap<&'a [u8], usize>,
    open: Vec<Change<'a>>,
}

impl<'a> Merge<'a> {
    fn add(&mut self, op: Op<'a>) {
        match op {
            Op::Put { key, value } => self.set(key, Change::Put(key, vec![value])),
            Op::Delete { key } => self.set(key, Change::Delete(key)),
            Op::Append { key, value } => self.append(key, value),
            Op::DeleteRange { from, to } => {
                // It bears on what came before and not on what comes after.
                self.settle();
                self.done.push(Change::DeleteRange(from, to));
            }
        }
    }

    fn set(&mut self, key: &'a [u8], change: Change<'a>) {
        match self.index.get(key) {
            Some(&at) => self.open[at] = change,
            None => self.begin(key, change),
        }
    }

    fn append(&mut self, key: &'a [u8], value: &'a [u8]) {
        let Some(&at) = self.index.get(key) else {
            return self.begin(key, Change::Append(key, vec![value]));
        };
        match &mut self.open[at] {
            Change::Put(_, parts) | Change::Append(_, parts) => parts.push(value),
            gone => *gone = Change::Put(key, vec![value]),
        }
    }

    fn begin(&mut self, key: &'a [u8], change: Change<'a>) {
        self.index.insert(key, self.open.len());
        self.open.push(change);
    }

    fn settle(&mut self) {
        self.index.clear();
        // Neighbouring rows share pages of the file.
        self.open.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        self.done.append(&mut self.open);
    }

    fn finish(mut self) -> Vec<Change<'a>> {
        self.settle();
        self.done
    }
}

impl<'a> Change<'a> {
    fn key(&self) -> &'a [u8] {
        match self {
            Change::Put(key, _)
            | Change::Append(key, _)
            | Change::Delete(key)
            | Change::DeleteRange(key, _) => key,
        }
    }
}
