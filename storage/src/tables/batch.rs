//! What is committed: steps that take effect together.

use std::fmt;

/// Puts and deletes that are applied in order, all of them or none.
///
/// ```
/// use hyperty_storage::Batch;
/// let batch = Batch::new().put("names/v1", "a", "1").append("names/v1", "a", "2").delete("names/v1", "b");
/// assert!(!batch.is_empty());
/// ```
#[derive(Clone, Default)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    steps: Vec<Step>,
    /// The keys and values of all steps, so that a batch, or many joined to one, is two allocations.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Step {
    kind: Kind,
    table: &'static str,
    /// In `bytes`: two parts, one after the other.
    start: usize,
    first: usize,
    second: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Append,
    Delete,
    DeleteRange,
}

/// One step of a batch, for whoever implements [`Tables`](crate::Tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a row.
    Put {
        /// The row's key.
        key: &'a [u8],
        /// Its value from now on.
        value: &'a [u8],
    },
    /// Adds at the end of a row; one that is not there begins empty.
    Append {
        /// The row's key.
        key: &'a [u8],
        /// What is added.
        value: &'a [u8],
    },
    /// Removes a row, if it is there.
    Delete {
        /// The row's key.
        key: &'a [u8],
    },
    /// Removes all rows with `from <= key < to`.
    DeleteRange {
        /// The first key.
        from: &'a [u8],
        /// The key after the last.
        to: &'a [u8],
    },
}

impl Batch {
    /// A batch without effect.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets a row.
    pub fn put(self, table: &'static str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Batch {
        self.with(Kind::Put, table, key.as_ref(), value.as_ref())
    }

    /// Adds `value` at the end of a row; a row that is not there begins empty.
    pub fn append(self, table: &'static str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Batch {
        self.with(Kind::Append, table, key.as_ref(), value.as_ref())
    }

    /// Removes a row, if it is there.
    pub fn delete(self, table: &'static str, key: impl AsRef<[u8]>) -> Batch {
        self.with(Kind::Delete, table, key.as_ref(), &[])
    }

    /// Removes all rows with `from <= key < to`.
    pub fn delete_range(self, table: &'static str, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Batch {
        self.with(Kind::DeleteRange, table, from.as_ref(), to.as_ref())
    }

    /// Whether it has no effect.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps with their tables, in order.
    pub fn ops(&self) -> impl Iterator<Item = (&'static str, Op<'_>)> {
        self.steps.iter().map(|step| (step.table, self.op(step)))
    }

    /// Those steps that `wanted` picks.
    pub(crate) fn select(&self, wanted: impl Fn(&'static str, Op<'_>) -> bool) -> Batch {
        let mut picked = Batch::new();
        for step in &self.steps {
            if wanted(step.table, self.op(step)) {
                let parts = &self.bytes[step.start..step.start + step.first + step.second];
                picked.add(*step, parts);
            }
        }
        picked
    }

    /// Adds the steps of `other`.
    pub(crate) fn extend(&mut self, other: &Batch) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.steps.extend(other.steps.iter().map(|step| Step { start: step.start + shift, ..*step }));
    }

    /// Forgets the steps and keeps memory for as many again: a busy store does not ask for it again and again,
    /// and an idle one gives it back.
    pub(crate) fn clear(&mut self) {
        self.steps.shrink_to(2 * self.steps.len());
        self.steps.clear();
        self.bytes.shrink_to(2 * self.bytes.len());
        self.bytes.clear();
    }

    /// What it takes in memory.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.steps.len() * size_of::<Step>()
    }

    fn with(mut self, kind: Kind, table: &'static str, first: &[u8], second: &[u8]) -> Batch {
        let start = self.bytes.len();
        self.bytes.reserve(first.len() + second.len());
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
        self.steps.push(Step { kind, table, start, first: first.len(), second: second.len() });
        self
    }

    fn add(&mut self, step: Step, parts: &[u8]) {
        self.steps.push(Step { start: self.bytes.len(), ..step });
        self.bytes.extend_from_slice(parts);
    }

    fn op(&self, step: &Step) -> Op<'_> {
        let (first, rest) = self.bytes[step.start..].split_at(step.first);
        let second = &rest[..step.second];
        match step.kind {
            Kind::Put => Op::Put { key: first, value: second },
            Kind::Append => Op::Append { key: first, value: second },
            Kind::Delete => Op::Delete { key: first },
            Kind::DeleteRange => Op::DeleteRange { from: first, to: second },
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ops()).finish()
    }
}
