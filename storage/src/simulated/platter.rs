//! The bytes of a simulated disk, and how to take back what was not synced.

use std::io;

use super::disk::DiskFaults;

/// The bytes as a running process reads them, and what a crash would undo.
#[derive(Debug, Default)]
pub(super) struct Platter {
    pub(super) bytes: Vec<u8>,
    /// What was done since the last sync, in order, each with what it replaced.
    unsynced: Vec<Undo>,
    /// Which opening of the disk may use it; raised by a crash.
    pub(super) session: u64,
    /// Whether somebody has it open.
    pub(super) is_open: bool,
    /// A crash is under way: this many syncs still succeed.
    pub(super) doomed: Option<u32>,
    pub(super) faults: DiskFaults,
    /// Reads, writes, resizes and syncs so far.
    pub(super) operations: u64,
    /// Groups of batches that were put on it so far.
    pub(super) groups: u64,
}

/// One write or resize.
#[derive(Debug)]
enum Undo {
    Write { at: usize, before: Vec<u8> },
    Resize { from: usize, cut: Vec<u8> },
}

impl Platter {
    pub(super) fn of(bytes: Vec<u8>) -> Platter {
        Platter { bytes, ..Platter::default() }
    }

    /// Counts an operation; an error if it is one that shall fail, or the session is over.
    pub(super) fn operation(&mut self, session: u64) -> io::Result<()> {
        if self.session != session {
            return Err(io::Error::other("the machine crashed"));
        }
        self.operations += 1;
        if self.faults.fail_at_operation == Some(self.operations) {
            return Err(io::Error::other("a fault was injected"));
        }
        Ok(())
    }

    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let range = range(at, out.len())?;
        let bytes = self.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let range = range(at, data.len())?;
        let start = range.start;
        let bytes = self.bytes.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.unsynced.push(Undo::Write { at: start, before: bytes.to_vec() });
        bytes.copy_from_slice(data);
        Ok(())
    }

    pub(super) fn resize(&mut self, length: u64) -> io::Result<()> {
        let (from, length) = (self.bytes.len(), range(length, 0)?.start);
        let cut = self.bytes.get(length..).map(<[u8]>::to_vec).unwrap_or_default();
        self.bytes.resize(length, 0);
        self.unsynced.push(Undo::Resize { from, cut });
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        match &mut self.doomed {
            Some(0) => return Err(io::Error::other("the machine crashed")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.unsynced.clear();
        Ok(())
    }

    /// How much a crash would undo.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Goes back to the last sync but for the first `kept` writes. Of the last of those only the part survives that
    /// `part` chooses from its length.
    pub(super) fn lose(&mut self, kept: usize, part: impl FnOnce(usize) -> usize) {
        while self.unsynced.len() > kept {
            self.undo_last();
        }
        if let Some(Undo::Write { at, before }) = self.unsynced.last_mut() {
            let survives = part(before.len()).min(before.len());
            let lost = &before[survives..];
            self.bytes[*at + survives..][..lost.len()].copy_from_slice(lost);
        }
        self.unsynced.clear();
    }

    fn undo_last(&mut self) {
        match self.unsynced.pop() {
            Some(Undo::Write { at, before }) => self.bytes[at..][..before.len()].copy_from_slice(&before),
            Some(Undo::Resize { from, cut }) => {
                self.bytes.resize(from - cut.len(), 0);
                self.bytes.extend_from_slice(&cut);
            }
            None => {}
        }
    }
}

fn range(at: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(at).map_err(io::Error::other)?;
    let end = start.checked_add(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(start..end)
}
