//! Records that come in parts, until they are whole.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperty_model::RuntimeUrl;
use hyperty_model::parts::Joined;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::limits::BackupLimits;
use super::refusal::Refusal;
use super::row::Row;

/// Longest name of a transfer.
const NAME_BYTES_MAX: usize = 64;

/// What is under way, by runtime and the name that it gave.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<(String, String), Upload>>);

struct Upload {
    row: Row,
    joined: Joined,
    touched: Instant,
}

/// What a part made of a record.
pub(super) enum Progress {
    /// More has to come.
    Waiting,
    /// It is whole.
    Whole(Box<Row>, String),
}

impl Uploads {
    /// Begins with the first part of `parts`. An earlier one of the same record is given up.
    pub(super) fn begin(
        &self,
        row: Row,
        transfer: &str,
        parts: usize,
        text: &str,
        limits: &BackupLimits,
    ) -> Result<(), Refusal> {
        if transfer.is_empty() || transfer.len() > NAME_BYTES_MAX {
            return Err(Refusal::Malformed(format!("a transfer has a name of 1 to {NAME_BYTES_MAX} bytes")));
        }
        let bytes = usize::try_from(row.bytes).unwrap_or(usize::MAX);
        let mut joined = Joined::new(parts, bytes, limits.record_bytes)?;
        joined.put(1, text)?;
        let mut all = self.0.lock();
        expire(&mut all, limits.upload_kept);
        let of = row.runtime.key().to_owned();
        let key = row.key();
        all.retain(|(runtime, _), upload| *runtime != of || upload.row.key() != key);
        let own = all.keys().filter(|(runtime, _)| *runtime == of).count();
        let under_way: u64 = all.values().map(|upload| upload.row.bytes).sum();
        if own >= limits.uploads_per_runtime || under_way + row.bytes > limits.upload_bytes as u64 {
            return Err(Refusal::Busy);
        }
        all.insert((of, transfer.to_owned()), Upload { row, joined, touched: Instant::now() });
        Ok(())
    }

    /// Takes another part.
    pub(super) fn take(
        &self,
        runtime: &RuntimeUrl,
        transfer: &str,
        number: usize,
        text: &str,
        limits: &BackupLimits,
    ) -> Result<Progress, Refusal> {
        let mut all = self.0.lock();
        expire(&mut all, limits.upload_kept);
        let key = (runtime.key().to_owned(), transfer.to_owned());
        let upload = all.get_mut(&key).ok_or(Refusal::Transfer)?;
        if let Err(error) = upload.joined.put(number, text) {
            all.remove(&key);
            return Err(error.into());
        }
        upload.touched = Instant::now();
        if upload.joined.missing() > 0 {
            return Ok(Progress::Waiting);
        }
        let Some(Upload { row, joined, .. }) = all.remove(&key) else { return Err(Refusal::Transfer) };
        drop(all);
        Ok(Progress::Whole(Box::new(row), joined.finish()?))
    }

    /// Gives up what waited too long for its next part; how many bytes are still under way.
    pub(crate) fn expire(&self, kept: Duration) -> u64 {
        let mut all = self.0.lock();
        expire(&mut all, kept);
        all.values().map(|upload| upload.row.bytes).sum()
    }
}

fn expire(all: &mut BTreeMap<(String, String), Upload>, kept: Duration) {
    all.retain(|_, upload| upload.touched.elapsed() < kept);
}
