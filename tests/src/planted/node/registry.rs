//! Faults of the registry and of the catalogue.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{Fault, Ways, text};
use super::{Planted, through};

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "keep-alive revives",
        what: "a keep-alive of what was unregistered makes it live",
        breaks: "INV-REG-3",
        make: |domain, seed| through(domain, seed, KeepAliveRevives),
    },
    Planted {
        name: "event for a keep-alive",
        what: "a keep-alive is told as a change of status",
        breaks: "INV-REG-2",
        make: |domain, seed| through(domain, seed, EventForKeepAlive),
    },
    Planted {
        name: "stale status",
        what: "a registration lives on however long nothing is heard of it",
        breaks: "INV-REG-1",
        make: |domain, seed| through(domain, seed, NeverExpires),
    },
    Planted {
        name: "deleted object revived",
        what: "a deletion is taken as an unregistration: registering again revives the object",
        breaks: "INV-DEL-3",
        make: |domain, seed| through(domain, seed, DeletedRevives),
    },
    Planted {
        name: "epochs ignored",
        what: "whoever registers an object owns it",
        breaks: "INV-REG-5",
        make: |domain, seed| through(domain, seed, EpochsIgnored(1_000)),
    },
    Planted {
        name: "taken over by anybody",
        what: "an epoch above is enough to own an object, whosever it is",
        breaks: "INV-REG-5",
        make: |domain, seed| through(domain, seed, TakenByAnybody::default()),
    },
    Planted {
        name: "taken over while live",
        what: "an object is taken over although its owner has come back",
        breaks: "INV-REG-5",
        make: |domain, seed| through(domain, seed, TakenWhileLive),
    },
    Planted {
        name: "criteria ignored",
        what: "a query finds all entries of a user, whatever else it asks for",
        breaks: "INV-REG-4",
        make: |domain, seed| through(domain, seed, CriteriaIgnored),
    },
    Planted {
        name: "further pages unsaid",
        what: "an answer that does not tell everything does not say so",
        breaks: "INV-REG-4",
        make: |domain, seed| through(domain, seed, PagesUnsaid),
    },
    Planted {
        name: "schemas overwritten",
        what: "another schema under a known URL replaces the first",
        breaks: "M22",
        make: |domain, seed| through(domain, seed, SchemasOverwritten::default()),
    },
];

fn to_registry(message: &Value) -> bool {
    text(message, "to").starts_with("domain://registry.")
}

fn is_keep_alive(message: &Value) -> bool {
    let body = &message["body"];
    to_registry(message)
        && message["type"] == "update"
        && (body["value"].is_null() || body["method"] == "refresh")
}

struct KeepAliveRevives;

impl Fault for KeepAliveRevives {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if is_keep_alive(&message) {
            message["body"] = json!({"resource": message["body"]["resource"], "value": {"status": "live"}});
        }
        ways.to_node(link, message);
    }
}

struct EventForKeepAlive;

impl Fault for EventForKeepAlive {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if is_keep_alive(&message) {
            let to = format!("{}/registration", text(&message["body"], "resource"));
            let body = json!({"value": "live", "attribute": "status"});
            let event = json!({"id": 1, "type": "update", "from": message["to"], "to": to, "body": body});
            for listener in ways.known.listeners(&to) {
                ways.to_client(listener, event.clone());
            }
        }
        ways.to_node(link, message);
    }
}

struct NeverExpires;

impl Fault for NeverExpires {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if to_registry(&message) && message["type"] == "create" && message["body"]["value"].is_object() {
            message["body"]["value"]["expires"] = json!(3600);
        }
        ways.to_node(link, message);
    }
}

struct DeletedRevives;

impl Fault for DeletedRevives {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if to_registry(&message) && message["type"] == "delete" {
            message["type"] = json!("update");
            message["body"]["value"] = json!("disconnected");
            message["body"]["attribute"] = json!("status");
        }
        ways.to_node(link, message);
    }
}

/// The epoch that the next registration is given.
struct EpochsIgnored(u64);

impl Fault for EpochsIgnored {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if to_registry(&message) && message["type"] == "create" && message["body"]["value"].is_object() {
            self.0 += 1;
            message["body"]["value"]["epoch"] = json!(self.0);
        }
        ways.to_node(link, message);
    }
}

/// The user and the GUID that each object was registered for.
#[derive(Default)]
struct TakenByAnybody(BTreeMap<String, (Value, Value)>);

impl Fault for TakenByAnybody {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if !to_registry(&message) {
            return ways.to_node(link, message);
        }
        let record = &mut message["body"]["value"];
        if record.is_object() && record["epoch"].as_u64().is_some_and(|epoch| epoch > 0) {
            if let Some((user, guid)) = self.0.get(text(record, "url")) {
                (record["user"], record["guid"]) = (user.clone(), guid.clone());
            }
        } else if record.is_object() && record["url"].is_string() {
            let of = (record["user"].clone(), record["guid"].clone());
            self.0.insert(text(record, "url").to_owned(), of);
        }
        ways.to_node(link, message);
    }
}

struct TakenWhileLive;

impl Fault for TakenWhileLive {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if to_registry(&message)
            && let Some(value) = message["body"].get_mut("value").and_then(Value::as_object_mut)
        {
            value.remove("takenFrom");
        }
        ways.to_node(link, message);
    }
}

struct CriteriaIgnored;

impl Fault for CriteriaIgnored {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if to_registry(&message)
            && let Some(body) = message.get_mut("body").and_then(Value::as_object_mut)
        {
            body.remove("criteria");
        }
        ways.to_node(link, message);
    }
}

struct PagesUnsaid;

impl Fault for PagesUnsaid {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if text(&message, "from").starts_with("domain://registry.")
            && let Some(body) = message.get_mut("body").and_then(Value::as_object_mut)
        {
            body.remove("next");
        }
        ways.to_client(link, message);
    }
}

#[derive(Default)]
struct SchemasOverwritten(BTreeMap<String, Value>);

impl Fault for SchemasOverwritten {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let url = text(&message["body"], "resource").to_owned();
        let for_catalogue = text(&message, "to").starts_with("domain://catalogue.");
        match (message["type"].as_str(), self.0.get(&url)) {
            (Some("create"), _) if for_catalogue => {
                self.0.insert(url, message["body"]["value"].clone());
                ways.answer(link, &message, json!({"code": 200}));
            }
            (Some("read"), Some(schema)) if for_catalogue => {
                ways.answer(link, &message, json!({"code": 200, "value": schema}));
            }
            _ => ways.to_node(link, message),
        }
    }
}
