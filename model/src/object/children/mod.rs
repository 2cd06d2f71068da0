//! The children of an object: small objects of their own, each with one writer (protocol 3.6, 5.9).

mod entry;
mod id;
mod merge;
mod pending;
mod table;
mod tombstones;
mod wire;

pub use entry::{ChildEntry, ChildValue};
pub use id::{CHILD_ID_BYTES_MAX, ChildId, ChildIdError};
pub use merge::{Merged, MergedAs, Trust};
pub use pending::Unreleased;
pub use table::{ChildOutcome, ChildRefusal, ChildTable};
pub use tombstones::{FLOORS_MAX, TOMBSTONES_MAX};

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use self::tombstones::Tombstones;
use crate::message::UpdateBody;
use crate::{ChildrenName, HypertyUrl, Url};

/// All children of one object by name and id, and the ids of deleted ones.
///
/// Every participant holds one and puts each operation it hears of through it; all that heard the same operations
/// hold the same children, in whatever order and how often they heard them.
///
/// ```
/// use hyperty_model::object::{ChildId, ChildOutcome, ChildRefusal, ChildValue, Children};
/// use hyperty_model::{ChildrenName, HypertyUrl};
/// use serde_json::json;
///
/// let notes = ChildrenName::new("notes").unwrap();
/// let alice = HypertyUrl::parse("hyperty://example.com/alice").unwrap();
/// let mut children = Children::default();
/// let id = ChildId::of(&alice, children.next_number(&notes, &alice));
/// let note = ChildValue::new(id.clone(), alice.clone(), json!({"text": "hi"}));
/// assert_eq!(children.create(&notes, note.into()), Ok(ChildOutcome::Applied));
///
/// let bob = HypertyUrl::parse("hyperty://example.com/bob").unwrap();
/// assert_eq!(children.delete(&notes, id.as_str(), &bob), Err(ChildRefusal::NotReporter));
/// assert_eq!(children.next_number(&notes, &alice), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "wire::ChildrenIn", into = "wire::ChildrenOut")]
pub struct Children {
    tables: BTreeMap<ChildrenName, ChildTable>,
    /// Read from a form that does not tell their name.
    unnamed: Vec<ChildId>,
    digest: Known,
}

/// The digest, once it was asked for, until the next operation. Children are equal whether it was or not.
#[derive(Debug, Clone, Default)]
struct Known(OnceLock<String>);

impl PartialEq for Known {
    fn eq(&self, _: &Known) -> bool {
        true
    }
}

impl Children {
    /// A child was created. The caller has checked that the object has children of this name, and that
    /// `value.reporter` is who sent it.
    ///
    /// # Errors
    /// [`ChildRefusal`].
    pub fn create(&mut self, name: &ChildrenName, entry: ChildEntry) -> Result<ChildOutcome, ChildRefusal> {
        self.table_mut(name).create(entry)
    }

    /// A child was changed by `writer`.
    ///
    /// # Errors
    /// [`ChildRefusal`].
    pub fn update(
        &mut self,
        name: &ChildrenName,
        id: &str,
        writer: &Url,
        body: &UpdateBody,
    ) -> Result<ChildOutcome, ChildRefusal> {
        self.tables_mut().get_mut(name).ok_or(ChildRefusal::Unknown)?.update(id, writer, body)
    }

    /// A child was deleted by `writer`.
    ///
    /// # Errors
    /// [`ChildRefusal`].
    pub fn delete(
        &mut self,
        name: &ChildrenName,
        id: &str,
        writer: &Url,
    ) -> Result<ChildOutcome, ChildRefusal> {
        self.table_mut(name).delete(id, writer)
    }

    /// A child is gone without having been deleted: a state that is told anew does not have it, or not yet. Should it
    /// be created again after all, it is.
    pub fn forget(&mut self, name: &ChildrenName, id: &str) -> Option<ChildEntry> {
        self.tables_mut().get_mut(name)?.live_mut().remove(id)
    }

    /// What was deleted is not remembered any more: a whole state that is told anew says what is. Numbers of deleted children
    /// are free with that.
    pub fn forget_deleted(&mut self) {
        for table in self.tables_mut().values_mut() {
            *table.deleted_mut() = Tombstones::default();
        }
    }

    /// A child is known to have been deleted, by a store for example: it is gone, and stays so.
    pub fn bury(&mut self, name: &ChildrenName, id: ChildId) {
        self.table_mut(name).bury(id);
    }

    /// A child is what it was before an operation that counts for nothing after all, be that its deletion.
    pub fn put_back(&mut self, name: &ChildrenName, id: &ChildId, entry: Option<ChildEntry>) {
        self.table_mut(name).put_back(id, entry);
    }

    /// The number of a hyperty's next child of this name: one more than any of its children ever had, deleted ones
    /// included (INV-DOM-5).
    pub fn next_number(&self, name: &ChildrenName, reporter: &HypertyUrl) -> u64 {
        self.tables.get(name).map_or(1, |table| table.next_number(reporter))
    }

    /// The children of one name, if there ever were any.
    pub fn table(&self, name: &ChildrenName) -> Option<&ChildTable> {
        self.tables.get(name)
    }

    /// One child.
    pub fn get(&self, name: &ChildrenName, id: &str) -> Option<&ChildEntry> {
        self.tables.get(name)?.get(id)
    }

    /// All children, ordered by name and id.
    pub fn iter(&self) -> impl Iterator<Item = (&ChildrenName, &ChildId, &ChildEntry)> {
        self.tables.iter().flat_map(|(name, table)| table.iter().map(move |(id, entry)| (name, id, entry)))
    }

    /// The names of which there ever were children.
    pub fn names(&self) -> impl Iterator<Item = &ChildrenName> {
        self.tables.keys()
    }

    /// How many children there are.
    pub fn len(&self) -> usize {
        self.tables.values().map(ChildTable::len).sum()
    }

    /// The names, ids and versions of all children in 16 hex digits (FNV-1a): two sides whose digests differ do not
    /// have the same children. No protection against forgery; for losses only. Made once after each operation.
    pub fn digest(&self) -> String {
        self.digest.0.get_or_init(|| self.make_digest()).clone()
    }

    fn make_digest(&self) -> String {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mut hash = OFFSET;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
            }
        };
        for (name, id, entry) in self.iter() {
            add(name.as_str().as_bytes());
            add(id.as_str().as_bytes());
            add(entry.value.version.to_string().as_bytes());
        }
        format!("{hash:016x}")
    }

    /// Whether there is no child; some may have been deleted.
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(ChildTable::is_empty)
    }

    /// Whatever changes the children asks for them here.
    fn tables_mut(&mut self) -> &mut BTreeMap<ChildrenName, ChildTable> {
        self.digest = Known::default();
        &mut self.tables
    }

    fn table_mut(&mut self, name: &ChildrenName) -> &mut ChildTable {
        self.tables_mut().entry(name.clone()).or_default()
    }
}
