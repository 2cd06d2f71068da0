//! What a write makes of a document, worked out without the crates.

use serde_json::{Value, json};

use crate::command::Write;
use crate::write::large;

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
        Write::Large(kind) => {
            data["a"] = large(*kind);
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
        Write::Bad | Write::Homeless | Write::Huge => return None,
    };
    Some((data, versions))
}
