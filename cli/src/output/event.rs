//! The events.

use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::Children;
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Timestamp, Url};
use hyperty_runtime::syncher::{ChangeEvent, ChildEvent, ChildView, ObserverEntry};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{FoundLine, NoticeLine};

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    /// The message node accepts connections.
    Listening {
        /// Where, as `host:port`.
        address: String,
        /// For `--node`.
        url: String,
        /// The domain it serves.
        domain: &'a str,
        /// Where the pages for operators are, if they have an address of their own.
        #[serde(skip_serializing_if = "Option::is_none")]
        admin: Option<String>,
    },
    /// Clients that believe this file (PEM) believe the node.
    Authority {
        /// The file.
        ca: String,
    },
    /// The key of an issuer was made.
    Key {
        /// Its name.
        kid: &'a str,
        /// The file of the private key.
        private: String,
        /// The file of the public one.
        public: String,
        /// The public one as a JWK.
        jwk: Value,
    },
    /// What a token says.
    Token {
        /// The key that it names.
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<String>,
        /// Its claims.
        claims: Value,
        /// Whether it is valid, if that was checked.
        #[serde(skip_serializing_if = "Option::is_none")]
        valid: Option<bool>,
    },
    /// The command can be asked how it is.
    Admin {
        /// Where.
        url: String,
    },
    /// The object exists now.
    Created {
        /// Its URL.
        url: &'a ObjectUrl,
    },
    /// What an earlier run left is gone on with, or the Reporter is reached again.
    Resumed {
        /// The object.
        url: &'a ObjectUrl,
        /// Where it stands.
        version: u64,
        /// How many versions were missed and made up for; not known when an earlier run is gone on with.
        #[serde(skip_serializing_if = "Option::is_none")]
        missed: Option<u64>,
    },
    /// A change is published, and durable if there is a store.
    Published {
        /// Its version.
        version: u64,
        /// The line it came from.
        line: u64,
    },
    /// A line was not carried out.
    Rejected {
        /// Which.
        line: u64,
        /// The protocol's code.
        code: u16,
        /// Why.
        reason: String,
    },
    /// The whole object.
    Snapshot {
        /// The object.
        url: &'a ObjectUrl,
        /// Its version.
        version: u64,
        /// Its data.
        data: &'a Value,
        /// Its children by name and id.
        children: Map<String, Value>,
    },
    /// One change.
    Change(UpdateBody),
    /// A whole state in place of changes that were missed.
    Resync {
        /// Its version.
        version: u64,
        /// Its data.
        data: &'a Value,
    },
    /// A child, or what happened to it.
    Child(ChildLine),
    /// The Reporter cannot be reached.
    Disconnected,
    /// The object is deleted.
    Deleted {
        /// The object.
        url: &'a ObjectUrl,
    },
    /// Who observes the object.
    Observers {
        /// In the order of their URLs.
        observers: Vec<ObserverLine>,
    },
    /// An observer is removed.
    Removed {
        /// Who.
        observer: &'a HypertyUrl,
        /// The line that asked for it.
        line: u64,
    },
    /// An observer asks for something to be done.
    Request {
        /// The number to answer it by.
        request: u64,
        /// Who.
        from: &'a Url,
        /// What.
        method: &'a str,
        /// With what.
        params: &'a [Value],
    },
    /// A request is answered.
    Answered {
        /// Its number.
        request: u64,
        /// The line that answers it.
        line: u64,
    },
    /// What the Reporter answered.
    Answer {
        /// What came of it.
        value: &'a Value,
    },
    /// This hyperty waits to be invited, or to be offered an object.
    Waiting {
        /// Under this address.
        hyperty: &'a HypertyUrl,
        /// The user that it acts for.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
    },
    /// Others may observe the object now, and are asked whether they want to.
    Inviting {
        /// Whom.
        invitees: &'a [Url],
        /// The line that asked for it.
        line: u64,
    },
    /// What one of them says.
    Invitee {
        /// Who.
        invitee: &'a HypertyUrl,
        /// The protocol's code: 100 arrived, 200 accepted, 406 declined, 408 not arrived yet or not decided.
        code: u16,
        /// In words.
        reason: &'a str,
        /// Whether there is more to come.
        provisional: bool,
    },
    /// An invitation is taken back.
    Revoked {
        /// Whose.
        invitee: &'a Url,
        /// The line that asked for it.
        line: u64,
    },
    /// This hyperty is invited to observe an object.
    Invited(NoticeLine),
    /// This hyperty is offered an object, to be its Reporter.
    Offered(NoticeLine),
    /// The object has another Reporter now, and is observed.
    Delegated {
        /// The object.
        url: &'a ObjectUrl,
        /// Who reports it.
        to: &'a HypertyUrl,
        /// The line that asked for it.
        line: u64,
    },
    /// An invitation was declined.
    Declined {
        /// The object.
        url: &'a ObjectUrl,
    },
    /// The message node keeps the object for the user's other devices.
    Backup {
        /// In which epoch it stands there.
        epoch: u64,
        /// At which version.
        version: u64,
    },
    /// Another hyperty of the same user has taken the object over.
    Deposed {
        /// The object.
        url: &'a ObjectUrl,
    },
    /// What a registry knows.
    Found(Box<FoundLine>),
    /// How something that was found is now.
    Status {
        /// What.
        url: &'a Url,
        /// `live`, `disconnected`, or `gone`.
        status: &'static str,
    },
    /// The observation ended.
    Closed {
        /// Why.
        reason: String,
    },
}

/// An observer in a line of output.
#[derive(Debug, Serialize)]
pub(crate) struct ObserverLine {
    pub(super) url: HypertyUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    pub(super) away: bool,
}

impl ObserverLine {
    /// An observer as it is.
    pub(crate) fn of(entry: ObserverEntry) -> ObserverLine {
        let ObserverEntry { url, identity, since, away } = entry;
        let user = identity.as_ref().and_then(Identity::user).map(str::to_owned);
        ObserverLine { url, user, since, away }
    }
}

/// A child in a line of output.
#[derive(Debug, Serialize)]
pub(crate) struct ChildLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) op: Option<&'static str>,
    pub(super) name: String,
    pub(super) id: String,
    reporter: HypertyUrl,
    version: u64,
    pub(super) data: Value,
}

impl ChildLine {
    /// A child as it is, and what was done to it if anything was.
    pub(crate) fn of(child: ChildView, op: Option<&'static str>) -> ChildLine {
        let ChildView { id, name, reporter, data, version, .. } = child;
        ChildLine { op, name: name.to_string(), id, reporter, version, data }
    }
}

impl<'a> Event<'a> {
    /// A change in the fields in which it travels. Who wrote it is known: the Reporter.
    pub(crate) fn change(change: &ChangeEvent) -> Option<Event<'a>> {
        let update = change.update()?;
        Some(Event::Change(UpdateBody {
            version: Some(change.version),
            epoch: update.epoch,
            last_modified: update.last_modified,
            ..UpdateBody::new(update.kind.clone())
        }))
    }

    /// A change of the metadata, which has a version like any other.
    pub(crate) fn metadata(attribute: String, value: Value, version: u64) -> Event<'a> {
        let update = UpdateBody::new(UpdateKind::Metadata { attribute, value });
        Event::Change(UpdateBody { version: Some(version), ..update })
    }

    /// What happened to a child.
    pub(crate) fn child(child: ChildEvent) -> Event<'a> {
        let ChildEvent { op, name, id, data, version, reporter } = child;
        let op = Some(op.as_str());
        Event::Child(ChildLine { op, name: name.to_string(), id, reporter, version, data })
    }

    /// The whole object.
    pub(crate) fn snapshot(
        url: &'a ObjectUrl,
        version: u64,
        data: &'a Value,
        children: &Children,
    ) -> Event<'a> {
        let mut by_name = Map::new();
        for (name, id, entry) in children.iter() {
            let child = &entry.value;
            let shown = json!({"reporter": child.reporter, "version": child.version, "data": child.data});
            let of_name = by_name.entry(name.to_string()).or_insert_with(|| json!({}));
            if let Value::Object(of_name) = of_name {
                of_name.insert(id.to_string(), shown);
            }
        }
        Event::Snapshot { url, version, data, children: by_name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(event: &Event<'_>) -> Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn a_change_has_the_fields_in_which_it_travels() {
        let update: UpdateBody = serde_json::from_value(json!({
            "version": 7, "attribute": "recent.3", "attributeType": "array", "operation": "add", "value": [1]
        }))
        .unwrap();
        let expected = json!({"event": "change", "version": 7, "attribute": "recent.3",
                              "attributeType": "array", "operation": "add", "value": [1]});
        assert_eq!(json(&Event::Change(update)), expected);
        let metadata = Event::metadata("name".to_owned(), json!("x"), 8);
        assert_eq!(json(&metadata)["attributeType"], "metadata");
    }

    #[test]
    fn the_word_of_the_event_comes_first() {
        let url = ObjectUrl::parse("comm://localhost/1").unwrap();
        let line = serde_json::to_string(&Event::Resumed { url: &url, version: 3, missed: None }).unwrap();
        assert_eq!(line, r#"{"event":"resumed","url":"comm://localhost/1","version":3}"#);
    }
}
