//! What a runtime holds at its node.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::boundary::{Entry, Place, Way};
use super::line::{code, is_kind};

/// Routes and registrations of a runtime at its node.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Held {
    /// The addresses that are routed to its session.
    pub routes: BTreeSet<String>,
    /// The objects and hyperties that are registered as live.
    pub registered: BTreeSet<String>,
}

impl Held {
    /// Neither a route nor a registration.
    pub fn is_nothing(&self) -> bool {
        self.routes.is_empty() && self.registered.is_empty()
    }

    /// What was asked for and granted, of addresses that begin so, as far as the answers tell.
    pub(super) fn granted(trace: &[Entry], prefix: &str) -> Held {
        let mut held = Held::default();
        let mut asked: BTreeMap<(String, String), &Value> = BTreeMap::new();
        for Entry { crossing, .. } in trace.iter().filter(|entry| entry.crossing.place == Place::Node) {
            let message = &crossing.message;
            let text = |member: &str| message[member].to_string();
            match crossing.way {
                Way::Out => drop(asked.insert((text("from"), text("id")), message)),
                Way::In if is_kind(message, "response") && code(message) == 200 => {
                    if let Some(request) = asked.remove(&(text("to"), text("id"))) {
                        held.grant(request, prefix);
                    }
                }
                Way::In => {}
            }
        }
        held
    }

    fn grant(&mut self, request: &Value, prefix: &str) {
        let (to, body) = (request["to"].as_str().unwrap_or_default(), &request["body"]);
        let listed = body["resources"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let listed = listed.filter_map(Value::as_str).filter(|url| url.starts_with(prefix));
        let kind = request["type"].as_str().unwrap_or_default();
        if kind == "open" {
            self.routes.clear();
        } else if to.starts_with("domain://msg-node.") && to.ends_with("/sm") {
            match kind {
                "subscribe" => self.routes.extend(listed.map(str::to_owned)),
                "unsubscribe" => listed.for_each(|url| {
                    self.routes.remove(url);
                }),
                _ => {}
            }
        } else if to.starts_with("domain://registry.") {
            let url = body["value"]["url"].as_str().or(body["resource"].as_str()).unwrap_or_default();
            let ended = kind == "delete" || body["value"] == "disconnected";
            if ended {
                self.registered.remove(url);
            } else if kind == "create" && url.starts_with(prefix) {
                self.registered.insert(url.to_owned());
            }
        }
    }
}
