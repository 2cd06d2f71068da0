//! What must hold in every case, whatever it is about: looked for in all that crossed the boundary.

use std::collections::BTreeMap;

use serde_json::Value;

use super::boundary::{Entry, Place, Way};
use super::line::{code, is_kind};
use super::scene::Scene;
use crate::protocol::{Capability, Failure, Verdict};

/// Types that a Sync Manager answers, and the subscription manager.
const REQUESTS: [&str; 7] = ["create", "read", "delete", "subscribe", "unsubscribe", "execute", "forward"];

/// That nothing crossed that must never cross.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn always(scene: &Scene) -> Verdict {
    let trace = scene.boundary.trace();
    answered_once(&trace)?;
    streams_in_order(&trace)?;
    one_content_per_version(&trace)?;
    Ok(())
}

fn text<'a>(message: &'a Value, member: &str) -> &'a str {
    message[member].as_str().unwrap_or_default()
}

fn id_text(message: &Value) -> String {
    message["id"].as_str().map_or_else(|| message["id"].to_string(), str::to_owned)
}

/// INV-MSG-1: never more final answers than requests, and INV-MSG-2: each with the id as it was sent.
fn answered_once(trace: &[Entry]) -> Verdict {
    let mut asked: BTreeMap<(Place, String, String), (usize, Vec<Value>)> = BTreeMap::new();
    let mut finals: BTreeMap<(Place, String, String), usize> = BTreeMap::new();
    for Entry { crossing, .. } in trace {
        let message = &crossing.message;
        let response = is_kind(message, "response");
        match crossing.way {
            Way::In if !response => {
                let key = (crossing.place.clone(), text(message, "from").to_owned(), id_text(message));
                let entry = asked.entry(key).or_default();
                let copies = message["to"].as_array().map_or(1, Vec::len);
                entry.0 += copies;
                entry.1.push(message["id"].clone());
            }
            Way::Out if response && code(message) >= 200 => {
                let key = (crossing.place.clone(), text(message, "to").to_owned(), id_text(message));
                let Some((requests, ids)) = asked.get(&key) else { continue };
                let seen = finals.entry(key).or_default();
                *seen += 1;
                if *seen > *requests {
                    let text = format!("another final answer: {message}");
                    return Err(Failure::new("INV-MSG-1", text).into());
                }
                if !ids.contains(&message["id"]) {
                    let text = format!("the id of {message} is not as it was sent: {ids:?}");
                    return Err(Failure::new("INV-MSG-2", text).into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// INV-MSG-1: what a hyperty asked of its Sync Manager, or of the subscription manager, was answered. For the end of a case, when every time to answer
/// is over.
pub(super) fn unanswered(scene: &Scene) -> Verdict {
    let trace = scene.boundary.trace_since(scene.born);
    let mut managers = vec![scene.sm()];
    if scene.stage.subject.capabilities.contains(&Capability::Subscriptions) {
        managers.push(scene.subscriptions());
    }
    let is_request = |message: &Value| {
        REQUESTS.iter().any(|kind| is_kind(message, kind))
            && managers.iter().any(|manager| message["to"] == manager.as_str())
    };
    let asked =
        trace.iter().filter(|entry| entry.crossing.way == Way::In && is_request(&entry.crossing.message));
    for Entry { crossing: question, .. } in asked {
        let (from, id) = (text(&question.message, "from"), id_text(&question.message));
        let answered = trace.iter().any(|Entry { crossing, .. }| {
            let message = &crossing.message;
            crossing.way == Way::Out
                && is_kind(message, "response")
                && text(message, "to") == from
                && id_text(message) == id
                && code(message) >= 200
        });
        // Whoever left its seat has nobody to hear the answer.
        let seated = trace.iter().rev().any(|entry| entry.crossing.place == question.place);
        if !answered && seated {
            let text = format!("never answered: {}", question.message);
            return Err(Failure::new("INV-MSG-1", text).into());
        }
    }
    Ok(())
}

/// INV-UPD-4 and INV-SUB-1: what is handed to a hyperty for an object rises by one, from the state it was given; and
/// INV-UNS-1: nothing comes after it has left.
fn streams_in_order(trace: &[Entry]) -> Verdict {
    let mut streams: BTreeMap<(String, String), Stream> = BTreeMap::new();
    for Entry { crossing, .. } in trace {
        let Place::Bus(hyperty) = &crossing.place else { continue };
        let message = &crossing.message;
        match crossing.way {
            Way::In => left(hyperty, message, &mut streams),
            Way::Out if is_kind(message, "response") => {
                answered(hyperty, message, &mut streams);
            }
            Way::Out => {
                let object = text(message, "to").strip_suffix("/changes");
                let Some(object) = object.filter(|_| is_kind(message, "update")) else { continue };
                let stream = streams.entry((hyperty.clone(), object.to_owned())).or_default();
                stream.take(hyperty, message)?;
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Stream {
    at: Option<(u64, u64)>,
    leaving: Option<String>,
    left: bool,
}

fn left(hyperty: &str, message: &Value, streams: &mut BTreeMap<(String, String), Stream>) {
    let object = message["body"]["resource"].as_str().unwrap_or_default().to_owned();
    let key = (hyperty.to_owned(), object);
    if is_kind(message, "unsubscribe") {
        streams.entry(key).or_default().leaving = Some(id_text(message));
    } else if is_kind(message, "subscribe") {
        // A new start; also a resume, which names no object.
        let resumes = message["body"]["resume"] == true;
        for ((who, object), stream) in streams.iter_mut() {
            if who == hyperty && (resumes || *object == key.1) {
                *stream = Stream::default();
            }
        }
    }
}

/// A state that a hyperty is given is where its stream goes on.
fn answered(hyperty: &str, message: &Value, streams: &mut BTreeMap<(String, String), Stream>) {
    for ((who, _), stream) in streams.iter_mut() {
        if who == hyperty && stream.leaving.as_ref() == Some(&id_text(message)) && code(message) == 200 {
            stream.left = true;
        }
    }
    let value = &message["body"]["value"];
    let single = value.is_object().then(|| std::slice::from_ref(value));
    for state in value.as_array().map(Vec::as_slice).or(single).unwrap_or_default() {
        let (Some(object), Some(version)) = (state["url"].as_str(), state["version"].as_u64()) else {
            continue;
        };
        let at = (state["epoch"].as_u64().unwrap_or(0), version);
        let stream = streams.entry((hyperty.to_owned(), object.to_owned())).or_default();
        stream.at = stream.at.max(Some(at));
    }
}

impl Stream {
    fn take(&mut self, hyperty: &str, message: &Value) -> Verdict {
        if self.left {
            let text = format!("{hyperty} left and still got {message}");
            return Err(Failure::new("INV-UNS-1", text).into());
        }
        let body = &message["body"];
        let Some((epoch, at)) = self.at else { return Ok(()) };
        // Without a version it is the next one (3.4).
        let version = body["version"].as_u64().unwrap_or(at + 1);
        let epoch_now = body["epoch"].as_u64().unwrap_or(epoch);
        if body["attributeType"] == "position" {
            // Says where the Sync Manager's copy is; the hyperty reads what it has missed.
            self.at = self.at.max(Some((epoch_now, version)));
            return Ok(());
        }
        if epoch_now > epoch || version == at + 1 {
            self.at = Some((epoch_now, version));
            return Ok(());
        }
        let (invariant, what) = if version <= at {
            ("INV-UPD-4", "a second time")
        } else {
            ("INV-SUB-1", "with a hole before it")
        };
        let text = format!("{hyperty} stands at {at} and got {what}: {message}");
        Err(Failure::new(invariant, text).into())
    }
}

/// INV-DOM-7: no version is published twice with different content.
fn one_content_per_version(trace: &[Entry]) -> Verdict {
    let mut published: BTreeMap<(String, u64, u64), Value> = BTreeMap::new();
    for Entry { crossing, .. } in trace {
        let message = &crossing.message;
        let outward = crossing.way == Way::Out && crossing.place == Place::Node;
        let body = &message["body"];
        if !outward || !is_kind(message, "update") || body["attributeType"] == "position" {
            continue;
        }
        let Some(object) = text(message, "to").strip_suffix("/changes") else { continue };
        let Some(version) = body["version"].as_u64() else { continue };
        let key = (object.to_owned(), body["epoch"].as_u64().unwrap_or(0), version);
        let content =
            serde_json::json!([body["attribute"], body["attributeType"], body["operation"], body["value"]]);
        match published.get(&key) {
            Some(former) if *former != content => {
                let text = format!("version {version} of {object} was {former}, and now {content}");
                return Err(Failure::new("INV-DOM-7", text).into());
            }
            _ => drop(published.insert(key, content)),
        }
    }
    Ok(())
}
