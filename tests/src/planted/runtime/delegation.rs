//! Faults when an object changes hands (protocol 5.11).

use serde_json::json;

use super::{Fault, enters, handed, is_response, leaves, mutated};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "delegated-in-the-old-epoch",
            what: "the new owner is given the epoch of the former one",
            breaks: &["INV-DLG-1"],
            make: delegated_in_the_old_epoch,
        },
        Fault {
            name: "freeze-loses-a-change",
            what: "what the Reporter sent last before it stopped is not part of what is given",
            breaks: &["INV-DLG-2"],
            make: freeze_loses_a_change,
        },
        Fault {
            name: "gift-forgotten",
            what: "a claim that is repeated because its answer was lost is not known any more",
            breaks: &["INV-DLG-7"],
            make: gift_forgotten,
        },
        Fault {
            name: "reporter-not-stopped",
            what: "the Reporter is told that its object stays as soon as it has stopped",
            breaks: &["INV-DLG-2", "INV-DLG-6", "INV-DLG-1"],
            make: reporter_not_stopped,
        },
    ]
}

fn is_grant(crossing: &Crossing) -> bool {
    let body = &crossing.message["body"];
    leaves(crossing) && is_response(crossing) && body["delegation"].is_string() && body["value"].is_object()
}

fn delegated_in_the_old_epoch() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if is_grant(&crossing) {
                crossing.message["body"]["epoch"] = json!(0);
            }
            vec![crossing]
        }
    })
}

fn freeze_loses_a_change() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if is_grant(&crossing) {
                let value = &mut crossing.message["body"]["value"];
                let version = value["version"].as_u64().unwrap_or_default();
                value["version"] = json!(version.saturating_sub(1));
                value["data"]["n"] = json!(version.saturating_sub(1));
            }
            vec![crossing]
        }
    })
}

fn gift_forgotten() -> Subject {
    mutated(|| {
        let mut granted = 0;
        move |mut crossing: Crossing| {
            if is_grant(&crossing) {
                granted += 1;
                if granted > 1 {
                    crossing.message["body"] = json!({"code": 404, "desc": "not offered"});
                }
            }
            vec![crossing]
        }
    })
}

/// The answer to the claim never comes, and the Reporter does not hear that it was to stop.
fn reporter_not_stopped() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let stops = handed(&crossing)
                && is_kind(&crossing.message, "execute")
                && crossing.message["body"]["method"] == "freeze";
            debug_assert!(!(stops && enters(&crossing)));
            if stops { Vec::new() } else { vec![crossing] }
        }
    })
}
