//! Faults about changes of metadata.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Fault, Mutator, handed, is_response, leaves, posted, text};
use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{AssembledRuntime, Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "metadata-shown-before-durable",
            what: "a change of metadata is in what is read while it is being kept",
            breaks: &["M2"],
            make: || named(|names, _| names.values().next_back()),
        },
        Fault {
            name: "metadata-as-it-was",
            what: "a change of metadata is answered and published, and what is read has the one before",
            breaks: &["M2"],
            make: || named(|names, shown| names.range(..shown).next_back().map(|(_, name)| name)),
        },
    ]
}

/// States of a version show the name that is chosen from those that were posted, by their versions.
fn named(choose: fn(&BTreeMap<u64, Value>, u64) -> Option<&Value>) -> Subject {
    Subject::scripted(AssembledRuntime::default()).intercepted(move || {
        let mut names: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
        Box::new(Mutator(move |mut crossing: Crossing| {
            let body = &crossing.message["body"];
            if posted(&crossing) && is_kind(&crossing.message, "update") && body["attribute"] == "name" {
                let object = text(&crossing.message, "from").to_owned();
                let version = body["version"].as_u64().unwrap_or(0);
                names.entry(object).or_default().insert(version, body["value"].clone());
            } else if (handed(&crossing) || leaves(&crossing)) && is_response(&crossing) {
                let value = &mut crossing.message["body"]["value"];
                let posted = value["url"].as_str().and_then(|url| names.get(url));
                let shown = value["version"].as_u64().unwrap_or(0);
                if let Some(name) = posted.and_then(|posted| choose(posted, shown)) {
                    value["name"] = name.clone();
                }
            }
            vec![crossing]
        }))
    })
}
