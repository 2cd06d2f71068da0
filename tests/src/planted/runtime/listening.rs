//! Faults of the subscription manager, and in what hyperties hear from the registry.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Fault, answered, handed, is_response, leaves, mutated, posted, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "listening-always-granted",
            what: "whoever wants to listen is told 200, whatever the node says",
            breaks: &["INV-RSM-2"],
            make: always_granted,
        },
        Fault {
            name: "streams-for-the-asking",
            what: "the subscription manager gives out the streams of objects",
            breaks: &["INV-RSM-2"],
            make: streams_for_the_asking,
        },
        Fault {
            name: "status-told-twice",
            what: "a hyperty that asked twice hears everything twice",
            breaks: &["INV-RSM-1"],
            make: told_twice,
        },
        Fault {
            name: "lists-for-everybody",
            what: "whoever asks sees to what another listens",
            breaks: &["INV-RSM-1"],
            make: lists_for_everybody,
        },
        Fault {
            name: "listening-never-ends",
            what: "a route at the node stays when nobody listens any more",
            breaks: &["INV-RSM-3"],
            make: never_ends,
        },
        Fault {
            name: "new-session-not-told-of-listeners",
            what: "a new session is told of objects, but not of what hyperties listen to",
            breaks: &["INV-RSM-3", "INV-SES-1"],
            make: not_told_anew,
        },
        Fault {
            name: "disconnected-is-not-found",
            what: "what is registered and disconnected is told as unknown",
            breaks: &["5.13.4"],
            make: disconnected_is_not_found,
        },
        Fault {
            name: "registered-without-a-schema",
            what: "objects are registered without what others find them by",
            breaks: &["5.13.4"],
            make: registered_without_a_schema,
        },
    ]
}

fn of_manager(crossing: &Crossing, member: &str) -> bool {
    text(&crossing.message, member).ends_with("/subscriptions")
}

fn is_status(url: &Value) -> bool {
    url.as_str().is_some_and(|url| url.ends_with("/registration"))
}

/// Whether a message to the node is about a status that somebody listens to.
fn is_route_of_a_status(crossing: &Crossing, kind: &str) -> bool {
    leaves(crossing)
        && is_kind(&crossing.message, kind)
        && is_status(&crossing.message["body"]["resources"][0])
}

fn always_granted() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let refused = handed(&crossing) && is_response(&crossing) && code(&crossing.message) != 400;
            if refused && of_manager(&crossing, "from") && crossing.message["body"]["value"].is_null() {
                crossing.message["body"] = json!({"code": 200, "value": []});
            }
            vec![crossing]
        }
    })
}

fn streams_for_the_asking() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let asks = posted(&crossing) && is_kind(&crossing.message, "subscribe");
            let url = &crossing.message["body"]["resources"][0];
            if asks && of_manager(&crossing, "to") && text(&json!({"url": url}), "url").ends_with("/changes")
            {
                return vec![answered(&crossing, json!({"code": 200, "value": [url]}))];
            }
            vec![crossing]
        }
    })
}

fn told_twice() -> Subject {
    mutated(|| {
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut twice: BTreeSet<String> = BTreeSet::new();
        move |crossing: Crossing| {
            let message = &crossing.message;
            if posted(&crossing) && is_kind(message, "subscribe") && of_manager(&crossing, "to") {
                let who = text(message, "from").to_owned();
                if !asked.insert(who.clone()) {
                    twice.insert(who);
                }
            }
            let hears = match &crossing.place {
                crate::protocol::runtime::Place::Bus(hyperty) => twice.contains(hyperty),
                crate::protocol::runtime::Place::Node => false,
            };
            if hears && handed(&crossing) && is_kind(message, "update") && is_status(&message["to"]) {
                return vec![crossing.clone(), crossing];
            }
            vec![crossing]
        }
    })
}

fn lists_for_everybody() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let asks = posted(&crossing) && is_kind(&crossing.message, "read") && of_manager(&crossing, "to");
            if let (true, Some(body)) = (asks, crossing.message["body"].as_object_mut()) {
                body.remove("resource");
            }
            vec![crossing]
        }
    })
}

fn never_ends() -> Subject {
    mutated(|| {
        |crossing: Crossing| match is_route_of_a_status(&crossing, "unsubscribe") {
            true => vec![answered(&crossing, json!({"code": 200}))],
            false => vec![crossing],
        }
    })
}

fn not_told_anew() -> Subject {
    mutated(|| {
        let mut sessions = 0;
        move |crossing: Crossing| {
            if leaves(&crossing) && is_kind(&crossing.message, "open") {
                sessions += 1;
            }
            let mut crossing = crossing;
            if sessions > 1
                && leaves(&crossing)
                && is_kind(&crossing.message, "subscribe")
                && let Some(urls) = crossing.message["body"]["resources"].as_array_mut()
            {
                urls.retain(|url| !is_status(url));
            }
            vec![crossing]
        }
    })
}

fn is_found(crossing: &Crossing) -> bool {
    handed(crossing)
        && is_response(crossing)
        && text(&crossing.message, "from").starts_with("domain://registry.")
}

fn disconnected_is_not_found() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if is_found(&crossing) && code(&crossing.message) == 408 {
                crossing.message["body"] =
                    json!({"code": 404, "desc": "not found", "description": "not found"});
            }
            vec![crossing]
        }
    })
}

fn registered_without_a_schema() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let registers =
                leaves(&crossing) && text(&crossing.message, "to").starts_with("domain://registry.");
            if let (true, Some(value)) = (registers, crossing.message["body"]["value"].as_object_mut()) {
                value.remove("schema");
            }
            vec![crossing]
        }
    })
}
