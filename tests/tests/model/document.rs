//! What everybody is compared with: a plain JSON document with its history, and a map of children.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::command::Write;

/// The object as it must be.
pub(crate) struct Document {
    /// The data at each version that is known; those within an edit are not.
    versions: BTreeMap<u64, Value>,
    /// The highest version the Reporter's application was told to be durable.
    acknowledged: u64,
    pub(crate) children: BTreeMap<String, Kid>,
}

/// A child as it must be.
pub(crate) struct Kid {
    pub(crate) owner: usize,
    /// `None` once it is deleted.
    pub(crate) data: Option<Value>,
    /// What was on its way reached some and not others, and nobody tells it again: its owner ended the subscription
    /// before all was answered, or is the Reporter, and lost its connection.
    pub(crate) uncertain: bool,
    /// Whether an operation on it may be on its way.
    pub(crate) under_way: bool,
}

impl Document {
    pub(crate) fn new(data: Value) -> Document {
        Document { versions: BTreeMap::from([(0, data)]), acknowledged: 0, children: BTreeMap::new() }
    }

    pub(crate) fn latest(&self) -> (u64, &Value) {
        let (version, data) = self.versions.last_key_value().expect("version 0 is known");
        (*version, data)
    }

    pub(crate) fn write(&mut self, version: u64, data: Value) {
        self.versions.insert(version, data);
    }

    pub(crate) fn acknowledge(&mut self, version: u64) {
        assert!(version <= self.latest().0, "{version} was never written");
        self.acknowledged = self.acknowledged.max(version);
    }

    /// Whether somebody may have this state.
    pub(crate) fn check(&self, who: &str, version: u64, data: &Value) {
        assert!(version <= self.latest().0, "{who} is at {version}, the last one is {}", self.latest().0);
        if let Some(known) = self.versions.get(&version) {
            assert_eq!(data, known, "{who} at {version}");
        }
    }

    /// What this party has under way on its children is lost.
    pub(crate) fn lose(&mut self, owner: usize) {
        for kid in self.children.values_mut().filter(|kid| kid.owner == owner) {
            kid.uncertain |= kid.under_way;
        }
    }

    /// The Reporter came back at this version: nothing acknowledged is lost, and what it had not been told is
    /// durable may be gone.
    pub(crate) fn resumed(&mut self, version: u64, data: &Value) {
        assert!(version >= self.acknowledged, "back at {version}, acknowledged {}", self.acknowledged);
        self.check("the resumed reporter", version, data);
        self.versions.retain(|known, _| *known <= version);
        self.versions.insert(version, data.clone());
    }
}

/// The data after a write, and how many versions that takes (`None`: as many as the comparison finds); or nothing
/// when it does not fit.
pub(crate) fn written(data: &Value, write: &Write) -> Option<(Value, Option<u64>)> {
    let mut data = data.clone();
    let versions = match write {
        Write::Set("b.c", value) => {
            data.get_mut("b")?.as_object_mut()?.insert("c".to_owned(), value.clone());
            Some(1)
        }
        Write::Set("list.0", value) => {
            let list = data.get_mut("list")?.as_array_mut()?;
            match list.first_mut() {
                Some(first) => *first = value.clone(),
                None => list.push(value.clone()),
            }
            Some(1)
        }
        Write::Set(member, value) => {
            data[*member] = value.clone();
            Some(1)
        }
        Write::Remove("b.c") => {
            data.get_mut("b")?.as_object_mut()?.remove("c"); // also when it is not there
            Some(1)
        }
        Write::Remove(member) => {
            data.as_object_mut()?.remove(*member);
            Some(1)
        }
        Write::Insert(at, values) => {
            let list = data.get_mut("list")?.as_array_mut()?;
            let at = (*at <= list.len()).then_some(*at)?;
            list.splice(at..at, values.iter().cloned());
            Some(1)
        }
        Write::RemoveElements(at, count) => {
            let list = data.get_mut("list")?.as_array_mut()?;
            let end = (at + count <= list.len()).then_some(at + count)?;
            list.drain(*at..end);
            Some(1)
        }
        Write::Edit(members) => {
            for (member, value) in members {
                data[*member] = value.clone();
            }
            None
        }
        Write::Replace(whole) => {
            data = if whole.is_null() { json!({}) } else { whole.clone() };
            None
        }
        Write::Bad => return None,
    };
    Some((data, versions))
}
