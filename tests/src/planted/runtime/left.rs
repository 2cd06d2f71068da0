//! Faults in what the Reporter's side hears of observers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Fault, enters, is_response, leaves, mutated, text};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "leave-told-once",
            what: "that an observer has left is told once, heard or not",
            breaks: &["INV-UNS-4"],
            make: leave_told_once,
        },
        Fault {
            name: "leave-forgotten-in-a-crash",
            what: "what nobody heard before a crash nobody is told after it",
            breaks: &["INV-UNS-4"],
            make: leave_forgotten_in_a_crash,
        },
        Fault {
            name: "leave-outlives-its-end",
            what: "that an observer has left is told again although it observes anew",
            breaks: &["INV-UNS-4"],
            make: leave_outlives_its_end,
        },
        Fault {
            name: "nobody-observes",
            what: "the Reporter's side is told that nobody observes",
            breaks: &["INV-OBS-2"],
            make: nobody_observes,
        },
        Fault {
            name: "observers-told-to-anybody",
            what: "whoever asks is told who observes",
            breaks: &["INV-OBS-2"],
            make: observers_told_to_anybody,
        },
    ]
}

/// Object and hyperty of a leave on its way out.
fn leave_of(crossing: &Crossing) -> Option<(String, String)> {
    let message = &crossing.message;
    let is_leave =
        leaves(crossing) && is_kind(message, "unsubscribe") && text(message, "to").ends_with("/subscription");
    is_leave.then(|| (text(message, "to").to_owned(), message["body"]["source"].to_string()))
}

fn leave_told_once() -> Subject {
    mutated(|| {
        let mut told = BTreeSet::new();
        move |crossing: Crossing| match leave_of(&crossing) {
            Some(leave) if !told.insert(leave.clone()) => Vec::new(),
            _ => vec![crossing],
        }
    })
}

fn leave_forgotten_in_a_crash() -> Subject {
    mutated(|| {
        let mut sessions = 0;
        move |crossing: Crossing| {
            if leaves(&crossing) && is_kind(&crossing.message, "open") {
                sessions += 1;
            }
            if sessions > 1 && leave_of(&crossing).is_some() { Vec::new() } else { vec![crossing] }
        }
    })
}

/// The leave follows the next subscription.
fn leave_outlives_its_end() -> Subject {
    mutated(|| {
        let mut left: BTreeMap<(String, String), Crossing> = BTreeMap::new();
        move |crossing: Crossing| {
            let message = &crossing.message;
            if let Some(leave) = leave_of(&crossing) {
                left.insert(leave, crossing.clone());
            } else if leaves(&crossing) && is_kind(message, "subscribe") {
                let of = (text(message, "to").to_owned(), message["body"]["source"].to_string());
                if let Some(leave) = left.remove(&of) {
                    return vec![crossing, leave];
                }
            }
            vec![crossing]
        }
    })
}

/// Whether it asks who observes.
fn is_roll_call(crossing: &Crossing) -> bool {
    enters(crossing) && is_kind(&crossing.message, "read") && text(&crossing.message, "to").ends_with("/sm")
}

fn nobody_observes() -> Subject {
    mutated(|| {
        let mut asked = BTreeSet::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if is_roll_call(&crossing) {
                asked.insert(id);
            } else if leaves(&crossing) && is_response(&crossing) && asked.remove(&id) {
                crossing.message["body"]["value"] = json!([]);
            }
            vec![crossing]
        }
    })
}

/// Whoever asks is taken for the Reporter's side.
fn observers_told_to_anybody() -> Subject {
    mutated(|| {
        let mut askers: BTreeMap<String, Value> = BTreeMap::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if is_roll_call(&crossing) {
                let object = text(&crossing.message["body"], "resource").to_owned();
                askers.insert(id, crossing.message["from"].clone());
                crossing.message["from"] = json!(format!("{object}/subscription"));
            } else if leaves(&crossing)
                && is_response(&crossing)
                && let Some(asker) = askers.remove(&id)
            {
                crossing.message["to"] = asker;
            }
            vec![crossing]
        }
    })
}
