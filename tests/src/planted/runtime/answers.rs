//! Faults in what is answered.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Fault, answered, enters, handed, is_response, leaves, mutated, posted, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "double-answer",
            what: "every final answer is sent twice",
            breaks: &["INV-MSG-1"],
            make: double_answer,
        },
        Fault {
            name: "no-answer-to-an-odd-body",
            what: "a request whose body is no object is dropped",
            breaks: &["INV-MSG-1"],
            make: no_answer_to_an_odd_body,
        },
        Fault {
            name: "no-answer-to-a-leave",
            what: "an observer that leaves is removed and never answered",
            breaks: &["INV-MSG-1"],
            make: no_answer_to_a_leave,
        },
        Fault {
            name: "id-changes-its-form",
            what: "an id that was sent as a number comes back as a text",
            breaks: &["INV-MSG-2"],
            make: id_changes_its_form,
        },
        Fault {
            name: "no-provisional-answer",
            what: "a subscription is not told the names of the children before it waits",
            breaks: &["INV-SUB-2"],
            make: no_provisional_answer,
        },
        Fault {
            name: "provisional-taken-as-final",
            what: "a provisional answer of the Reporter's side counts as its last word",
            breaks: &["INV-SUB-2"],
            make: provisional_taken_as_final,
        },
        Fault {
            name: "refusal-tells-of-the-object",
            what: "a reader that is refused is told the name of the object",
            breaks: &["INV-READ-1"],
            make: refusal_tells_of_the_object,
        },
        Fault {
            name: "deletion-not-acknowledged",
            what: "who observes a deleted object does not say that it knows",
            breaks: &["INV-DEL-2"],
            make: deletion_not_acknowledged,
        },
        Fault {
            name: "no-route-deletes",
            what: "that a node knows no way is taken for the end of the object",
            breaks: &["M12"],
            make: no_route_deletes,
        },
        Fault {
            name: "failed-creation-left-behind",
            what: "a creation that failed is not taken back at the registry",
            breaks: &["INV-CRE-2"],
            make: failed_creation_left_behind,
        },
        Fault {
            name: "refused-changes-acknowledged",
            what: "a change that was not taken is answered 200",
            breaks: &["M2"],
            make: refused_changes_acknowledged,
        },
    ]
}

fn double_answer() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let twice = leaves(&crossing) && is_response(&crossing) && code(&crossing.message) >= 200;
            if twice { vec![crossing.clone(), crossing] } else { vec![crossing] }
        }
    })
}

fn no_answer_to_an_odd_body() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let is_odd = crossing.message.get("body").is_some_and(|body| !body.is_object());
            if enters(&crossing) && is_odd { vec![] } else { vec![crossing] }
        }
    })
}

fn no_answer_to_a_leave() -> Subject {
    mutated(|| {
        let mut asked: BTreeSet<String> = BTreeSet::new();
        move |crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if enters(&crossing) && is_kind(&crossing.message, "unsubscribe") {
                asked.insert(id);
            } else if leaves(&crossing) && is_response(&crossing) && asked.contains(&id) {
                return Vec::new();
            }
            vec![crossing]
        }
    })
}

fn id_changes_its_form() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing) && is_response(&crossing) && crossing.message["id"].is_u64() {
                crossing.message["id"] = json!(crossing.message["id"].to_string());
            }
            vec![crossing]
        }
    })
}

fn no_provisional_answer() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let provisional =
                handed(&crossing) && is_response(&crossing) && (100..200).contains(&code(&crossing.message));
            if provisional { Vec::new() } else { vec![crossing] }
        }
    })
}

fn provisional_taken_as_final() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing) && is_response(&crossing) && (100..200).contains(&code(&crossing.message)) {
                crossing.message["body"]["code"] = json!(200);
            }
            vec![crossing]
        }
    })
}

fn refusal_tells_of_the_object() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing) && is_response(&crossing) && code(&crossing.message) == 401 {
                crossing.message["body"]["value"] = json!({"name": "board"});
            }
            vec![crossing]
        }
    })
}

fn deletion_not_acknowledged() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let acknowledgement = leaves(&crossing)
                && is_response(&crossing)
                && text(&crossing.message, "from").ends_with("/changes");
            if acknowledgement { Vec::new() } else { vec![crossing] }
        }
    })
}

fn no_route_deletes() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing) && code(&crossing.message) == 404 {
                crossing.message["body"]["reason"] = Value::Null;
            }
            vec![crossing]
        }
    })
}

/// The node is never asked to forget, and the runtime believes that it was.
fn failed_creation_left_behind() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let to_registry = text(&crossing.message, "to").starts_with("domain://registry.");
            let forget =
                is_kind(&crossing.message, "delete") || crossing.message["body"]["value"] == "disconnected";
            if leaves(&crossing) && to_registry && forget {
                return vec![answered(&crossing, json!({"code": 200}))];
            }
            vec![crossing]
        }
    })
}

fn refused_changes_acknowledged() -> Subject {
    mutated(|| {
        let mut changes: BTreeSet<String> = BTreeSet::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if posted(&crossing) && is_kind(&crossing.message, "update") {
                changes.insert(id);
            } else if handed(&crossing) && is_response(&crossing) && changes.contains(&id) {
                crossing.message["body"]["code"] = json!(200);
            }
            vec![crossing]
        }
    })
}
