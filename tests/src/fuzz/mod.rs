//! Functions that judge what the workspace makes of arbitrary bytes.
//!
//! Each [`Target`] takes a slice of bytes and panics when a rule is broken: not only that nothing crashes, but that
//! what was read is what was there, that reading it again gives the same, that a refused change changed nothing. They
//! are driven twice: by cargo-fuzz from `fuzz/`, which looks for new paths for as long as it is left running, and by
//! `tests/fuzz` on every run of the tests, with the files of the corpus, changed files, and inputs made to fit.
//!
//! [`Target::work`] is the operation alone, without the judgement: how much memory it takes is measured and compared
//! with [`Target::budget`].

pub mod backup;
pub mod bodies;
pub mod change;
pub mod envelope;
pub mod policy;
pub mod schema;
pub mod session;
mod source;
pub mod storage;
pub mod stub;
pub mod token;
pub mod url;

/// How much memory an operation may take, for inputs of a length.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes at the same time, for each byte of the input.
    pub bytes_per_byte: u64,
    /// And beside that.
    pub bytes: u64,
    /// Allocations in all, for each byte of the input: how much is done.
    pub calls_per_byte: u64,
    /// And beside that.
    pub calls: u64,
}

impl Budget {
    /// The most bytes at the same time.
    pub fn bytes_for(&self, length: usize) -> u64 {
        self.bytes + self.bytes_per_byte * length as u64
    }

    /// The most allocations.
    pub fn calls_for(&self, length: usize) -> u64 {
        self.calls + self.calls_per_byte * length as u64
    }
}

/// Something that is fed arbitrary bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder below `fuzz/corpus`.
    pub name: &'static str,
    /// Feeds it and judges what comes of it.
    ///
    /// # Panics
    /// When a rule is broken.
    pub judge: fn(&[u8]),
    /// Feeds it, and no more.
    pub work: fn(&[u8]),
    /// What that may take.
    pub budget: Budget,
}

/// Parsers of text: a tree of values is some ten times its text, as are the maps in it.
const PARSER: Budget = Budget { bytes_per_byte: 256, bytes: 64 << 10, calls_per_byte: 8, calls: 2_000 };

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "envelope",
        judge: envelope::judge,
        work: envelope::work,
        // One frame for each address of `to`, up to what a frame may be.
        budget: Budget { bytes_per_byte: 80, bytes: 16 << 10, calls_per_byte: 4, calls: 200 },
    },
    Target { name: "bodies", judge: bodies::judge, work: bodies::work, budget: PARSER },
    Target {
        name: "url",
        judge: url::judge,
        work: url::work,
        budget: Budget { bytes_per_byte: 64, bytes: 16 << 10, calls_per_byte: 2, calls: 200 },
    },
    Target {
        name: "change",
        judge: change::judge,
        work: change::work,
        budget: Budget { bytes_per_byte: 4_096, bytes: 256 << 10, calls_per_byte: 64, calls: 5_000 },
    },
    Target {
        name: "schema",
        judge: schema::judge,
        work: schema::work,
        budget: Budget { bytes_per_byte: 4_096, bytes: 4 << 20, calls_per_byte: 64, calls: 50_000 },
    },
    Target { name: "policy", judge: policy::judge, work: policy::work, budget: PARSER },
    Target {
        name: "token",
        judge: token::judge,
        work: token::work,
        // The tables of the curve are made at the first use.
        budget: Budget { bytes_per_byte: 256, bytes: 256 << 10, calls_per_byte: 16, calls: 4_000 },
    },
    Target {
        name: "storage",
        judge: storage::judge,
        work: storage::work,
        // The file is read as a whole, and its cache is as large as is set, whatever the changes to it.
        budget: Budget { bytes_per_byte: 4_096, bytes: 64 << 20, calls_per_byte: 1_024, calls: 500_000 },
    },
    Target {
        name: "session",
        judge: session::judge,
        work: session::work,
        // A node and two sessions are started for each input.
        budget: Budget { bytes_per_byte: 4_096, bytes: 4 << 20, calls_per_byte: 256, calls: 50_000 },
    },
    Target {
        name: "stub",
        judge: stub::judge,
        work: stub::work,
        budget: Budget { bytes_per_byte: 4_096, bytes: 4 << 20, calls_per_byte: 256, calls: 50_000 },
    },
    Target {
        name: "backup",
        judge: backup::judge,
        work: backup::work,
        // A node and three sessions are started for each input.
        budget: Budget { bytes_per_byte: 4_096, bytes: 4 << 20, calls_per_byte: 256, calls: 50_000 },
    },
];
