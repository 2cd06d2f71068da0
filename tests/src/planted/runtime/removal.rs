//! Faults in the removal of observers, and in what they ask the Reporter to do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Fault, Mutator, answered, enters, is_response, leaves, mutated, posted, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, HypertyRuntime, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "removal-only-acknowledged",
            what: "a removal is answered 200, and nothing is done",
            breaks: &["INV-KICK-1", "INV-LSN-2"],
            make: removal_only_acknowledged,
        },
        Fault {
            name: "removed-may-read",
            what: "one that was removed may read, because a rule lets everybody",
            breaks: &["INV-KICK-1"],
            make: || removed_passes_as_another("read", false),
        },
        Fault {
            name: "removed-comes-back",
            what: "one that was removed may subscribe, because a rule lets everybody",
            breaks: &["INV-KICK-1"],
            make: || removed_passes_as_another("subscribe", false),
        },
        Fault {
            name: "removal-forgotten-after-a-restart",
            what: "after a restart one that was removed is a stranger, whom a rule lets in",
            breaks: &["INV-KICK-1"],
            make: || removed_passes_as_another("subscribe", true),
        },
        Fault {
            name: "forged-removal-obeyed",
            what: "an observer's runtime believes whoever says that it is removed",
            breaks: &["INV-KICK-3"],
            make: forged_removal_obeyed,
        },
        Fault {
            name: "removed-still-served",
            what: "an observer's runtime goes on to serve one that was removed",
            breaks: &["INV-KICK-2", "INV-LSN-2"],
            make: removed_still_served,
        },
        Fault {
            name: "never-revoked",
            what: "the node is not told that a runtime has no observer any more",
            breaks: &["INV-LSN-2"],
            make: never_revoked,
        },
        Fault {
            name: "execute-answered-twice",
            what: "an action is answered twice",
            breaks: &["INV-EXE-2", "INV-MSG-1"],
            make: execute_answered_twice,
        },
        Fault {
            name: "execute-for-strangers",
            what: "whoever asks for an action is handed on",
            breaks: &["INV-EXE-1"],
            make: execute_for_strangers,
        },
        Fault {
            name: "joins-not-told",
            what: "the Reporter is not told who observes",
            breaks: &["INV-OBS-1"],
            make: joins_not_told,
        },
    ]
}

fn is_removal(crossing: &Crossing) -> bool {
    let body = &crossing.message["body"];
    posted(crossing)
        && is_kind(&crossing.message, "unsubscribe")
        && body["source"].is_string()
        && body["source"] != crossing.message["from"]
}

fn removal_only_acknowledged() -> Subject {
    mutated(|| {
        |crossing: Crossing| match is_removal(&crossing) {
            true => vec![answered(&crossing, json!({"code": 200}))],
            false => vec![crossing],
        }
    })
}

fn removed_passes_as_another(kind: &'static str, after_a_restart: bool) -> Subject {
    Subject::scripted(HypertyRuntime)
        .intercepted(move || Box::new(Mutator(pass_as_another(kind, after_a_restart))))
}

/// Requests of a kind by one that was removed are taken for those of a neighbour of its, of whom nothing is known; at
/// once, or after the Reporter has resumed.
fn pass_as_another(
    kind: &'static str,
    after_a_restart: bool,
) -> impl FnMut(Crossing) -> Vec<Crossing> + Send {
    let mut removed: BTreeSet<String> = BTreeSet::new();
    let mut aliases: BTreeMap<String, Value> = BTreeMap::new();
    let mut restarted = !after_a_restart;
    move |mut crossing: Crossing| {
        let id = crossing.message["id"].to_string();
        if is_removal(&crossing) {
            removed.extend(crossing.message["body"]["source"].as_str().map(str::to_owned));
        } else if posted(&crossing) && crossing.message["body"]["resume"] == true {
            restarted = true;
        } else if restarted && enters(&crossing) && is_kind(&crossing.message, kind) {
            let message = &mut crossing.message;
            if removed.contains(text(message, "from")) {
                aliases.insert(id, message["from"].clone());
                message["from"] = json!(format!("{}-again", text(message, "from")));
            }
            for member in ["source", "subscriber"] {
                if let Some(who) = message["body"][member].as_str().filter(|who| removed.contains(*who)) {
                    message["body"][member] = json!(format!("{who}-again"));
                }
            }
        } else if leaves(&crossing)
            && is_response(&crossing)
            && let Some(to) = aliases.remove(&id)
        {
            crossing.message["to"] = to;
        }
        vec![crossing]
    }
}

/// What anybody says is taken for what the Reporter's side says.
fn forged_removal_obeyed() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let message = &mut crossing.message;
            if is_kind(message, "unsubscribe")
                && message["body"]["reason"] == "removed"
                && text(message, "to").ends_with("/sm")
                && let Some(object) = message["body"]["resource"].as_str()
            {
                message["from"] = json!(format!("{object}/subscription"));
            }
            vec![crossing]
        }
    })
}

fn removed_still_served() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let removal = enters(&crossing)
                && is_kind(&crossing.message, "unsubscribe")
                && crossing.message["body"]["reason"] == "removed";
            if removal { vec![answered(&crossing, json!({"code": 200}))] } else { vec![crossing] }
        }
    })
}

fn never_revoked() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let revocation = leaves(&crossing) && crossing.message["body"]["revoke"] == true;
            if revocation { Vec::new() } else { vec![crossing] }
        }
    })
}

fn execute_answered_twice() -> Subject {
    mutated(|| {
        let mut asked: BTreeSet<String> = BTreeSet::new();
        move |crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if enters(&crossing) && is_kind(&crossing.message, "execute") {
                asked.insert(id);
            } else if leaves(&crossing)
                && is_response(&crossing)
                && code(&crossing.message) >= 200
                && asked.remove(&id)
            {
                let again = Crossing {
                    place: crossing.place.clone(),
                    way: crossing.way,
                    message: crossing.message.clone(),
                };
                return vec![crossing, again];
            }
            vec![crossing]
        }
    })
}

/// Whoever asks is taken for an observer.
fn execute_for_strangers() -> Subject {
    mutated(|| {
        let mut observer = Value::Null;
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            let message = &mut crossing.message;
            if message["type"] == "subscribe" && message["body"]["subscriber"].is_string() {
                observer = message["body"]["subscriber"].clone();
            } else if message["type"] == "execute" && observer.is_string() && message["from"] != observer {
                answers.insert(id, message["from"].clone());
                message["from"] = observer.clone();
            } else if message["type"] == "response"
                && message["to"] == observer
                && let Some(to) = answers.remove(&id)
            {
                message["to"] = to;
            }
            vec![crossing]
        }
    })
}

fn joins_not_told() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let told = text(&crossing.message, "to").ends_with("/observers");
            if told { Vec::new() } else { vec![crossing] }
        }
    })
}
