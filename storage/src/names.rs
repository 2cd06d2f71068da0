//! What a runtime calls itself and its hyperties, across restarts.

use std::sync::Arc;

use crate::operations::TableCheck;
use crate::{Batch, StorageError, Tables, Ticket};

const TABLE: &str = "runtime/v1";

/// Names and addresses are text.
pub(crate) const CHECK: TableCheck = TableCheck { table: TABLE, row: check };

fn check(key: &[u8], value: &[u8]) -> Result<(), String> {
    [key, value]
        .into_iter()
        .try_for_each(|text| std::str::from_utf8(text).map(drop).map_err(|_| "not text".to_owned()))
}

/// A small map from names to addresses that is kept in the store: a hyperty that comes back under its name is
/// the same one, and so has its objects (protocol 5.10).
///
/// ```
/// use hyperty_storage::{MemoryTables, Names};
/// use std::sync::Arc;
/// let names = Names::new(Arc::new(MemoryTables::new()));
/// names.put("hyperty/standup", "hyperty://example.com/6f1c");
/// assert_eq!(names.get("hyperty/standup").unwrap().as_deref(), Some("hyperty://example.com/6f1c"));
/// ```
#[derive(Clone)]
pub struct Names {
    tables: Arc<dyn Tables>,
}

impl Names {
    /// The names in these tables.
    pub fn new(tables: Arc<dyn Tables>) -> Names {
        Names { tables }
    }

    /// The address under a name.
    ///
    /// # Errors
    /// [`StorageError`] when the store cannot be read, or what it holds is not text.
    pub fn get(&self, name: &str) -> Result<Option<String>, StorageError> {
        let Some(address) = self.tables.get(TABLE, name.as_bytes())? else { return Ok(None) };
        let text = String::from_utf8(address.to_vec());
        text.map(Some).map_err(|_| StorageError::Corrupt {
            table: TABLE,
            key: name.to_owned(),
            detail: "not text".to_owned(),
        })
    }

    /// Puts an address under a name. It may be used when the ticket is [`durable`](crate::durable): not before,
    /// or it could be given out twice.
    pub fn put(&self, name: &str, address: &str) -> Ticket {
        self.tables.commit(Batch::new().put(TABLE, name, address))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
