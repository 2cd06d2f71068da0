//! What the services of the domain say: sessions, routes, addresses, the registry and the catalogue.

use serde_json::{Map, Value, json};

use super::{State, text};

impl State {
    pub(super) fn session(&mut self, id: u64, message: &Value) -> Value {
        match text(message, "type").as_str() {
            "open" => {
                let runtime = text(message, "from");
                let former: Vec<u64> = self
                    .sessions
                    .iter()
                    .filter(|(other, session)| **other != id && session.runtime == runtime)
                    .map(|(other, _)| *other)
                    .collect();
                former.into_iter().for_each(|other| self.end(other));
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.runtime = runtime;
                }
                json!({"code": 200, "runtimeToken": format!("token-{id}")})
            }
            "re-open" => {
                json!({"code": 500, "desc": "Reconnection fail. Incorrect runtime token!", "reason": "forbidden"})
            }
            "close" => {
                self.end(id);
                Value::Null
            }
            _ => json!({"code": 400, "desc": "not for a session"}),
        }
    }

    pub(super) fn routes(&mut self, id: u64, message: &Value) -> Value {
        let body = &message["body"];
        let lists = ["resources", "resource", "subscribe", "unsubscribe"].map(|member| &body[member]);
        let urls: Vec<String> = lists
            .iter()
            .flat_map(|list| match list {
                Value::Array(urls) => urls.clone(),
                Value::String(_) => vec![(*list).clone()],
                _ => Vec::new(),
            })
            .filter_map(|url| url.as_str().map(str::to_owned))
            .collect();
        if let Some(receiver) = body["transfer"].as_str() {
            return self.transfer(id, receiver, &urls);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return Value::Null };
        match text(message, "type").to_lowercase().as_str() {
            "subscribe" => session.routes.extend(urls),
            "unsubscribe" => urls.iter().for_each(|url| {
                session.routes.remove(url);
            }),
            _ => return json!({"code": 400, "desc": "not for routes"}),
        }
        json!({"code": 200})
    }

    /// M17: who holds routes hands them to another.
    pub(super) fn transfer(&mut self, id: u64, receiver: &str, urls: &[String]) -> Value {
        let holds = self.sessions.get(&id).is_some_and(|one| urls.iter().all(|url| one.routes.contains(url)));
        let to = self.sessions.iter().find(|(_, one)| one.runtime == receiver).map(|(id, _)| *id);
        let Some(to) = to.filter(|_| holds) else {
            return json!({"code": 403, "desc": "nothing to hand over", "reason": "forbidden"});
        };
        for (owner, keeps) in [(id, false), (to, true)] {
            let Some(session) = self.sessions.get_mut(&owner) else { continue };
            for url in urls {
                if keeps {
                    session.routes.insert(url.clone())
                } else {
                    session.routes.remove(url)
                };
            }
        }
        json!({"code": 200})
    }

    pub(super) fn allocation(&mut self, message: &Value) -> Value {
        if text(message, "type").to_lowercase() != "create" {
            return json!({"code": 200});
        }
        let number = message["body"]["value"]["number"].as_u64().unwrap_or(1);
        let scheme = message["body"]["scheme"].as_str().unwrap_or("resource").to_owned();
        let allocated: Vec<String> = (0..number)
            .map(|_| {
                self.next += 1;
                format!("{scheme}://{}/object-{}", self.name, self.next)
            })
            .collect();
        json!({"code": 200, "value": {"allocated": allocated}})
    }

    pub(super) fn registry(&mut self, message: &Value) -> Value {
        let body = &message["body"];
        let resource = body["resource"].as_str().unwrap_or_default().to_owned();
        let known = self.registry.get(&resource).cloned();
        match (text(message, "type").to_lowercase().as_str(), known) {
            ("create", _) => {
                let url = body["value"]["url"].as_str().unwrap_or_default().to_owned();
                if self.registry.get(&url).is_some_and(|known| is_over(known, message)) {
                    return json!({"code": 409, "desc": "another's", "description": "another's"});
                }
                self.registry.insert(url.clone(), body["value"].clone());
                self.set_status(&url, "live");
                json!({"code": 200})
            }
            ("read", None) if resource.contains("user://") => self.of_user(&resource),
            (_, None) => json!({"code": 404, "desc": "not found", "description": "not found"}),
            ("read", Some(record)) if record["status"] == "deleted" => {
                json!({"code": 410, "desc": "deleted", "description": "deleted"})
            }
            ("read", Some(record)) => {
                let code = if record["status"] == "disconnected" { 408 } else { 200 };
                json!({"code": code, "value": Map::from_iter([(resource, record)])})
            }
            ("update", Some(known)) if is_over(&known, message) => {
                json!({"code": 409, "desc": "another's", "description": "another's"})
            }
            ("update", Some(mut record)) => {
                let value = &body["value"];
                for member in ["runtime", "epoch", "reporter", "user", "guid", "takenFrom"] {
                    if value[member].is_null() {
                        continue;
                    }
                    record[member] = value[member].clone();
                }
                self.registry.insert(resource.clone(), record);
                let status = value.as_str().or_else(|| value["status"].as_str()).map(str::to_owned);
                if let Some(status) = status {
                    self.set_status(&resource, if status == "created" { "live" } else { &status });
                }
                json!({"code": 200})
            }
            ("delete", Some(_)) => {
                self.set_status(&resource, "deleted");
                json!({"code": 200})
            }
            _ => json!({"code": 400, "desc": "not for a registry"}),
        }
    }

    /// What is registered of a user: by the user's URL, or in the form that names the kind as well.
    pub(super) fn of_user(&self, resource: &str) -> Value {
        let user = resource.rsplit_once("/user/").map_or(resource, |(_, user)| user);
        let found = self.registry.iter().filter(|(_, record)| record["user"] == user);
        let found: Map<String, Value> = found
            .filter(|(_, record)| record["status"] != "deleted")
            .map(|(url, record)| (url.clone(), record.clone()))
            .collect();
        match found.values().any(|record| record["status"] == "live") {
            _ if found.is_empty() => json!({"code": 404, "desc": "not found", "description": "not found"}),
            true => json!({"code": 200, "value": found}),
            false => json!({"code": 408, "desc": "disconnected", "value": found}),
        }
    }

    pub(super) fn set_status(&mut self, url: &str, status: &str) {
        let Some(record) = self.registry.get_mut(url) else { return };
        let before = record["status"].as_str().map(str::to_owned);
        record["status"] = json!(status);
        let told = format!("{url}/registration");
        if before.as_deref() != Some(status) && ["live", "disconnected"].contains(&status) {
            let from = format!("domain://registry.{}", self.name);
            let body = json!({"value": status, "attribute": "status"});
            self.route(None, &json!({"id": 1, "type": "update", "from": from, "to": told, "body": body}));
        }
    }

    pub(super) fn catalogue(&mut self, message: &Value) -> Value {
        let body = &message["body"];
        let resource = body["resource"].as_str().unwrap_or_default();
        match (text(message, "type").to_lowercase().as_str(), self.schemas.get(resource)) {
            ("create", Some(known)) if *known != body["value"] => {
                json!({"code": 409, "desc": "another schema"})
            }
            ("create", _) => {
                self.schemas.insert(resource.to_owned(), body["value"].clone());
                json!({"code": 200})
            }
            ("read", Some(schema)) => json!({"code": 200, "value": schema}),
            _ => json!({"code": 404, "desc": "not found", "description": "not found"}),
        }
    }
}

/// Whether a registration comes too late (INV-REG-5): below the epoch that is known, or at it while it is live elsewhere.
fn is_over(known: &Value, message: &Value) -> bool {
    let value = &message["body"]["value"];
    let from = text(message, "from");
    let own = known["runtime"].as_str().is_some_and(|owner| from.starts_with(owner));
    let held = known["epoch"].as_u64().unwrap_or(0);
    let is_claim = value["url"].is_string() || value["status"] == "live";
    match value["epoch"].as_u64() {
        // A sign of life, or the end of one.
        None if !is_claim => !own && value.is_null(),
        None if own && message["type"] == "update" => false,
        epoch => {
            let epoch = epoch.unwrap_or(0);
            epoch < held || (!own && epoch == held && known["status"] == "live")
        }
    }
}
