//! Whether all that is stored of objects can be read and fits together.

use std::collections::BTreeSet;

use super::keys::{self, CHANGES, CHILDREN, DATA, ENTRIES, MEMBERS, OBJECTS, SUBSCRIBERS};
use super::{Role, breaks, corrupt, load};
use crate::StorageError;
use crate::engine::rows::Reading;

/// The tables of objects and of the store itself.
pub(crate) const TABLES: [&str; 8] =
    [OBJECTS, DATA, CHANGES, MEMBERS, CHILDREN, SUBSCRIBERS, ENTRIES, breaks::STORE];

/// What is stored of objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// How many are reported and how many observed.
    pub(crate) reported: usize,
    pub(crate) observed: usize,
    /// How many have a history that may be broken.
    pub(crate) broken: usize,
    pub(crate) problems: Vec<StorageError>,
}

/// Reads every object, and every row that belongs to one.
pub(crate) fn check<R: Reading + ?Sized>(tables: &R) -> Result<Objects, StorageError> {
    let mut found = Objects::default();
    if let Err(error) = breaks::count(tables) {
        found.problems.push(error);
        return Ok(found);
    }
    let mut stored: BTreeSet<Vec<u8>> = BTreeSet::new();
    for role in [Role::Reporter, Role::Observer] {
        for (object, _) in tables.scan(OBJECTS, &keys::side(role))? {
            match load::load(tables, role, &object) {
                Ok(loaded) => loaded.into_iter().for_each(|loaded| found.add(&loaded, &object)),
                Err(error) => found.problems.push(error),
            }
            stored.insert(object.to_vec());
        }
    }
    for table in [OBJECTS, DATA, CHANGES, MEMBERS, CHILDREN, SUBSCRIBERS, ENTRIES] {
        for (key, _) in tables.scan(table, b"")? {
            if !keys::object_of(&key).is_some_and(|object| stored.contains(object)) {
                found.problems.push(corrupt(table, &key, "it belongs to no stored object".to_owned()));
            }
        }
    }
    Ok(found)
}

impl Objects {
    fn add(&mut self, loaded: &load::Loaded, key: &[u8]) {
        let record = &loaded.record;
        match record.role {
            Role::Reporter => self.reported += 1,
            Role::Observer => self.observed += 1,
        }
        self.broken += usize::from(record.broken);
        let mut wrong = |table, detail: String| self.problems.push(corrupt(table, key, detail));
        if keys::object(record.role, &record.metadata.url) != key {
            wrong(OBJECTS, format!("it holds {}", record.metadata.url));
        }
        if record.children.len() != loaded.children_rows {
            wrong(CHILDREN, "a deleted child is there all the same".to_owned());
        }
        for (name, id, entry) in record.children.iter() {
            if entry.value.url != *id {
                wrong(CHILDREN, format!("{name} {id} holds {}", entry.value.url));
            }
        }
    }
}
