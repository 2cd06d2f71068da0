//! Faults of address allocation.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::proxy::{Fault, Ways, text};
use super::{Planted, through};

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "address given twice",
        what: "each block has an address that was given out before",
        breaks: "INV-ALL-1",
        make: |domain, seed| through(domain, seed, GivenTwice::default()),
    },
    Planted {
        name: "block off by one",
        what: "a block has one address less than was asked for",
        breaks: "5.12",
        make: |domain, seed| through(domain, seed, OffByOne),
    },
    Planted {
        name: "second release refused",
        what: "what was released already cannot be released",
        breaks: "INV-ALL-3",
        make: |domain, seed| through(domain, seed, SecondReleaseRefused::default()),
    },
    Planted {
        name: "allocations forgotten",
        what: "after a restart nobody owns what was allocated",
        breaks: "M16",
        make: |domain, seed| through(domain, seed, super::Nothing).forgetful(),
    },
];

/// The first address of each scheme.
#[derive(Default)]
struct GivenTwice(BTreeMap<String, Value>);

impl Fault for GivenTwice {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if let Some(first) = message.pointer_mut("/body/value/allocated/0") {
            let scheme = first.as_str().and_then(|url| url.split(':').next()).unwrap_or_default().to_owned();
            *first = self.0.entry(scheme).or_insert_with(|| first.clone()).clone();
        }
        ways.to_client(link, message);
    }
}

struct OffByOne;

impl Fault for OffByOne {
    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let block = message.pointer_mut("/body/value/allocated").and_then(Value::as_array_mut);
        if let Some(block) = block.filter(|block| block.len() > 1) {
            block.pop();
        }
        ways.to_client(link, message);
    }
}

/// The bodies of releases that were granted.
#[derive(Default)]
struct SecondReleaseRefused(Vec<Value>);

impl Fault for SecondReleaseRefused {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if message["type"] == "delete" && text(&message, "to").ends_with("/address-allocation") {
            if self.0.contains(&message["body"]) {
                return ways.answer(link, &message, json!({"code": 404, "desc": "unknown"}));
            }
            self.0.push(message["body"].clone());
        }
        ways.to_node(link, message);
    }
}
