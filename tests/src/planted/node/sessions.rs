//! Faults of sessions and of who may speak as whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::{Fault, Ways, parent, text};
use super::{FaultyNode, Planted, config, through};
use crate::protocol::client::{SESSION, code};

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "wrong token accepted",
        what: "re-open is granted whatever the token",
        breaks: "INV-SES-2",
        make: |domain, seed| through(domain, seed, WrongToken),
    },
    Planted {
        name: "refused open attaches all the same",
        what: "who was answered 409 receives what is for the runtime",
        breaks: "INV-MN-5",
        make: |domain, seed| through(domain, seed, Attaches::default()),
    },
    Planted {
        name: "leaked routes after close",
        what: "a new session finds the routes of the one that was closed",
        breaks: "INV-MN-3",
        make: |domain, seed| through(domain, seed, LeakedRoutes::default()),
    },
    Planted {
        name: "a lost session for ever",
        what: "the routes of a lost session never end",
        breaks: "INV-MN-3",
        make: |domain, seed| {
            let mut config = config(domain);
            config.timers.grace = Duration::from_secs(1_000_000);
            FaultyNode::new(config, seed, Box::new(super::Nothing))
        },
    },
    Planted {
        name: "buffer lost",
        what: "what is sent to a lost session is not there when it comes back",
        breaks: "INV-SES-1",
        make: |domain, seed| through(domain, seed, BufferLost::default()),
    },
    Planted {
        name: "open continues a lost session",
        what: "open is taken as re-open if the runtime was there before",
        breaks: "M14",
        make: |domain, seed| through(domain, seed, OpenContinues),
    },
    Planted {
        name: "from not checked",
        what: "who says to be somebody is believed",
        breaks: "INV-MN-5",
        make: |domain, seed| through(domain, seed, FromNotChecked),
    },
    Planted {
        name: "end of a session not told",
        what: "owners never hear that a listener's session ended",
        breaks: "M13",
        make: |domain, seed| through(domain, seed, EndNotTold),
    },
    Planted {
        name: "heard before open",
        what: "messages of a connection without a session are ignored, not refused",
        breaks: "5.15",
        make: |domain, seed| through(domain, seed, SilentBeforeOpen),
    },
];

fn is_session_answer(message: &Value) -> bool {
    message["type"] == "response" && message["from"] == SESSION
}

struct WrongToken;

impl Fault for WrongToken {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let runtime = parent(text(&message, "from")).to_owned();
        if message["type"] == "re-open"
            && let Some(token) = ways.known.tokens.get(&runtime)
        {
            message["from"] = json!(format!("{runtime}/{token}"));
        }
        ways.to_node(link, message);
    }
}

/// Connections that were refused, by the runtime they asked for.
#[derive(Default)]
struct Attaches(BTreeMap<String, BTreeSet<u64>>);

impl Fault for Attaches {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if is_session_answer(&message) && code(&message) == 409 {
            self.0.entry(text(&message, "to").to_owned()).or_default().insert(link);
        } else if message["type"] != "response"
            && let Some(runtime) = ways.known.runtimes.get(&link)
        {
            for &refused in self.0.get(runtime).into_iter().flatten() {
                ways.to_client(refused, message.clone());
            }
        }
        ways.to_client(link, message);
    }
}

/// What runtimes listened to when they closed their sessions.
#[derive(Default)]
struct LeakedRoutes(BTreeMap<String, BTreeSet<String>>);

impl Fault for LeakedRoutes {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["type"] == "close"
            && let Some(runtime) = ways.known.runtimes.get(&link)
            && let Some(listening) = ways.known.listening.get(runtime)
        {
            self.0.insert(runtime.clone(), listening.clone());
        }
        ways.to_node(link, message);
    }

    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if text(&message, "to").ends_with("/leak") {
            return;
        }
        if is_session_answer(&message)
            && let Some(runtime) = ways.known.runtimes.get(&link)
            && let Some(routes) = self.0.remove(runtime)
        {
            let from = format!("{runtime}/leak");
            let domain = runtime.split('/').nth(2).unwrap_or_default();
            let to = format!("domain://msg-node.{domain}/sm");
            let body = json!({"resources": routes});
            ways.to_node(link, json!({"id": 1, "type": "subscribe", "from": from, "to": to, "body": body}));
        }
        ways.to_client(link, message);
    }
}

/// How many updates were published for each runtime that was away, and how many a connection is still to lose.
#[derive(Default)]
struct BufferLost {
    missed: BTreeMap<String, usize>,
    to_lose: BTreeMap<u64, usize>,
}

impl Fault for BufferLost {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["type"] == "re-open" {
            let missed = self.missed.remove(parent(text(&message, "from"))).unwrap_or_default();
            self.to_lose.insert(link, missed);
        } else if message["type"] == "update" {
            let live = |runtime: &str| ways.known.runtimes.values().any(|other| other == runtime);
            let away = ways.known.listening.iter().filter(|(runtime, _)| !live(runtime));
            for (runtime, _) in away.filter(|(_, urls)| urls.contains(text(&message, "to"))) {
                *self.missed.entry(runtime.clone()).or_default() += 1;
            }
        }
        ways.to_node(link, message);
    }

    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let changes = message["type"] == "update" && text(&message, "to").ends_with("/changes");
        match self.to_lose.get_mut(&link) {
            Some(count) if changes && *count > 0 => *count -= 1,
            _ => ways.to_client(link, message),
        }
    }
}

struct OpenContinues;

impl Fault for OpenContinues {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let runtime = text(&message, "from").to_owned();
        let live = ways.known.runtimes.values().any(|other| *other == runtime);
        if message["type"] == "open"
            && !live
            && let Some(token) = ways.known.tokens.get(&runtime)
        {
            message["type"] = json!("re-open");
            message["from"] = json!(format!("{runtime}/{token}"));
        }
        ways.to_node(link, message);
    }
}

struct FromNotChecked;

impl Fault for FromNotChecked {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let has_session = ways.known.runtimes.contains_key(&link);
        let claimed = ways.known.owner(text(&message, "from")).filter(|_| has_session);
        let to_session = message["to"] == SESSION;
        ways.to_node(claimed.filter(|_| !to_session).unwrap_or(link), message);
    }
}

struct EndNotTold;

impl Fault for EndNotTold {
    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["body"]["reason"] != "session-ended" {
            ways.to_client(link, message);
        }
    }
}

struct SilentBeforeOpen;

impl Fault for SilentBeforeOpen {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if ways.known.runtimes.contains_key(&link) || message["to"] == SESSION {
            ways.to_node(link, message);
        }
    }
}
