//! Events for people.

use std::fmt;

use hyperty_model::Url;
use hyperty_model::change::ChangeOp;
use hyperty_model::message::{UpdateBody, UpdateKind};
use serde_json::{Map, Value, json};

use super::{ChildLine, Event, ObserverLine};

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
            Event::Observers { observers } => show_observers(f, observers),
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
                show_children(f, children)
            }
            Event::Change(update) => show_change(f, update),
            Event::Resync { version, data } => write!(f, "v{version} whole state: {data:#}"),
            Event::Child(ChildLine { op, name, id, data, .. }) => {
                write!(f, "{name} {id} {}{data}", op.map(|op| format!("{op} ")).unwrap_or_default())
            }
            Event::Disconnected => f.write_str("the reporter cannot be reached"),
            Event::Deleted { url } => write!(f, "deleted {url}"),
            Event::Waiting { hyperty, user } => {
                write!(
                    f,
                    "waiting as {hyperty}{}",
                    user.map(|user| format!(" of {user}")).unwrap_or_default()
                )
            }
            Event::Inviting { invitees, line } => write!(f, "inviting {} (line {line})", Listed(invitees)),
            Event::Invitee { invitee, code, reason, provisional } => {
                write!(f, "{invitee} says {code} {reason}{}", if *provisional { ", for now" } else { "" })
            }
            Event::Revoked { invitee, line } => write!(f, "taken back from {invitee} (line {line})"),
            Event::Invited(notice) => write!(f, "invited to {notice}"),
            Event::Offered(notice) => write!(f, "offered {notice}"),
            Event::Delegated { url, to, line } => write!(f, "{url} is reported by {to} now (line {line})"),
            Event::Declined { url } => write!(f, "declined {url}"),
            Event::Backup { epoch, version } => {
                write!(f, "kept by the node at version {version} (epoch {epoch})")
            }
            Event::Deposed { url } => write!(f, "another hyperty of the user has taken over {url}"),
            Event::Found(found) => write!(f, "{found}"),
            Event::Status { url, status } => write!(f, "{url} is {status}"),
            Event::Closed { reason } => write!(f, "closed: {reason}"),
        }
    }
}

fn show_observers(f: &mut fmt::Formatter<'_>, observers: &[ObserverLine]) -> fmt::Result {
    write!(f, "{} observe", observers.len())?;
    for ObserverLine { url, user, away, .. } in observers {
        let user = user.as_deref().unwrap_or("unknown user");
        write!(f, "\n{url} {user}{}", if *away { " (away)" } else { "" })?;
    }
    Ok(())
}

/// A line for each, by name and id.
fn show_children(f: &mut fmt::Formatter<'_>, children: &Map<String, Value>) -> fmt::Result {
    for (name, of_name) in children {
        for (id, child) in of_name.as_object().into_iter().flatten() {
            write!(f, "\n{name} {id} {}", child["data"])?;
        }
    }
    Ok(())
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

/// Some URLs.
struct Listed<'a>(&'a [Url]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, url) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{url}")?;
        }
        Ok(())
    }
}
