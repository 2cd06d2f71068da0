//! What redb sees of a simulated disk.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::platter::Platter;

/// One opening of a disk.
pub(super) struct Backend {
    platter: Arc<Mutex<Platter>>,
    session: u64,
}

impl Backend {
    /// Takes the disk; `None` while somebody else has it.
    pub(super) fn take(platter: &Arc<Mutex<Platter>>) -> Option<Backend> {
        let mut disk = platter.lock();
        if std::mem::replace(&mut disk.is_open, true) {
            return None;
        }
        Some(Backend { session: disk.session, platter: Arc::clone(platter) })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.platter.lock();
        disk.operation(self.session)?;
        Ok(disk.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.platter.lock();
        disk.operation(self.session)?;
        disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.platter.lock();
        disk.operation(self.session)?;
        disk.resize(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.platter.lock();
        disk.operation(self.session)?;
        disk.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.platter.lock();
        disk.operation(self.session)?;
        disk.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        let mut disk = self.platter.lock();
        if disk.session == self.session {
            disk.is_open = false;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").field("session", &self.session).finish_non_exhaustive()
    }
}
