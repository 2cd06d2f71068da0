//! Runtimes with one fault each. Most are a correct runtime behind an interceptor that changes what crosses its
//! boundary just as the fault would; some are assembled with a broken part.

mod answers;
mod children;
mod delegation;
mod delegation_taker;
mod epochs;
mod invitations;
mod large;
mod left;
mod listening;
mod metadata;
mod observers;
mod removal;
mod speaking;
mod stream;
mod takeover;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyperty_policy::{Decision, Policy, PolicyRequest};
use serde_json::{Value, json};

use crate::protocol::runtime::line::is_kind;
use crate::protocol::runtime::{
    AssembledRuntime, Crossing, Disk, HypertyRuntime, Interceptor, Place, Subject, Way,
};

/// A fault, and what the suite has to say about it.
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// Rules that the suite has to find broken: at least one of them.
    pub breaks: &'static [&'static str],
    make: fn() -> Subject,
}

impl Fault {
    /// A runtime that has it.
    pub fn subject(&self) -> Subject {
        (self.make)()
    }
}

/// All faults.
pub fn faults() -> Vec<Fault> {
    [
        answers::faults(),
        observers::faults(),
        removal::faults(),
        stream::faults(),
        children::faults(),
        invitations::faults(),
        large::faults(),
        left::faults(),
        takeover::faults(),
        delegation::faults(),
        listening::faults(),
        metadata::faults(),
        delegation_taker::faults(),
        speaking::faults(),
        parts(),
    ]
    .concat()
}

/// A correct runtime behind a function that changes what crosses.
fn mutated<F>(make: fn() -> F) -> Subject
where
    F: FnMut(Crossing) -> Vec<Crossing> + Send + 'static,
{
    Subject::scripted(HypertyRuntime).intercepted(move || Box::new(Mutator(make())))
}

struct Mutator<F>(F);

impl<F: FnMut(Crossing) -> Vec<Crossing> + Send> Interceptor for Mutator<F> {
    fn cross(&mut self, crossing: Crossing) -> Vec<Crossing> {
        (self.0)(crossing)
    }
}

impl Clone for Fault {
    fn clone(&self) -> Fault {
        Fault { name: self.name, what: self.what, breaks: self.breaks, make: self.make }
    }
}

/// Whether it comes from the node.
fn enters(crossing: &Crossing) -> bool {
    crossing.place == Place::Node && crossing.way == Way::In
}

/// Whether it leaves for the node.
fn leaves(crossing: &Crossing) -> bool {
    crossing.place == Place::Node && crossing.way == Way::Out
}

/// Whether it goes to a hyperty at its seat.
fn handed(crossing: &Crossing) -> bool {
    crossing.way == Way::Out && crossing.place != Place::Node
}

/// Whether it is posted by a hyperty at its seat.
fn posted(crossing: &Crossing) -> bool {
    crossing.way == Way::In && crossing.place != Place::Node
}

fn text<'a>(message: &'a Value, member: &str) -> &'a str {
    message[member].as_str().unwrap_or_default()
}

fn is_response(crossing: &Crossing) -> bool {
    is_kind(&crossing.message, "response")
}

fn is_update(crossing: &Crossing) -> bool {
    let change = crossing.message["body"]["attributeType"] != "position";
    is_kind(&crossing.message, "update") && text(&crossing.message, "to").ends_with("/changes") && change
}

/// What answers a message, the other way at the same place.
fn answered(crossing: &Crossing, body: Value) -> Crossing {
    let message = &crossing.message;
    let way = if crossing.way == Way::In { Way::Out } else { Way::In };
    let message = json!({
        "id": message["id"], "type": "response", "from": message["to"], "to": message["from"], "body": body,
    });
    Crossing { place: crossing.place.clone(), way, message }
}

/// Runtimes with a part that is broken.
fn parts() -> Vec<Fault> {
    vec![
        Fault {
            name: "published-before-durable",
            what: "the disk says that a change is on it while it is not: changes are published that a crash takes back",
            breaks: &["INV-DOM-7"],
            make: || {
                Subject::scripted(AssembledRuntime {
                    name: "lying disk",
                    disk: Disk::Lying,
                    ..AssembledRuntime::default()
                })
            },
        },
        Fault {
            name: "policy-permits-everybody",
            what: "the policy admits whoever subscribes or reads, and the Reporter is never asked",
            breaks: &["INV-SUB-7", "INV-SUB-3"],
            make: || {
                Subject::scripted(AssembledRuntime {
                    name: "permits everybody",
                    policy: Arc::new(PermitsEverybody),
                    ..AssembledRuntime::default()
                })
            },
        },
    ]
}

struct PermitsEverybody;

impl Policy for PermitsEverybody {
    fn decide<'a>(&'a self, _request: &'a PolicyRequest) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Permit))
    }
}
