//! How much is kept, and for whom.

use std::time::Duration;

/// Most records of one user, on all devices together: a person's objects and what that person observes; a service that
/// reports more keeps them itself.
pub const BACKUP_RECORDS_PER_USER: usize = 10_000;

/// Most bytes of one user's records: sixteen of the largest, or a hundred thousand of the usual size.
pub const BACKUP_BYTES_PER_USER: usize = 256 << 20;

/// Most bytes of one record: what an object may be that is observed from elsewhere.
pub const BACKUP_RECORD_BYTES_MAX: usize = hyperty_model::parts::WHOLE_BYTES_MAX;

/// Most records of a node. What is remembered of each in memory is some 500 bytes.
pub const BACKUP_RECORDS_MAX: usize = 500_000;

/// Most bytes of records that are under way in parts, all sessions together: they are in memory until they are whole.
/// Four of the largest; who comes when it is full comes again.
pub const BACKUP_UPLOAD_BYTES: usize = 64 << 20;

/// Most records of one runtime that are under way in parts: so that one runtime cannot have all the room.
pub const BACKUP_UPLOADS_PER_RUNTIME: usize = 2;

/// How long a record under way waits for its next part: longer than all tries of a part.
pub const BACKUP_UPLOAD_KEPT: Duration = Duration::from_secs(60);

/// What a node keeps of records at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupLimits {
    /// Records of one user.
    pub records_per_user: usize,
    /// Bytes of one user's records.
    pub bytes_per_user: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
    /// Records in all.
    pub records: usize,
    /// Bytes of records under way in parts.
    pub upload_bytes: usize,
    /// Records of one runtime under way in parts.
    pub uploads_per_runtime: usize,
    /// How long a record under way waits for its next part.
    pub upload_kept: Duration,
}

impl Default for BackupLimits {
    fn default() -> BackupLimits {
        BackupLimits {
            records_per_user: BACKUP_RECORDS_PER_USER,
            bytes_per_user: BACKUP_BYTES_PER_USER,
            record_bytes: BACKUP_RECORD_BYTES_MAX,
            records: BACKUP_RECORDS_MAX,
            upload_bytes: BACKUP_UPLOAD_BYTES,
            uploads_per_runtime: BACKUP_UPLOADS_PER_RUNTIME,
            upload_kept: BACKUP_UPLOAD_KEPT,
        }
    }
}
