//! Faults of who may listen (protocol 10.4), and of how much.

use serde_json::{Value, json};

use super::proxy::{Fault, FaultyNode, Ways, text};
use super::{Planted, config, guarded};
use crate::protocol::client::code;

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "eavesdropping",
        what: "whoever subscribed hears an update, accepted or not",
        breaks: "INV-LSN-1",
        make: |domain, seed| guarded(domain, seed, Eavesdropping),
    },
    Planted {
        name: "provisional yes",
        what: "an owner's provisional answer lets in",
        breaks: "INV-LSN-1",
        make: |domain, seed| guarded(domain, seed, LetsIn(|code| code < 200)),
    },
    Planted {
        name: "no is yes",
        what: "whatever the owner answers to a subscription lets in",
        breaks: "INV-LSN-1",
        make: |domain, seed| guarded(domain, seed, LetsIn(|code| code >= 400)),
    },
    Planted {
        name: "stranger's grant",
        what: "whoever says so lets a runtime in",
        breaks: "INV-LSN-1",
        make: |domain, seed| guarded(domain, seed, StrangersGrant),
    },
    Planted {
        name: "revocation forgotten",
        what: "a revocation is confirmed and nobody is cut off",
        breaks: "INV-LSN-2",
        make: |domain, seed| guarded(domain, seed, RevocationForgotten),
    },
    Planted {
        name: "one route more",
        what: "the limit of routes is one higher than agreed",
        breaks: "5.14",
        make: |domain, seed| {
            let mut config = config(domain);
            config.limits.routes_per_session += 1;
            FaultyNode::new(config, seed, Box::new(super::Nothing))
        },
    },
];

/// The id of what a fault sends by itself, whose answer nobody waits for.
const OWN: &str = "of the fault";

struct Eavesdropping;

impl Fault for Eavesdropping {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["type"] == "update" && text(&message, "to").ends_with("/changes") {
            for listener in ways.known.listeners(text(&message, "to")) {
                if listener != link {
                    ways.to_client(listener, message.clone());
                }
            }
        }
        ways.to_node(link, message);
    }
}

/// Lets in after answers of some codes.
struct LetsIn(fn(u64) -> bool);

impl Fault for LetsIn {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let object = text(&message, "from").strip_suffix("/subscription").map(str::to_owned);
        let asker =
            ways.known.owner(text(&message, "to")).and_then(|asker| ways.known.runtimes.get(&asker)).cloned();
        let owner = ways.known.runtimes.get(&link).cloned();
        let lets_in = message["type"] == "response" && (self.0)(code(&message));
        ways.to_node(link, message);
        if let (Some(object), Some(asker), Some(owner), true) = (object, asker, owner, lets_in) {
            ways.to_node(link, grant(&owner, &object, &asker));
        }
    }

    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["id"] != OWN {
            ways.to_client(link, message);
        }
    }
}

fn grant(owner: &str, object: &str, runtime: &str) -> Value {
    let domain = owner.split('/').nth(2).unwrap_or_default();
    json!({
        "id": OWN, "type": "subscribe", "from": format!("{owner}/sm"), "to": format!("domain://msg-node.{domain}/sm"),
        "body": {"resources": [format!("{object}/changes")], "source": runtime, "grant": true},
    })
}

struct StrangersGrant;

impl Fault for StrangersGrant {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let body = &message["body"];
        if body["grant"] == true {
            let object =
                body["resources"][0].as_str().unwrap_or_default().trim_end_matches("/changes").to_owned();
            let owner = ways.known.listeners(&object).first().copied();
            let runtime = owner.and_then(|owner| ways.known.runtimes.get(&owner)).cloned();
            if let (Some(owner), Some(runtime)) = (owner, runtime) {
                ways.to_node(owner, grant(&runtime, &object, body["source"].as_str().unwrap_or_default()));
            }
        }
        ways.to_node(link, message);
    }

    fn to_client(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["id"] != OWN {
            ways.to_client(link, message);
        }
    }
}

struct RevocationForgotten;

impl Fault for RevocationForgotten {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["body"]["revoke"] == true {
            return ways.answer(link, &message, json!({"code": 200}));
        }
        ways.to_node(link, message);
    }
}
