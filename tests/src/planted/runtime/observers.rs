//! Faults in who observes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Fault, answered, enters, handed, is_response, is_update, leaves, mutated, posted, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "lost-unsubscribe",
            what: "an observer that leaves is answered 200 and stays an observer",
            breaks: &["INV-UNS-1", "INV-UNS-2"],
            make: lost_unsubscribe,
        },
        Fault {
            name: "leaked-route",
            what: "the routes of an observer that left, or was refused, stay at the node",
            breaks: &["INV-UNS-3", "INV-SUB-3"],
            make: leaked_route,
        },
        Fault {
            name: "refused-readmitted-on-resume",
            what: "after a restart one that had been refused counts as an observer",
            breaks: &["INV-SUB-3"],
            make: refused_readmitted_on_resume,
        },
        Fault {
            name: "read-answered-to-a-stranger",
            what: "whoever reads is answered, and nobody decides",
            breaks: &["INV-READ-1", "INV-SUB-7"],
            make: read_answered_to_a_stranger,
        },
        Fault {
            name: "resume-forgets-the-subscriptions",
            what: "a Reporter that was resumed publishes to nobody until somebody subscribes",
            breaks: &["INV-RES-1"],
            make: resume_forgets_the_subscriptions,
        },
        Fault {
            name: "ended-sessions-stay",
            what: "that an observer's session ended is not heard",
            breaks: &["M13"],
            make: ended_sessions_stay,
        },
        Fault {
            name: "late-acceptance-kept",
            what: "an acceptance that comes too late is not given back",
            breaks: &["M9"],
            make: late_acceptance_kept,
        },
        Fault {
            name: "anybody-removes",
            what: "an observer is removed for whoever asks for it",
            breaks: &["INV-KICK-3"],
            make: anybody_removes,
        },
        Fault {
            name: "resume-gives-to-anybody",
            what: "a hyperty resumes what another had",
            breaks: &["INV-RES-4"],
            make: resume_gives_to_anybody,
        },
        Fault {
            name: "silent-after-a-reconnect",
            what: "a new session is told no routes",
            breaks: &["INV-SES-1"],
            make: silent_after_a_reconnect,
        },
    ]
}

fn is_leave(crossing: &Crossing) -> bool {
    let of_a_session = crossing.message["body"]["reason"] == "session-ended";
    is_kind(&crossing.message, "unsubscribe")
        && text(&crossing.message, "to").ends_with("/subscription")
        && !of_a_session
}

fn lost_unsubscribe() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            if enters(&crossing) && is_leave(&crossing) {
                return vec![answered(&crossing, json!({"code": 200}))];
            }
            vec![crossing]
        }
    })
}

fn leaked_route() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let to_node = text(&crossing.message, "to").starts_with("domain://msg-node.");
            if leaves(&crossing) && to_node && is_kind(&crossing.message, "unsubscribe") {
                return vec![answered(&crossing, json!({"code": 200}))];
            }
            vec![crossing]
        }
    })
}

/// The hyperties that were refused and ask after a resume are admitted without a question.
fn refused_readmitted_on_resume() -> Subject {
    mutated(|| {
        let mut asked: BTreeMap<String, Value> = BTreeMap::new();
        let mut refused: BTreeSet<String> = BTreeSet::new();
        let mut resumed = false;
        move |crossing: Crossing| {
            let (id, message) = (crossing.message["id"].to_string(), &crossing.message);
            let who = message["body"]["from"].to_string();
            if handed(&crossing) && is_kind(message, "forward") {
                if resumed && refused.contains(&who) {
                    return vec![answered(&crossing, json!({"code": 200}))];
                }
                asked.insert(id, message["body"]["from"].clone());
            } else if posted(&crossing) && is_response(&crossing) && code(message) == 403 {
                refused.extend(asked.get(&id).map(Value::to_string));
            } else if posted(&crossing) && message["body"]["resume"] == true {
                resumed = true;
            }
            vec![crossing]
        }
    })
}

fn read_answered_to_a_stranger() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let question =
                is_kind(&crossing.message, "forward") && crossing.message["body"]["type"] == "read";
            if handed(&crossing) && question {
                return vec![answered(&crossing, json!({"code": 200}))];
            }
            vec![crossing]
        }
    })
}

fn resume_forgets_the_subscriptions() -> Subject {
    mutated(|| {
        let mut forgotten = false;
        move |crossing: Crossing| {
            let message = &crossing.message;
            if posted(&crossing) && is_kind(message, "create") && message["body"]["resume"] == true {
                forgotten = true;
            } else if enters(&crossing) && is_kind(message, "subscribe") {
                forgotten = false;
            } else if forgotten && leaves(&crossing) && text(message, "to").ends_with("/changes") {
                return Vec::new();
            }
            vec![crossing]
        }
    })
}

fn ended_sessions_stay() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let ended = enters(&crossing) && crossing.message["body"]["reason"] == "session-ended";
            if ended { Vec::new() } else { vec![crossing] }
        }
    })
}

fn late_acceptance_kept() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            if leaves(&crossing) && is_leave(&crossing) { Vec::new() } else { vec![crossing] }
        }
    })
}

/// Whoever asks is taken for the runtime that the observer subscribed from.
fn anybody_removes() -> Subject {
    mutated(|| {
        let mut homes: BTreeMap<String, Value> = BTreeMap::new();
        let mut answers: BTreeMap<String, Value> = BTreeMap::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            let who = crossing.message["body"]["source"].to_string();
            if enters(&crossing) && is_kind(&crossing.message, "subscribe") {
                homes.insert(who, crossing.message["from"].clone());
            } else if enters(&crossing) && is_leave(&crossing) {
                if let Some(home) = homes.get(&who) {
                    answers.insert(id, crossing.message["from"].clone());
                    crossing.message["from"] = home.clone();
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

/// What the first hyperty was given in a resume, the others are given too; here, what it created.
fn resume_gives_to_anybody() -> Subject {
    mutated(|| {
        let mut objects: BTreeSet<String> = BTreeSet::new();
        let mut resumes: BTreeSet<String> = BTreeSet::new();
        move |mut crossing: Crossing| {
            let id = crossing.message["id"].to_string();
            let body = &crossing.message["body"];
            if posted(&crossing) && body["resume"] == true {
                resumes.insert(id);
            } else if handed(&crossing) && is_response(&crossing) {
                if let Some(object) = body["resource"].as_str() {
                    objects.insert(object.to_owned());
                }
                if resumes.contains(&id) && code(&crossing.message) == 404 {
                    let found: Vec<Value> =
                        objects.iter().map(|url| json!({"url": url, "version": 0})).collect();
                    crossing.message["body"] = json!({"code": 200, "value": found});
                }
            }
            vec![crossing]
        }
    })
}

/// The first session is told everything, later ones nothing that was told before.
fn silent_after_a_reconnect() -> Subject {
    mutated(|| {
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut sessions = 0;
        move |crossing: Crossing| {
            if !leaves(&crossing) || is_update(&crossing) {
                return vec![crossing];
            }
            let message = &crossing.message;
            if is_kind(message, "open") {
                sessions += 1;
            }
            let routes =
                is_kind(message, "subscribe") && text(message, "to").starts_with("domain://msg-node.");
            let mut known = routes && sessions > 1;
            for url in message["body"]["resources"].as_array().into_iter().flatten().filter(|_| routes) {
                known &= !told.insert(url.to_string());
            }
            if known { vec![answered(&crossing, json!({"code": 200}))] } else { vec![crossing] }
        }
    })
}
