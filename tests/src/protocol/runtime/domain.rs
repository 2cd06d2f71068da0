//! A domain that consists of a script: what the runtime under test takes for its message node, with just the services
//! that a runtime needs, and the means to have them refuse or say nothing.
//!
//! It is written from the protocol and shares nothing with this project's message node, so that a misunderstanding of
//! one is not excused by the other. It keeps no session beyond its connection: a lost one is a forgotten one.

mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hyperty_protostub::{ChannelConnector, ConnectError, Connector};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::held::Held;

/// Frames that may wait for one connection. What the suite sends at once is far less; more is a defect of a case.
const WAITING_MAX: usize = 16_384;

/// The services of the domain, as a script tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `mn:/session`
    Session,
    /// `domain://msg-node.<d>/sm`
    Routes,
    /// `domain://msg-node.<d>/address-allocation`
    Allocation,
    /// `domain://registry.<d>`
    Registry,
    /// `domain://catalogue.<d>`
    Catalogue,
}

/// What a service does with requests of the runtime under test. Those of the suite's own peers are always served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Answers with this code, and does nothing.
    Refuse(u16),
    /// Says nothing, and does nothing.
    Mute,
    /// Does what is asked and says nothing, as when the answer is lost.
    LoseAnswer,
}

/// The domain. Clones are the same one.
#[derive(Clone)]
pub struct Domain {
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    subject: String,
    sessions: BTreeMap<u64, Session>,
    next: u64,
    registry: BTreeMap<String, Value>,
    schemas: BTreeMap<String, Value>,
    rules: Vec<(Service, Option<String>, Script)>,
    away: bool,
}

struct Session {
    out: mpsc::Sender<Bytes>,
    runtime: String,
    bound: BTreeSet<String>,
    routes: BTreeSet<String>,
}

impl Domain {
    /// An empty domain of this name; scripts apply to the runtime of this URL.
    pub fn new(name: &str, subject: &str) -> Domain {
        let state = State {
            name: name.to_owned(),
            subject: subject.to_owned(),
            sessions: BTreeMap::new(),
            next: 0,
            registry: BTreeMap::new(),
            schemas: BTreeMap::new(),
            rules: Vec::new(),
            away: false,
        };
        Domain { state: Arc::new(Mutex::new(state)) }
    }

    /// A way to it, for the runtime under test and for peers alike.
    pub fn connector(&self) -> Arc<dyn Connector> {
        let domain = self.clone();
        Arc::new(ChannelConnector::new(move || {
            if domain.state.lock().away {
                return Err(ConnectError::Unreachable("the domain is away".to_owned()));
            }
            let (to_domain, mut from_peer) = mpsc::channel::<Bytes>(WAITING_MAX);
            let (to_peer, from_domain) = mpsc::channel(WAITING_MAX);
            let id = domain.begin(to_peer);
            let domain = domain.clone();
            tokio::spawn(async move {
                while let Some(frame) = from_peer.recv().await {
                    domain.take(id, &frame);
                }
                domain.end(id);
            });
            Ok((to_domain, from_domain))
        }))
    }

    /// From now on a service treats requests of this type so; `None` is every type. The last rule that fits counts.
    pub fn script(&self, service: Service, kind: Option<&str>, script: Script) {
        self.state.lock().rules.push((service, kind.map(str::to_owned), script));
    }

    /// All services serve again.
    pub fn serve(&self) {
        self.state.lock().rules.clear();
    }

    /// Sends a frame to the runtime under test as it is, message or not.
    pub fn push(&self, frame: impl Into<Bytes>) {
        let state = self.state.lock();
        let frame = frame.into();
        for session in state.sessions.values().filter(|session| session.runtime == state.subject) {
            if session.out.try_send(frame.clone()).is_err() {
                tracing::warn!(runtime = session.runtime, "a scripted connection takes no more");
            }
        }
    }

    /// The domain cannot be reached any more: every connection is lost, of the subject and of all peers.
    pub fn leave(&self) {
        let mut state = self.state.lock();
        state.away = true;
        state.sessions.clear();
    }

    /// The domain can be reached again; it has forgotten all sessions.
    pub fn come_back(&self) {
        self.state.lock().away = false;
    }

    /// What the runtime under test holds here, of addresses that begin so.
    pub fn held(&self, prefix: &str) -> Held {
        let state = self.state.lock();
        let of_subject = state.sessions.values().filter(|session| session.runtime == state.subject);
        let routes = of_subject.flat_map(|session| &session.routes).filter(|url| url.starts_with(prefix));
        let live = state.registry.iter().filter(|(url, record)| {
            url.starts_with(prefix)
                && record["runtime"] == state.subject.as_str()
                && record["status"] == "live"
        });
        let registered = live.map(|(url, _)| url.clone()).collect();
        Held { routes: routes.cloned().collect(), registered }
    }

    /// Has the registry know this record, whoever it is of.
    pub fn register(&self, record: Value) {
        let url = text(&record, "url");
        self.state.lock().registry.insert(url, record);
    }

    /// What the registry knows of an entity; null if nothing.
    pub fn registration(&self, url: &str) -> Value {
        self.state.lock().registry.get(url).cloned().unwrap_or_default()
    }

    fn begin(&self, out: mpsc::Sender<Bytes>) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        let session =
            Session { out, runtime: String::new(), bound: BTreeSet::new(), routes: BTreeSet::new() };
        state.sessions.insert(id, session);
        id
    }

    fn end(&self, id: u64) {
        self.state.lock().end(id);
    }

    fn take(&self, id: u64, frame: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(frame) else { return };
        self.state.lock().take(id, &message);
    }
}

impl State {
    fn end(&mut self, id: u64) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let of_it = |record: &Value| record["runtime"] == session.runtime.as_str();
        let theirs: Vec<String> =
            self.registry.iter().filter(|(_, record)| of_it(record)).map(|(url, _)| url.clone()).collect();
        for url in theirs {
            self.set_status(&url, "disconnected");
        }
        // M13: the owners of what it listened to are told.
        for object in session.routes.iter().filter_map(|url| url.strip_suffix("/changes")) {
            let body = json!({"source": session.runtime, "reason": "session-ended"});
            let from = format!("domain://msg-node.{}/sm", self.name);
            let notice = json!({
                "id": 1, "type": "unsubscribe", "from": from, "to": format!("{object}/subscription"), "body": body,
            });
            self.route(None, &notice);
        }
    }

    fn take(&mut self, id: u64, message: &Value) {
        let (to, from) = (text(message, "to"), text(message, "from"));
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !from.is_empty() && !from.starts_with("domain:") {
            session.bound.insert(from);
        }
        match self.service(&to) {
            Some(service) => self.serve(id, service, message),
            None if self.may_publish(id, message) => self.route(Some(id), message),
            None => {
                let source = format!("domain://msg-node.{}/sm", self.name);
                let body = json!({"code": 403, "desc": "not its publisher", "source": source, "reason": "forbidden"});
                let (from, to) = (&message["to"], &message["from"]);
                self.send(
                    id,
                    &json!({"id": message["id"], "type": "response", "from": from, "to": to, "body": body}),
                );
            }
        }
    }

    /// Who may publish (5.14): the session that holds O its changes, those who listen to a children channel on it.
    fn may_publish(&self, id: u64, message: &Value) -> bool {
        let to = text(message, "to");
        let holds = |url: &str| self.sessions.get(&id).is_some_and(|session| session.routes.contains(url));
        match to.strip_suffix("/changes") {
            _ if message["type"] == "response" => true,
            Some(object) => holds(object),
            None => !to.contains("/children/") || holds(&to),
        }
    }

    fn service(&self, to: &str) -> Option<Service> {
        let name = &self.name;
        let to = to.trim_end_matches('/');
        let services = [
            ("mn:/session".to_owned(), Service::Session),
            (format!("domain://msg-node.{name}/sm"), Service::Routes),
            (format!("domain://msg-node.{name}/address-allocation"), Service::Allocation),
            (format!("domain://registry.{name}"), Service::Registry),
            (format!("domain://catalogue.{name}"), Service::Catalogue),
        ];
        services.into_iter().find(|(url, _)| url == to).map(|(_, service)| service)
    }

    fn serve(&mut self, id: u64, service: Service, message: &Value) {
        if message["type"] == "response" {
            return;
        }
        let rule = self.rule(id, service, message);
        let body = match rule {
            Some(Script::Mute) => return,
            Some(Script::Refuse(code)) => json!({"code": code, "desc": "refused", "description": "refused"}),
            Some(Script::LoseAnswer) | None => match service {
                Service::Session => self.session(id, message),
                Service::Routes => self.routes(id, message),
                Service::Allocation => self.allocation(message),
                Service::Registry => self.registry(message),
                Service::Catalogue => self.catalogue(message),
            },
        };
        if rule != Some(Script::LoseAnswer) && body.is_object() {
            let (from, to) = (&message["to"], &message["from"]);
            let answer =
                json!({"id": message["id"], "type": "response", "from": from, "to": to, "body": body});
            self.send(id, &answer);
        }
    }

    fn rule(&self, id: u64, service: Service, message: &Value) -> Option<Script> {
        let session = self.sessions.get(&id)?;
        if session.runtime != self.subject && !text(message, "from").starts_with(&self.subject) {
            return None;
        }
        let kind = text(message, "type").to_lowercase();
        let fits = |rule: &&(Service, Option<String>, Script)| {
            rule.0 == service && rule.1.as_ref().is_none_or(|wanted| *wanted == kind)
        };
        self.rules.iter().rev().find(fits).map(|rule| rule.2)
    }

    /// To the runtime that owns the address, else to the one whose hyperty spoke from it, else to all who listen.
    fn route(&mut self, ingress: Option<u64>, message: &Value) {
        let to = text(message, "to");
        let below = |runtime: &str| {
            !runtime.is_empty()
                && (to == runtime || to.strip_prefix(runtime).is_some_and(|r| r.starts_with('/')))
        };
        let owner = self.sessions.iter().find(|(_, session)| below(&session.runtime)).map(|(id, _)| *id);
        let bound = || self.sessions.iter().find(|(_, s)| s.bound.contains(&to)).map(|(id, _)| *id);
        let is_hyperty = to.starts_with("hyperty://");
        let targets: Vec<u64> = match owner.or_else(|| is_hyperty.then(bound).flatten()) {
            Some(id) => vec![id],
            None => {
                let listens =
                    |(id, session): &(&u64, &Session)| Some(**id) != ingress && session.routes.contains(&to);
                self.sessions.iter().filter(listens).map(|(id, _)| *id).collect()
            }
        };
        if let (true, Some(ingress)) = (targets.is_empty() && wants_answer(message), ingress) {
            let source = format!("domain://msg-node.{}/sm", self.name);
            let body = json!({
                "code": 404, "desc": "no route", "description": "no route", "source": source, "reason": "no-route",
            });
            let (from, to) = (&message["to"], &message["from"]);
            let answer =
                json!({"id": message["id"], "type": "response", "from": from, "to": to, "body": body});
            self.send(ingress, &answer);
        }
        targets.into_iter().for_each(|id| self.send(id, message));
    }

    fn send(&self, id: u64, message: &Value) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.out.try_send(Bytes::from(message.to_string())).is_err() {
            tracing::warn!(runtime = session.runtime, "a scripted connection takes no more");
        }
    }
}

fn text(message: &Value, member: &str) -> String {
    message[member].as_str().unwrap_or_default().to_owned()
}

fn wants_answer(message: &Value) -> bool {
    let kind = text(message, "type").to_lowercase();
    let to = text(message, "to");
    let published = ["/changes", "/status", "/registration"].iter().any(|tail| to.ends_with(tail))
        || to.contains("/children/");
    ["create", "read", "delete", "subscribe", "unsubscribe", "execute", "forward", "update"]
        .contains(&kind.as_str())
        && !published
}
