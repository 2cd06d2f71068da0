//! Whether every copy is what the CSV says.

use hyperty_runtime::syncher::ChildrenHandle;
use serde_json::{Value, json};

use super::weather::{self, Day};
use crate::exit::Failure;

/// What all copies must be.
pub(crate) struct Expected {
    data: Value,
    notes: Vec<String>,
}

impl Expected {
    /// Straight from the CSV.
    pub(crate) fn of(days: &[Day]) -> Expected {
        let notes = weather::snow_notes(days).into_iter().chain(weather::month_notes(days));
        let mut notes: Vec<String> = notes.map(|note| note.to_string()).collect();
        notes.sort_unstable();
        Expected { data: weather::object(days), notes }
    }

    /// Where a copy differs first; `None` if it does not.
    pub(crate) fn difference(&self, data: &Value) -> Option<String> {
        first_difference(&self.data, data, "").map(|path| {
            let shown = |value: &Value| value.pointer(&path).cloned().unwrap_or(json!("nothing"));
            format!("{path} is {} in place of {}", shown(data), shown(&self.data))
        })
    }

    /// Whether these are the notes there must be.
    pub(crate) fn has_notes(&self, children: &ChildrenHandle) -> bool {
        self.missing(children).is_none()
    }

    /// How the notes differ; `None` if they do not.
    pub(crate) fn missing(&self, children: &ChildrenHandle) -> Option<String> {
        let mut notes: Vec<String> = children.list().iter().map(|child| child.data.to_string()).collect();
        notes.sort_unstable();
        if notes == self.notes {
            return None;
        }
        let lacks = self.notes.iter().find(|note| notes.binary_search(note).is_err());
        let extra = notes.iter().find(|note| self.notes.binary_search(note).is_err());
        let text = format!("{} notes in place of {}", notes.len(), self.notes.len());
        let lacks = lacks.map(|note| format!(", lacks {note}")).unwrap_or_default();
        let extra = extra.map(|note| format!(", has {note}")).unwrap_or_default();
        Some(text + &lacks + &extra)
    }
}

/// The JSON pointer of the first place at which two documents differ.
fn first_difference(one: &Value, other: &Value, at: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let mut found = keys.filter_map(|key| {
                let path = format!("{at}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(one), Some(other)) => first_difference(one, other, &path),
                    _ => Some(path),
                }
            });
            found.next()
        }
        (one, other) => (one != other).then(|| at.to_owned()),
    }
}

/// Ends the demo with a failure if there is any difference.
///
/// # Errors
/// With all differences.
pub(crate) fn verdict(differences: &[String]) -> Result<(), Failure> {
    if differences.is_empty() { Ok(()) } else { Err(Failure::error(differences.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let expected = Expected { data: json!({"a": {"b": 1, "c": 2}}), notes: Vec::new() };
        assert_eq!(expected.difference(&json!({"a": {"b": 1, "c": 2}})), None);
        assert_eq!(expected.difference(&json!({"a": {"b": 1, "c": 3}})).unwrap(), "/a/c is 3 in place of 2");
        let extra = expected.difference(&json!({"a": {"b": 1, "c": 2}, "d": 1})).unwrap();
        assert_eq!(extra, r#"/d is 1 in place of "nothing""#);
    }
}
