//! Faults of a runtime that is given an object (protocol 5.11).

use serde_json::{Value, json};

use super::{Fault, Mutator, answered, enters, is_response, leaves, mutated, text};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{Crossing, HypertyRuntime, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "acts-before-it-is-granted",
            what: "whoever claims an object publishes as its owner at once",
            breaks: &["INV-DLG-1"],
            make: acts_before_it_is_granted,
        },
        Fault {
            name: "taken-in-the-old-epoch",
            what: "the new owner goes on in the epoch of the former one",
            breaks: &["INV-DLG-1", "INV-DLG-3"],
            make: taken_in_the_old_epoch,
        },
        Fault {
            name: "claims-once",
            what: "a claim whose answer is lost is not sent again",
            breaks: &["INV-DLG-7"],
            make: || only_the_first("forward"),
        },
        Fault {
            name: "gives-back-once",
            what: "that an object goes back is said once, whether it is heard or not",
            breaks: &["INV-DLG-7"],
            make: || only_the_first("delete"),
        },
        Fault {
            name: "new-reporter-not-told",
            what: "the change that says who reports the object now is not published",
            breaks: &["INV-DLG-3"],
            make: new_reporter_not_told,
        },
        Fault {
            name: "passed-on-and-lost",
            what: "a request that the former owner passes on is acknowledged, and never answered",
            breaks: &["INV-DLG-4"],
            make: passed_on_and_lost,
        },
        Fault {
            name: "unknown-until-granted",
            what: "what reaches the new owner ahead of the grant is told that there is no such object",
            breaks: &["INV-DLG-4"],
            make: unknown_until_granted,
        },
    ]
}

fn is_claim(crossing: &Crossing) -> bool {
    leaves(crossing)
        && is_kind(&crossing.message, "forward")
        && crossing.message["body"]["delegation"].is_string()
        && crossing.message["body"]["type"] == "create"
}

fn acts_before_it_is_granted() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            if !is_claim(&crossing) {
                return vec![crossing];
            }
            let body = &crossing.message["body"];
            let object = text(body, "resource").to_owned();
            let reporter = body["delegate"].clone();
            let change = json!({
                "version": 3, "epoch": 1, "source": reporter, "attribute": "reporter", "attributeType": "metadata",
                "value": reporter, "lastModified": "2023-11-14T22:13:22.000Z",
            });
            let message = json!({
                "id": 900_001, "type": "update", "from": object, "to": format!("{object}/changes"), "body": change,
            });
            // Held at the node first, as whoever publishes has to.
            let routes = json!({"resources": [object], "source": text(&crossing.message, "from").trim_end_matches("/sm")});
            let sm = crossing.message["from"].clone();
            let node = text(&crossing.message, "from").split('/').nth(2).unwrap_or_default().to_owned();
            let hold = json!({
                "id": 900_000, "type": "subscribe", "from": sm, "to": format!("domain://msg-node.{node}/sm"),
                "body": routes,
            });
            let also = |message: Value| Crossing { message, ..crossing.clone() };
            vec![also(hold), also(message), crossing.clone()]
        }
    })
}

fn taken_in_the_old_epoch() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let published = leaves(&crossing)
                && is_kind(&crossing.message, "update")
                && text(&crossing.message, "to").ends_with("/changes");
            if published && let Some(body) = crossing.message["body"].as_object_mut() {
                body.remove("epoch");
            }
            vec![crossing]
        }
    })
}

/// Of the messages of this type that name an offer.
fn only_the_first(kind: &'static str) -> Subject {
    Subject::scripted(HypertyRuntime).intercepted(move || {
        let mut sent = 0;
        Box::new(Mutator(move |crossing: Crossing| {
            let counts = leaves(&crossing)
                && is_kind(&crossing.message, kind)
                && crossing.message["body"]["delegation"].is_string();
            sent += usize::from(counts);
            if counts && sent > 1 { Vec::new() } else { vec![crossing] }
        }))
    })
}

fn new_reporter_not_told() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let told = leaves(&crossing)
                && is_kind(&crossing.message, "update")
                && crossing.message["body"]["attribute"] == "reporter";
            if told { Vec::new() } else { vec![crossing] }
        }
    })
}

fn passed_on_and_lost() -> Subject {
    mutated(|| {
        let mut passed: Vec<String> = Vec::new();
        move |crossing: Crossing| {
            let message = &crossing.message;
            if enters(&crossing) && is_kind(message, "forward") && message["body"]["message"].is_object() {
                passed.push(message["body"]["message"]["id"].to_string());
            }
            let lost = leaves(&crossing)
                && is_response(&crossing)
                && text(message, "from").ends_with("/subscription")
                && passed.contains(&message["id"].to_string());
            if lost { Vec::new() } else { vec![crossing] }
        }
    })
}

fn unknown_until_granted() -> Subject {
    mutated(|| {
        let mut claimed: Vec<String> = Vec::new();
        move |crossing: Crossing| {
            let message = &crossing.message;
            if is_claim(&crossing) {
                claimed.push(text(&message["body"], "resource").to_owned());
            }
            let is_grant = enters(&crossing) && is_response(&crossing) && message["body"]["epoch"].is_u64();
            claimed.retain(|object| !is_grant || message["body"]["resource"] != **object);
            let to = text(message, "to");
            let of_object =
                claimed.iter().any(|object| to == object || *to == format!("{object}/subscription"));
            let asks = ["read", "subscribe"].iter().any(|kind| is_kind(message, kind));
            if enters(&crossing) && of_object && asks {
                return vec![answered(
                    &crossing,
                    json!({"code": 404, "desc": "no route", "reason": "no-route"}),
                )];
            }
            vec![crossing]
        }
    })
}
