//! Faults about the epochs of objects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stream::{object, unnumbered};
use super::{enters, is_update, mutated};
use crate::protocol::runtime::{Crossing, Subject};

/// Follows the epochs of objects in the states that come in.
fn note_epoch(epochs: &mut BTreeMap<String, u64>, crossing: &Crossing) {
    let value = &crossing.message["body"]["value"];
    if let (Some(object), Some(epoch)) = (value["url"].as_str(), value["epoch"].as_u64()) {
        epochs.insert(object.to_owned(), epoch);
    }
}

pub(super) fn lower_epoch_accepted() -> Subject {
    mutated(|| {
        let mut epochs = BTreeMap::new();
        move |mut crossing: Crossing| {
            if enters(&crossing) {
                note_epoch(&mut epochs, &crossing);
            }
            let known = epochs.get(&object(&crossing)).copied().unwrap_or(0);
            let given = crossing.message["body"]["epoch"].as_u64().unwrap_or(0);
            if enters(&crossing) && is_update(&crossing) && given < known {
                crossing.message["body"]["epoch"] = json!(known);
            }
            vec![crossing]
        }
    })
}

pub(super) fn higher_epoch_ignored() -> Subject {
    mutated(|| {
        let mut epochs = BTreeMap::new();
        move |mut crossing: Crossing| {
            if enters(&crossing) {
                note_epoch(&mut epochs, &crossing);
            }
            let known = epochs.get(&object(&crossing)).copied().unwrap_or(0);
            let given = crossing.message["body"]["epoch"].as_u64().unwrap_or(0);
            if enters(&crossing) && is_update(&crossing) && given > known {
                crossing.message["body"]["epoch"] = json!(known);
                crossing = unnumbered(crossing);
            }
            vec![crossing]
        }
    })
}

pub(super) fn old_epoch_after_a_loss() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if crossing.way == crate::protocol::runtime::Way::In {
                return vec![crossing];
            }
            without_epoch(&mut crossing.message["body"]);
            vec![crossing]
        }
    })
}

fn without_epoch(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("epoch");
            members.values_mut().for_each(without_epoch);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_epoch),
        _ => {}
    }
}
