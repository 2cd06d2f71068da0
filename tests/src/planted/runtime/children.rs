//! Faults in children.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Fault, enters, handed, is_response, leaves, mutated, text};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{Crossing, Place, Subject, Way};

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
        Fault {
            name: "refusal-of-the-way-passed-on",
            what: "what a message node says of an operation that it did not let pass is taken for its answer",
            breaks: &["INV-MSG-1"],
            make: refusal_of_the_way_passed_on,
        },
        Fault {
            name: "every-answer-to-an-operation-passed-on",
            what: "an operation that was sent twice is answered twice",
            breaks: &["INV-MSG-1"],
            make: every_answer_passed_on,
        },
        Fault {
            name: "undone-operation-not-answered",
            what: "what is undone with an operation that was refused has no answer",
            breaks: &["INV-MSG-1"],
            make: undone_not_answered,
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

fn answers_an_operation(crossing: &Crossing) -> bool {
    is_response(crossing) && text(&crossing.message, "from").contains("/children/")
}

/// The same at the seat of whom it goes to.
fn at_its_seat(crossing: &Crossing) -> Crossing {
    let place = Place::Bus(text(&crossing.message, "to").to_owned());
    Crossing { place, way: Way::Out, message: crossing.message.clone() }
}

fn refusal_of_the_way_passed_on() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let source = text(&crossing.message["body"], "source");
            if enters(&crossing)
                && answers_an_operation(&crossing)
                && source.starts_with("domain://msg-node.")
            {
                return vec![at_its_seat(&crossing)];
            }
            vec![crossing]
        }
    })
}

fn every_answer_passed_on() -> Subject {
    mutated(|| {
        let mut answered: BTreeSet<String> = BTreeSet::new();
        move |crossing: Crossing| {
            let again = enters(&crossing)
                && answers_an_operation(&crossing)
                && crossing.message["body"]["code"] != 404
                && !answered.insert(crossing.message["id"].to_string());
            if again { vec![at_its_seat(&crossing)] } else { vec![crossing] }
        }
    })
}

/// Answers of the runtime itself to operations that it had sent are lost.
fn undone_not_answered() -> Subject {
    mutated(|| {
        let mut sent: BTreeMap<String, bool> = BTreeMap::new();
        move |crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if leaves(&crossing) && is_child(&crossing) {
                sent.insert(id, false);
                return vec![crossing];
            }
            if enters(&crossing) && answers_an_operation(&crossing) {
                // What was said of it from outside is not its last answer if there is no more than a 404 yet.
                if let Some(settled) = sent.get_mut(&id) {
                    *settled = crossing.message["body"]["code"] != 404;
                }
                return vec![crossing];
            }
            let by_itself =
                handed(&crossing) && answers_an_operation(&crossing) && sent.get(&id) == Some(&false);
            if by_itself { Vec::new() } else { vec![crossing] }
        }
    })
}
