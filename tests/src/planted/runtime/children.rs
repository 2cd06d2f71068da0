//! Faults in children.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Fault, enters, handed, is_response, leaves, mutated, text};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "child-changed-by-a-stranger",
            what: "an operation on a child is applied whoever sends it",
            breaks: &["INV-CHD-2"],
            make: child_changed_by_a_stranger,
        },
        Fault {
            name: "deleted-child-revived",
            what: "a snapshot without a child does not remove it",
            breaks: &["INV-CHD-1"],
            make: deleted_child_revived,
        },
        Fault {
            name: "pending-child-dropped",
            what: "an operation that nobody answered is not sent again",
            breaks: &["M18"],
            make: pending_child_dropped,
        },
        Fault {
            name: "child-delivered-twice",
            what: "an operation on a child that comes again is delivered again",
            breaks: &["INV-CHD-3"],
            make: child_delivered_twice,
        },
        Fault {
            name: "children-move-the-version",
            what: "an operation on a child counts as a change of the object",
            breaks: &["INV-CHD-5"],
            make: children_move_the_version,
        },
        Fault {
            name: "children-not-in-snapshots",
            what: "who subscribes later does not get the children",
            breaks: &["INV-CHD-4", "INV-CHD-1", "3.2"],
            make: children_not_in_snapshots,
        },
    ]
}

fn is_child(crossing: &Crossing) -> bool {
    let kinds = ["create", "update", "delete"];
    text(&crossing.message, "to").contains("/children/")
        && kinds.iter().any(|kind| is_kind(&crossing.message, kind))
}

/// The hyperty in whose name the child was created, as its id tells.
fn owner(message: &Value) -> Option<String> {
    let id = message["body"]["resource"].as_str()?;
    id.rsplit_once('#').map(|(owner, _)| owner.to_owned())
}

/// Whoever sends an operation is taken for the child's reporter.
fn child_changed_by_a_stranger() -> Subject {
    mutated(|| {
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if enters(&crossing) && is_child(&crossing) {
                if let Some(owner) = owner(&crossing.message)
                    && !is_kind(&crossing.message, "create")
                {
                    answers.insert(id, crossing.message["from"].clone());
                    crossing.message["from"] = json!(owner);
                }
            } else if leaves(&crossing)
                && is_response(&crossing)
                && let Some(to) = answers.remove(&id)
            {
                crossing.message["to"] = to;
            }
            vec![crossing]
        }
    })
}

/// Children that were ever created are in every state that comes in.
fn deleted_child_revived() -> Subject {
    mutated(|| {
        let mut created: Vec<(String, Value)> = Vec::new();
        move |mut crossing: Crossing| {
            if enters(&crossing) && is_child(&crossing) && is_kind(&crossing.message, "create") {
                let id = text(&crossing.message["body"], "resource").to_owned();
                created.push((id, json!({"value": crossing.message["body"]["value"]})));
            }
            let notes = crossing.message.pointer_mut("/body/value/childrenObjects/notes");
            if let Some(notes) = notes.and_then(Value::as_object_mut) {
                for (id, entry) in &created {
                    notes.entry(id.clone()).or_insert_with(|| entry.clone());
                }
            }
            vec![crossing]
        }
    })
}

fn pending_child_dropped() -> Subject {
    mutated(|| {
        let mut sent: BTreeSet<String> = BTreeSet::new();
        move |crossing: Crossing| {
            let again =
                leaves(&crossing) && is_child(&crossing) && !sent.insert(crossing.message["id"].to_string());
            if again { Vec::new() } else { vec![crossing] }
        }
    })
}

fn child_delivered_twice() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            if handed(&crossing) && is_child(&crossing) {
                return vec![crossing.clone(), crossing];
            }
            vec![crossing]
        }
    })
}

fn children_move_the_version() -> Subject {
    mutated(|| {
        let mut operations = 0;
        move |mut crossing: Crossing| {
            if enters(&crossing) && is_child(&crossing) {
                operations += 1;
            }
            if leaves(&crossing)
                && let Some(version) = crossing.message.pointer_mut("/body/value/version")
                && let Some(given) = version.as_u64()
            {
                *version = json!(given + operations);
            }
            vec![crossing]
        }
    })
}

fn children_not_in_snapshots() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing)
                && is_response(&crossing)
                && let Some(value) = crossing.message["body"]["value"].as_object_mut()
                && value.contains_key("childrenObjects")
            {
                value.insert("childrenObjects".to_owned(), json!({}));
            }
            vec![crossing]
        }
    })
}
