//! Faults in answers that are larger than a message.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Fault, enters, is_response, leaves, mutated, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "parts-cut-short",
            what: "every part of a large answer lacks its last character",
            breaks: &["INV-READ-2"],
            make: parts_cut_short,
        },
        Fault {
            name: "parts-counted-from-zero",
            what: "whoever asks for a part gets the one before it",
            breaks: &["INV-READ-2"],
            make: parts_counted_from_zero,
        },
        Fault {
            name: "parts-not-asked-for",
            what: "that a reader fetches parts is overlooked",
            breaks: &["INV-READ-2"],
            make: parts_not_asked_for,
        },
        Fault {
            name: "parts-for-anybody",
            what: "whoever knows of a large answer gets its parts",
            breaks: &["INV-READ-1"],
            make: parts_for_anybody,
        },
        Fault {
            name: "last-pushed-part-overlooked",
            what: "of parts that are pushed the last one is not waited for",
            breaks: &["INV-READ-2"],
            make: last_pushed_part_overlooked,
        },
        Fault {
            name: "incomplete-state-not-given-back",
            what: "whoever was accepted with an answer that did not come whole does not say that it does not observe",
            breaks: &["M9"],
            make: incomplete_state_not_given_back,
        },
    ]
}

/// Whether it brings a part that was fetched.
fn brings_part(crossing: &Crossing) -> bool {
    is_response(crossing) && crossing.message["body"]["text"].is_string()
}

fn part_of(message: &Value) -> u64 {
    message["body"]["part"].as_u64().unwrap_or_default()
}

fn parts_cut_short() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing) && brings_part(&crossing) {
                let mut cut = text(&crossing.message["body"], "text").to_owned();
                cut.pop();
                crossing.message["body"]["text"] = json!(cut);
            }
            vec![crossing]
        }
    })
}

fn parts_counted_from_zero() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let part = part_of(&crossing.message);
            if enters(&crossing) && is_kind(&crossing.message, "read") && part > 1 {
                crossing.message["body"]["part"] = json!(part - 1);
            } else if leaves(&crossing)
                && brings_part(&crossing)
                && crossing.message["body"]["parts"].is_null()
            {
                crossing.message["body"]["part"] = json!(part + 1);
            }
            vec![crossing]
        }
    })
}

fn parts_not_asked_for() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing)
                && let Some(body) = crossing.message["body"].as_object_mut()
            {
                body.remove("parts");
            }
            vec![crossing]
        }
    })
}

fn parts_for_anybody() -> Subject {
    mutated(|| {
        let mut asked = BTreeMap::new();
        let mut given: BTreeMap<u64, Value> = BTreeMap::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            if enters(&crossing) && crossing.message["body"]["transfer"].is_string() {
                asked.insert(id, part_of(&crossing.message));
            } else if leaves(&crossing) && is_response(&crossing) {
                let part = asked.remove(&id);
                if brings_part(&crossing) {
                    given.insert(part_of(&crossing.message), crossing.message["body"].clone());
                } else if let Some(body) = part.and_then(|part| given.get(&part)) {
                    crossing.message["body"] = body.clone();
                }
            }
            vec![crossing]
        }
    })
}

fn last_pushed_part_overlooked() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let count = crossing.message["body"]["responses"].as_u64();
            let Some(count) = count.filter(|_| enters(&crossing)) else { return vec![crossing] };
            if part_of(&crossing.message) == count {
                return Vec::new();
            }
            crossing.message["body"]["responses"] = json!(count - 1);
            vec![crossing]
        }
    })
}

fn incomplete_state_not_given_back() -> Subject {
    mutated(|| {
        let mut fails = false;
        move |crossing: Crossing| {
            let refused = enters(&crossing) && is_response(&crossing) && code(&crossing.message) == 404;
            fails |= refused && crossing.message["body"]["desc"] == "no longer kept";
            let leave = leaves(&crossing) && is_kind(&crossing.message, "unsubscribe");
            let given_back = leave && text(&crossing.message, "to").ends_with("/subscription");
            if fails && given_back { Vec::new() } else { vec![crossing] }
        }
    })
}
