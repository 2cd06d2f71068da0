//! Faults in the stream of changes, its repair and its snapshots.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::epochs::{higher_epoch_ignored, lower_epoch_accepted, old_epoch_after_a_loss};
use super::{Fault, enters, is_response, is_update, leaves, mutated, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

#[expect(clippy::too_many_lines, reason = "a table: one entry for each fault")]
pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "off-by-one-replay",
            what: "a repair by changes leaves out the first one",
            breaks: &["INV-EXT-1"],
            make: off_by_one_replay,
        },
        Fault {
            name: "recovered-without-the-changes",
            what: "a repair says that it has all changes although the log does not go back so far",
            breaks: &["INV-EXT-1", "M8"],
            make: recovered_without_the_changes,
        },
        Fault {
            name: "snapshot-older-than-the-stream",
            what: "an observer is accepted with a state to which the stream does not fit",
            breaks: &["INV-SUB-1"],
            make: snapshot_older_than_the_stream,
        },
        Fault {
            name: "version-skipped",
            what: "a version is left out when changes are numbered",
            breaks: &["INV-SUB-1", "INV-UPD-1"],
            make: version_skipped,
        },
        Fault {
            name: "changes-overtake",
            what: "two changes leave in the wrong order",
            breaks: &["INV-UPD-1", "INV-SUB-1"],
            make: changes_overtake,
        },
        Fault {
            name: "gap-ignored",
            what: "a change that does not follow is applied all the same",
            breaks: &["INV-DOM-2", "INV-SUB-1"],
            make: gap_ignored,
        },
        Fault {
            name: "duplicate-applied-twice",
            what: "a change that came twice is applied twice",
            breaks: &["INV-UPD-4"],
            make: duplicate_applied_twice,
        },
        Fault {
            name: "lower-epoch-accepted",
            what: "what a former Reporter still says is applied",
            breaks: &["INV-UPD-2"],
            make: lower_epoch_accepted,
        },
        Fault {
            name: "higher-epoch-ignored",
            what: "a change of a new epoch is applied to the copy of the old one",
            breaks: &["M8"],
            make: higher_epoch_ignored,
        },
        Fault {
            name: "old-epoch-after-a-loss",
            what: "an object that lost its history comes back in its former epoch",
            breaks: &["M8"],
            make: old_epoch_after_a_loss,
        },
        Fault {
            name: "merge-instead-of-replace",
            what: "a snapshot is merged into the copy: what it does not have stays",
            breaks: &["3.2"],
            make: merge_instead_of_replace,
        },
        Fault {
            name: "no-beats",
            what: "the position is never announced: the loss of the last change is never noticed",
            breaks: &["INV-EXT-2"],
            make: no_beats,
        },
        Fault {
            name: "beats-ignored",
            what: "an announced position is not compared with the copy",
            breaks: &["INV-EXT-2"],
            make: beats_ignored,
        },
        Fault {
            name: "digests-ignored",
            what: "the digest of an announced position is not compared with the copy",
            breaks: &["INV-EXT-3"],
            make: digests_ignored,
        },
        Fault {
            name: "source-not-checked",
            what: "a change is applied whoever its source is",
            breaks: &["INV-UPD-2"],
            make: source_not_checked,
        },
        Fault {
            name: "falsy-values-lost",
            what: "null, false, zero and the empty text leave as deletions",
            breaks: &["INV-DOM-3"],
            make: falsy_values_lost,
        },
        Fault {
            name: "receipt-published",
            what: "what only the runtime is to know leaves it",
            breaks: &["M2"],
            make: receipt_published,
        },
    ]
}

pub(super) fn object(crossing: &Crossing) -> String {
    let to = text(&crossing.message, "to");
    to.strip_suffix("/changes").unwrap_or(to).to_owned()
}

fn off_by_one_replay() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing)
                && let Some(changes) = crossing.message["body"]["changes"].as_array_mut()
                && !changes.is_empty()
            {
                changes.remove(0);
            }
            vec![crossing]
        }
    })
}

fn recovered_without_the_changes() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let body = &crossing.message["body"];
            if leaves(&crossing) && body["recovered"] == false {
                let (epoch, version) = (body["value"]["epoch"].clone(), body["value"]["version"].clone());
                let changes = json!([]);
                crossing.message["body"] = json!({
                    "code": 200, "recovered": true, "epoch": epoch.as_u64().unwrap_or(0), "version": version,
                    "changes": changes,
                });
            }
            vec![crossing]
        }
    })
}

fn snapshot_older_than_the_stream() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let accepts =
                leaves(&crossing) && is_response(&crossing) && crossing.message["body"]["owner"].is_string();
            if accepts
                && let Some(version) = crossing.message.pointer_mut("/body/value/version")
                && let Some(given) = version.as_u64().filter(|given| *given > 0)
            {
                *version = json!(given - 1);
            }
            vec![crossing]
        }
    })
}

fn version_skipped() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing)
                && is_update(&crossing)
                && let Some(version) = crossing.message["body"]["version"].as_u64()
                && version > 1
            {
                crossing.message["body"]["version"] = json!(version + 1);
            }
            vec![crossing]
        }
    })
}

fn changes_overtake() -> Subject {
    mutated(|| {
        let mut held: Option<Crossing> = None;
        move |crossing: Crossing| {
            if !leaves(&crossing) || !is_update(&crossing) {
                return vec![crossing];
            }
            match held.take() {
                Some(former) => vec![crossing, former],
                None if crossing.message["body"]["version"] == 1 => {
                    held = Some(crossing);
                    Vec::new()
                }
                None => vec![crossing],
            }
        }
    })
}

/// An update without version is the next one: so the runtime is made to take any.
pub(super) fn unnumbered(mut crossing: Crossing) -> Crossing {
    if let Some(body) = crossing.message["body"].as_object_mut() {
        body.remove("version");
    }
    crossing
}

fn gap_ignored() -> Subject {
    mutated(|| {
        let mut at: BTreeMap<String, u64> = BTreeMap::new();
        move |crossing: Crossing| {
            if !enters(&crossing) || !is_update(&crossing) {
                return vec![crossing];
            }
            let version = crossing.message["body"]["version"].as_u64().unwrap_or(0);
            let at = at.entry(object(&crossing)).or_default();
            if version <= *at {
                return Vec::new();
            }
            *at = version;
            vec![unnumbered(crossing)]
        }
    })
}

fn duplicate_applied_twice() -> Subject {
    mutated(|| {
        let mut at: BTreeMap<String, u64> = BTreeMap::new();
        move |crossing: Crossing| {
            if !enters(&crossing) || !is_update(&crossing) {
                return vec![crossing];
            }
            let version = crossing.message["body"]["version"].as_u64().unwrap_or(0);
            let at = at.entry(object(&crossing)).or_default();
            if version == *at {
                return vec![unnumbered(crossing)];
            }
            *at = version.max(*at);
            vec![crossing]
        }
    })
}

/// Everything ever seen of an object is kept, and added to each state of it that comes in.
fn merge_instead_of_replace() -> Subject {
    mutated(|| {
        let mut seen: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
        move |mut crossing: Crossing| {
            if !enters(&crossing) {
                return vec![crossing];
            }
            let changed = object(&crossing);
            let body = &mut crossing.message["body"];
            if let Some(attribute) = body["attribute"].as_str().map(str::to_owned) {
                seen.entry(changed).or_default().insert(attribute, body["value"].clone());
            }
            let url = body["value"]["url"].as_str().map(str::to_owned);
            if let Some(url) = url
                && let Some(data) = body["value"]["data"].as_object_mut()
            {
                let all = seen.entry(url).or_default();
                all.extend(data.clone());
                data.extend(all.clone());
            }
            vec![crossing]
        }
    })
}

fn is_beat(crossing: &Crossing) -> bool {
    is_kind(&crossing.message, "update") && crossing.message["body"]["attributeType"] == "position"
}

fn no_beats() -> Subject {
    mutated(|| {
        |crossing: Crossing| if leaves(&crossing) && is_beat(&crossing) { vec![] } else { vec![crossing] }
    })
}

fn beats_ignored() -> Subject {
    mutated(|| {
        |crossing: Crossing| if enters(&crossing) && is_beat(&crossing) { vec![] } else { vec![crossing] }
    })
}

fn digests_ignored() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing)
                && is_beat(&crossing)
                && let Some(body) = crossing.message["body"].as_object_mut()
            {
                body.remove("digest");
            }
            vec![crossing]
        }
    })
}

fn source_not_checked() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing)
                && is_update(&crossing)
                && let Some(body) = crossing.message["body"].as_object_mut()
            {
                body.remove("source");
            }
            vec![crossing]
        }
    })
}

fn falsy_values_lost() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing)
                && is_update(&crossing)
                && let Some(body) = crossing.message["body"].as_object_mut()
            {
                let falsy = [json!(null), json!(false), json!(0), json!("")];
                if body.get("value").is_some_and(|value| falsy.contains(value)) {
                    body.remove("value");
                }
            }
            vec![crossing]
        }
    })
}

fn receipt_published() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing) && is_update(&crossing) && code(&crossing.message) == 0 {
                crossing.message["body"]["receipt"] = json!(true);
            }
            vec![crossing]
        }
    })
}
