//! What a command says on stdout: one line per event, as JSON or for people.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use hyperty_model::change::ChangeOp;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::Children;
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Timestamp, Url};
use hyperty_runtime::syncher::{ChangeEvent, ChildEvent, ChildView, ObserverEntry};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line: for programs.
    #[value(alias = "json")]
    Ndjson,
    /// One readable line per event: for people.
    Text,
}

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
    /// The observation ended.
    Closed {
        /// Why.
        reason: String,
    },
}

/// An observer in a line of output.
#[derive(Debug, Serialize)]
pub(crate) struct ObserverLine {
    url: HypertyUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    away: bool,
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
    op: Option<&'static str>,
    name: String,
    id: String,
    reporter: HypertyUrl,
    version: u64,
    data: Value,
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

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Listening { url, domain, .. } => write!(f, "listening on {url} for {domain}"),
            Event::Authority { ca } => write!(f, "clients are to believe {ca}"),
            Event::Key { kid, private, public, .. } => {
                write!(f, "key {kid}: {private} issues tokens, {public} is for nodes")
            }
            Event::Token { kid, claims, valid } => {
                let valid = valid.map_or("not checked", |valid| if valid { "valid" } else { "not valid" });
                write!(f, "{valid}, of key {}: {claims:#}", kid.as_deref().unwrap_or("without a name"))
            }
            Event::Admin { url } => write!(f, "asked how it is at {url}"),
            Event::Created { url } => write!(f, "created {url}"),
            Event::Resumed { url, version, missed: None } => write!(f, "resumed {url} at v{version}"),
            Event::Resumed { url, version, missed: Some(missed) } => {
                write!(f, "resumed {url} at v{version}, {missed} made up for")
            }
            Event::Observers { observers } => {
                write!(f, "{} observe", observers.len())?;
                for ObserverLine { url, user, away, .. } in observers {
                    let user = user.as_deref().unwrap_or("unknown user");
                    write!(f, "\n{url} {user}{}", if *away { " (away)" } else { "" })?;
                }
                Ok(())
            }
            Event::Removed { observer, line } => write!(f, "removed {observer} (line {line})"),
            Event::Request { request, from, method, params } => {
                write!(f, "request {request} by {from}: {method} {}", Value::from(params.to_vec()))
            }
            Event::Answered { request, line } => write!(f, "answered request {request} (line {line})"),
            Event::Answer { value } => write!(f, "{value:#}"),
            Event::Published { version, line } => write!(f, "published v{version} (line {line})"),
            Event::Rejected { line, code, reason } => write!(f, "rejected line {line}: {code} {reason}"),
            Event::Snapshot { version, data, children, .. } => {
                write!(f, "v{version} {data:#}")?;
                for (name, of_name) in children {
                    for (id, child) in of_name.as_object().into_iter().flatten() {
                        write!(f, "\n{name} {id} {}", child["data"])?;
                    }
                }
                Ok(())
            }
            Event::Change(update) => show_change(f, update),
            Event::Resync { version, data } => write!(f, "v{version} whole state: {data:#}"),
            Event::Child(ChildLine { op, name, id, data, .. }) => {
                write!(f, "{name} {id} {}{data}", op.map(|op| format!("{op} ")).unwrap_or_default())
            }
            Event::Disconnected => f.write_str("the reporter cannot be reached"),
            Event::Deleted { url } => write!(f, "deleted {url}"),
            Event::Closed { reason } => write!(f, "closed: {reason}"),
        }
    }
}

fn show_change(f: &mut fmt::Formatter<'_>, update: &UpdateBody) -> fmt::Result {
    write!(f, "v{} ", update.version.unwrap_or_default())?;
    match &update.kind {
        UpdateKind::Change(change) => {
            let path = change.path.as_str();
            match &change.op {
                ChangeOp::Set(value) | ChangeOp::ReplaceElement(value) => write!(f, "{path} = {value}"),
                ChangeOp::Delete => write!(f, "{path} deleted"),
                ChangeOp::Insert(values) => write!(f, "{path} inserted {}", json!(values)),
                ChangeOp::Remove(1) => write!(f, "{path} removed"),
                ChangeOp::Remove(count) => write!(f, "{path} and what follows removed, {count} elements"),
            }
        }
        UpdateKind::Metadata { attribute, value } => write!(f, "{attribute} of the object = {value}"),
        _ => f.write_str("no change"),
    }
}

/// The only writer of stdout.
pub(crate) struct Output {
    format: Format,
    reader_left: AtomicBool,
}

impl Output {
    /// In this form; if none is chosen, for people on a terminal and for programs elsewhere.
    pub(crate) fn new(format: Option<Format>) -> Output {
        let at_terminal = if io::stdout().is_terminal() { Format::Text } else { Format::Ndjson };
        Output { format: format.unwrap_or(at_terminal), reader_left: AtomicBool::new(false) }
    }

    /// The form.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a line at once; `false` if nobody reads any more, which is no error.
    pub(crate) fn emit(&self, event: &Event<'_>) -> bool {
        match self.format {
            Format::Text => self.line(&event.to_string()),
            Format::Ndjson => self.json(event),
        }
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> bool {
        match serde_json::to_string(value) {
            Ok(line) => self.line(&line),
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                true
            }
        }
    }

    /// Writes a line of text.
    pub(crate) fn line(&self, line: &str) -> bool {
        if self.reader_left.load(Ordering::Relaxed) {
            return false;
        }
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        if let Err(error) = &written {
            self.reader_left.store(true, Ordering::Relaxed);
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::error!(%error, "cannot write to stdout");
            }
        }
        written.is_ok()
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
