//! What is sent in a cell.

use serde_json::{Value, json};

use crate::cell::{Ask, Cell, Form, Path, Role};
use crate::house::{ALLOCATION, House, MN, REG, child};

/// A message without its id.
pub(crate) struct Letter {
    pub(crate) kind: &'static str,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: Value,
}

impl House {
    /// The message of a cell.
    pub(crate) fn letter(&self, cell: Cell) -> Letter {
        let author = match cell.form {
            Form::Replayed => author_of(cell.ask),
            _ => (cell.role, cell.path),
        };
        let mut letter = self.true_letter(author, cell.ask);
        match cell.form {
            Form::True | Form::Replayed | Form::Expired => {}
            Form::ForgedFrom => letter.from = self.hyperty(Role::Reporter, Path::Inside),
            Form::ForgedObserver => letter.from = self.hyperty(Role::Observer, other(cell.path)),
            Form::ForgedObject => letter.from = self.object.clone(),
            Form::ForgedManager => letter.from = self.sm(),
            Form::ForgedSource => self.name_another(cell, &mut letter.body),
            Form::ForgedIdentity => {
                letter.body["identity"] =
                    json!({"userProfile": {"userURL": "user://example.com/reporter-inside"}});
            }
        }
        letter
    }

    fn name_another(&self, cell: Cell, body: &mut Value) {
        let reporter = self.hyperty(Role::Reporter, Path::Inside);
        let entitled = match cell.ask {
            Ask::Change => reporter.clone(),
            Ask::ChangeChild => self.hyperty(Role::ChildReporter, Path::Node),
            _ => self.hyperty(Role::Observer, other(cell.path)),
        };
        for member in ["source", "subscriber"] {
            body[member] = json!(entitled);
        }
        body["reporter"] = json!(reporter);
        if matches!(cell.ask, Ask::Register | Ask::RegisterLater) {
            body["value"]["reporter"] = json!(reporter);
            body["value"]["runtime"] = json!(self.alice.url().as_str());
        }
    }

    /// What somebody sends who means no harm.
    #[expect(clippy::too_many_lines, reason = "a table: one arm for each request")]
    fn true_letter(&self, (role, path): (Role, Path), ask: Ask) -> Letter {
        let found = self.actors.iter().find(|actor| actor.role == role && actor.path == path);
        let me = found.expect("somebody of this role comes this way");
        let (object, sm) = (&self.object, self.sm());
        let manager = me.manager();
        // Who has no hyperty speaks as what it is.
        let hyperty = match role {
            Role::OtherRuntime => manager.clone(),
            Role::Node => MN.to_owned(),
            _ => me.hyperty.clone(),
        };
        let service = |name: &str| match role {
            Role::Node => MN.to_owned(),
            _ => format!("{}/{name}", me.runtime),
        };
        let identity = me.identity();
        let to = |tail: &str| format!("{object}/{tail}");
        let heir = self.hyperty(Role::Stranger, Path::Inside);
        let victim = self.hyperty(Role::Observer, other(path));
        let victims_runtime = "hyperty-runtime://example.com/observer";
        let (kind, from, to, body) = match ask {
            Ask::Read => ("read", hyperty, object.clone(), json!({"identity": identity})),
            Ask::Repair => {
                let from = if path == Path::Inside { hyperty } else { service("sm") };
                let since = json!({"epoch": 0, "version": 0});
                ("read", from, object.clone(), json!({"criteria": {"since": since}}))
            }
            Ask::Subscribe if path == Path::Inside => {
                ("subscribe", hyperty, sm, json!({"resource": object, "identity": identity}))
            }
            Ask::Subscribe => {
                let body = json!({"source": hyperty, "subscriber": hyperty, "identity": identity});
                ("subscribe", service("sm"), to("subscription"), body)
            }
            Ask::Leave if path == Path::Inside => {
                ("unsubscribe", hyperty, sm, json!({"resource": object, "identity": identity}))
            }
            Ask::Leave => {
                let body = json!({"source": hyperty, "identity": identity, "resource": object});
                ("unsubscribe", service("sm"), to("subscription"), body)
            }
            Ask::SessionEnded => {
                let body = json!({"source": victims_runtime, "reason": "session-ended"});
                let from = if path == Path::Inside { hyperty } else { service("sm") };
                ("unsubscribe", from, to("subscription"), body)
            }
            Ask::Change => {
                let from = if role == Role::Reporter { object.clone() } else { hyperty.clone() };
                let body = json!({
                    "version": self.version + 1, "epoch": 1, "source": hyperty, "attribute": "topic", "value": "changed",
                    "lastModified": "2023-11-14T22:13:21.000Z", "receipt": role == Role::Reporter,
                });
                ("update", from, to("changes"), body)
            }
            Ask::Beat => {
                let body = json!({"version": self.version + 5, "attributeType": "position"});
                ("update", hyperty, to("changes"), body)
            }
            Ask::AnnounceDeletion => ("delete", hyperty, to("changes"), json!({"resource": object})),
            Ask::Delete => ("delete", hyperty, sm, json!({"resource": object})),
            Ask::AddChild => {
                ("create", hyperty.clone(), to("children/notes"), child(object, &hyperty, 7, "notes"))
            }
            Ask::AddReadOnly => {
                ("create", hyperty.clone(), to("children/news"), child(object, &hyperty, 7, "news"))
            }
            Ask::ChangeChild => {
                let body = json!({
                    "resource": self.child_for(path), "version": 1, "source": hyperty, "attribute": "n", "value": 2,
                    "lastModified": "2023-11-14T22:13:21.000Z",
                });
                ("update", hyperty, to("children/notes"), body)
            }
            Ask::DeleteChild => {
                ("delete", hyperty, to("children/notes"), json!({"resource": self.child_for(path)}))
            }
            Ask::Execute => {
                let body = json!({"method": "open", "params": [1], "identity": identity});
                ("execute", hyperty, object.clone(), body)
            }
            Ask::Invite => {
                let value = json!({"name": "board", "schema": self.schema, "reporter": hyperty});
                let body = json!({"resume": false, "resource": object, "schema": self.schema, "value": value,
                    "authorise": [heir], "identity": identity});
                ("create", hyperty, sm, body)
            }
            Ask::Remove => ("unsubscribe", hyperty, sm, json!({"resource": object, "source": victim})),
            Ask::Offer => {
                let body = json!({"resource": object, "schema": self.schema, "delegate": heir, "identity": identity});
                ("create", hyperty, sm, body)
            }
            Ask::TakeUp => {
                let from = if path == Path::Inside { hyperty.clone() } else { service("sm") };
                let body = json!({"type": "create", "from": hyperty, "to": object, "resource": object,
                    "delegate": hyperty, "delegation": "0b6f3c52-6a0e-4c3b-9e55-3d0a5b6c7d8e", "source": from,
                    "identity": identity});
                ("forward", from, to("subscription"), body)
            }
            Ask::Accept => {
                let heir = self.hyperty(Role::Reporter, Path::Inside);
                let mut body = self.offer.clone();
                (body["source"], body["delegate"]) = (json!(self.giver), json!(heir));
                ("create", hyperty, sm, body)
            }
            Ask::PassOn => {
                let from = if path == Path::Inside { hyperty.clone() } else { service("sm") };
                let asked = json!({"id": 9, "type": "read", "from": hyperty, "to": object, "body": {}});
                ("forward", from, sm, json!({"message": asked, "delegation": self.offer["delegation"]}))
            }
            Ask::Resume => {
                let body =
                    json!({"resume": true, "resource": object, "schema": self.schema, "identity": identity});
                ("create", hyperty, sm, body)
            }
            Ask::Hold => {
                let body = json!({"resources": [object, to("subscription")], "source": me.runtime});
                ("subscribe", service("sm"), MN.to_owned(), body)
            }
            Ask::Transfer => {
                let body = json!({"resources": [object, to("subscription")], "source": me.runtime,
                    "transfer": me.runtime});
                ("subscribe", service("sm"), MN.to_owned(), body)
            }
            Ask::Revoke => {
                let body = json!({"resources": [to("changes"), to("children/notes")], "source": victims_runtime,
                    "revoke": true});
                ("unsubscribe", service("sm"), MN.to_owned(), body)
            }
            Ask::Disconnect => {
                let body = json!({"resource": object, "value": "disconnected", "attribute": "status"});
                ("update", service("registry"), REG.to_owned(), body)
            }
            Ask::Unregister => ("delete", service("registry"), REG.to_owned(), json!({"resource": object})),
            Ask::Register | Ask::RegisterLater => {
                let mut record = json!({
                    "url": object, "runtime": me.runtime, "schema": self.schema, "name": "board",
                    "reporter": me.hyperty, "dataSchemes": ["comm"], "resources": [], "status": "live",
                    "expires": 3600,
                });
                if ask == Ask::RegisterLater {
                    record["epoch"] = json!(7);
                }
                ("create", service("registry"), REG.to_owned(), json!({"value": record}))
            }
            Ask::Release => {
                let body = json!({"childrenResources": [object]});
                ("delete", service("address-allocation"), ALLOCATION.to_owned(), body)
            }
        };
        Letter { kind, from, to, body }
    }

    /// The child that is there of the child's reporter of this way.
    fn child_for(&self, path: Path) -> String {
        let found = self.children.iter().find(|(of, _)| *of == path);
        found.map_or_else(|| "hyperty://example.com/nobody#1".to_owned(), |(_, child)| child.clone())
    }
}

/// Who sends such a request and is heard.
fn author_of(ask: Ask) -> (Role, Path) {
    match ask {
        Ask::Change | Ask::Delete => (Role::Reporter, Path::Inside),
        Ask::AddChild | Ask::ChangeChild => (Role::ChildReporter, Path::Node),
        _ => (Role::Observer, Path::Node),
    }
}

/// The other way: who comes by it is certainly somebody else.
fn other(path: Path) -> Path {
    match path {
        Path::Inside => Path::Node,
        Path::Node => Path::Inside,
    }
}
