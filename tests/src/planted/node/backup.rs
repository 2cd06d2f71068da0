//! Faults of the backup.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{Fault, Ways, text};
use super::{Planted, through};

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "backup read by a stranger",
        what: "a record is given to whoever asks for it",
        breaks: "INV-BAK-3",
        make: |domain, seed| through(domain, seed, ReadByAnybody::default()),
    },
    Planted {
        name: "backup believed from a stranger",
        what: "whoever saves a record of an object replaces its owner's",
        breaks: "INV-BAK-3",
        make: |domain, seed| through(domain, seed, Overwritten { strangers: true, ..Overwritten::default() }),
    },
    Planted {
        name: "backup goes back",
        what: "an older state replaces a newer one",
        breaks: "INV-BAK-4",
        make: |domain, seed| through(domain, seed, Overwritten::default()),
    },
    Planted {
        name: "backup listed to all",
        what: "a list has the records of all users",
        breaks: "INV-BAK-3",
        make: |domain, seed| through(domain, seed, ListedToAll::default()),
    },
];

fn for_backup(message: &Value, kind: &str) -> bool {
    text(message, "to").ends_with("/backup") && message["type"] == kind
}

/// The user of who saved a record.
#[derive(Default)]
struct ReadByAnybody(BTreeMap<String, Value>);

impl Fault for ReadByAnybody {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let object = text(&message["body"], "resource").to_owned();
        if for_backup(&message, "create") {
            self.0.entry(object.clone()).or_insert_with(|| message["body"]["user"].clone());
        }
        if for_backup(&message, "read")
            && let Some(user) = self.0.get(&object)
        {
            message["body"]["user"] = user.clone();
        }
        ways.to_node(link, message);
    }
}

/// What was saved last, whatever it was.
#[derive(Default)]
struct Overwritten {
    strangers: bool,
    saved: BTreeMap<String, (Value, String)>,
}

impl Fault for Overwritten {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        let body = &message["body"];
        let object = text(body, "resource").to_owned();
        let saved = self.saved.get_mut(&object);
        if for_backup(&message, "create") && body["parts"] == 1 {
            match saved {
                Some((owner, last)) => {
                    let own = *owner == body["user"];
                    if own != self.strangers {
                        text(body, "text").clone_into(last);
                        return ways.answer(link, &message, json!({"code": 200, "kept": {}}));
                    }
                }
                None => {
                    let first = (body["user"].clone(), text(body, "text").to_owned());
                    self.saved.insert(object, first);
                }
            }
        } else if for_backup(&message, "read")
            && let Some((owner, last)) = saved
            && *owner == body["user"]
        {
            let answer = json!({"code": 200, "part": 1, "parts": 1, "bytes": last.len(), "transfer": "t", "text": last});
            return ways.answer(link, &message, answer);
        }
        ways.to_node(link, message);
    }
}

/// The users that have saved something.
#[derive(Default)]
struct ListedToAll(Option<Value>);

impl Fault for ListedToAll {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let user = message["body"]["user"].clone();
        if for_backup(&message, "create") {
            self.0.get_or_insert(user);
        } else if for_backup(&message, "read")
            && message["body"]["resource"].is_null()
            && let Some(owner) = &self.0
        {
            message["body"]["user"] = owner.clone();
        }
        ways.to_node(link, message);
    }
}
