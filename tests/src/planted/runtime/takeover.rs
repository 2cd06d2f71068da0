//! Faults in resume by criteria, and in who owns an object after a takeover.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Fault, Mutator, answered, enters, handed, is_response, leaves, posted, text};
use crate::protocol::runtime::line::code;
use crate::protocol::runtime::{AssembledRuntime, Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "taken-over-by-another-user",
            what: "whoever asks for the objects of a user gets those that were made here",
            breaks: &["INV-RES-4"],
            make: taken_by_anybody,
        },
        Fault {
            name: "taken-over-at-an-equal-epoch",
            what: "a takeover goes on in the epoch of the former Reporter",
            breaks: &["INV-RES-5"],
            make: taken_at_an_equal_epoch,
        },
        Fault {
            name: "taken-over-unasked",
            what: "a takeover does not wait for the registry's yes",
            breaks: &["INV-RES-5"],
            make: || refusals_of_the_registry_ignored(false),
        },
        Fault {
            name: "never-stands-down",
            what: "a former Reporter that the registry does not take back goes on all the same",
            breaks: &["INV-RES-5"],
            make: || refusals_of_the_registry_ignored(true),
        },
        Fault {
            name: "missing-invented",
            what: "a resume lists as missing what the user never had",
            breaks: &["5.10", "INV-RES-4"],
            make: missing_invented,
        },
        Fault {
            name: "criteria-not-compared",
            what: "a resume returns all of the user's, whatever else was asked for",
            breaks: &["5.10"],
            make: criteria_not_compared,
        },
    ]
}

/// A runtime that knows of which user a hyperty is, behind a function that changes what crosses.
fn vouching<F>(make: fn() -> F) -> Subject
where
    F: FnMut(Crossing) -> Vec<Crossing> + Send + 'static,
{
    Subject::scripted(AssembledRuntime::default()).intercepted(move || Box::new(Mutator(make())))
}

fn is_resume(crossing: &Crossing) -> bool {
    posted(crossing) && crossing.message["type"] == "create" && crossing.message["body"]["resume"] == true
}

fn taken_by_anybody() -> Subject {
    vouching(|| {
        let mut made: Option<Value> = None;
        move |crossing: Crossing| {
            let value = &crossing.message["body"]["value"];
            if leaves(&crossing) && value["url"].is_string() && value["reporter"].is_string() {
                made = Some(json!({"url": value["url"], "version": 0, "data": {"topic": "a"}}));
            }
            match &made {
                Some(made) if is_resume(&crossing) && !crossing.message["body"]["identity"].is_null() => {
                    vec![answered(&crossing, json!({"code": 200, "value": [made]}))]
                }
                _ => vec![crossing],
            }
        }
    })
}

/// Epoch 1 is everywhere told as the one before.
fn taken_at_an_equal_epoch() -> Subject {
    fn lower(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.get("epoch").is_some_and(|epoch| *epoch == 1) {
                    members.insert("epoch".to_owned(), json!(0));
                }
                members.values_mut().for_each(lower);
            }
            Value::Array(values) => values.iter_mut().for_each(lower),
            _ => {}
        }
    }
    vouching(|| {
        |mut crossing: Crossing| {
            if leaves(&crossing) || handed(&crossing) {
                lower(&mut crossing.message["body"]);
            }
            vec![crossing]
        }
    })
}

fn refusals_of_the_registry_ignored(of_live_ones: bool) -> Subject {
    Subject::scripted(AssembledRuntime::default())
        .intercepted(move || Box::new(Mutator(without_refusals(of_live_ones))))
}

/// What the registry refuses is taken for a yes: to who takes over, or to who has the object and tells so.
fn without_refusals(of_live_ones: bool) -> impl FnMut(Crossing) -> Vec<Crossing> + Send {
    let mut asked: BTreeMap<String, bool> = BTreeMap::new();
    move |mut crossing: Crossing| {
        let id = crossing.message["id"].to_string();
        let to_registry = text(&crossing.message, "to").starts_with("domain://registry.");
        if leaves(&crossing) && to_registry {
            asked.insert(id, crossing.message["body"]["value"]["takenFrom"].is_null());
        } else if enters(&crossing)
            && is_response(&crossing)
            && [403, 409].contains(&code(&crossing.message))
            && asked.get(&id) == Some(&of_live_ones)
        {
            crossing.message["body"] = json!({"code": 200});
        }
        vec![crossing]
    }
}

fn missing_invented() -> Subject {
    vouching(|| {
        |mut crossing: Crossing| {
            let to_a_hyperty = handed(&crossing);
            let body = &mut crossing.message["body"];
            if to_a_hyperty && body["code"] == 200 && body["value"].is_array() {
                body["missing"] = json!(["comm://example.com/invented"]);
            }
            vec![crossing]
        }
    })
}

fn criteria_not_compared() -> Subject {
    vouching(|| {
        |mut crossing: Crossing| {
            if is_resume(&crossing)
                && let Some(body) = crossing.message["body"].as_object_mut()
            {
                let narrow = ["schema", "data", "reporter", "subscriber"];
                body.retain(|member, _| !narrow.contains(&member.as_str()));
                // What has criteria is no resume of one's own.
                body.entry("resource").or_insert_with(|| json!({"name": "board"}));
            }
            vec![crossing]
        }
    })
}
