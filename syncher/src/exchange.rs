//! Reading what the Sync Manager answers.

use std::time::Duration;

use hyperty_model::message::{ObserverValue, ReadBody, ReadCriteria, ResponseBody, UpdateBody};
use hyperty_model::object::Children;
use hyperty_model::{ChildrenName, MessageType, ObjectUrl, Position, Snapshot, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::core::Core;

/// The valid ones among the names in an answer.
pub(crate) fn children_names(names: Option<&[String]>) -> Vec<ChildrenName> {
    names.unwrap_or_default().iter().filter_map(|name| ChildrenName::new(name).ok()).collect()
}

/// A snapshot, and the children names that may stand in it.
pub(crate) fn snapshot(value: &Value) -> Result<(Snapshot, Vec<ChildrenName>), String> {
    let snapshot = Snapshot::deserialize(value).map_err(|error| format!("snapshot: {error}"))?;
    let names = value.get("childrenResources").and_then(|names| Vec::<String>::deserialize(names).ok());
    Ok((snapshot, children_names(names.as_deref())))
}

/// Who observes, as a Reporter is told when an object becomes its own or is resumed.
pub(crate) fn observers(value: &Value) -> Vec<ObserverValue> {
    let list = value.get("observers").and_then(|list| Vec::deserialize(list).ok());
    list.unwrap_or_default()
}

/// What a repair brings.
pub(crate) enum Repair {
    /// What was missing.
    Changes {
        /// Where the changes lead.
        to: Position,
        /// In order.
        changes: Vec<UpdateBody>,
        /// The children that changed meanwhile.
        children: Option<Children>,
    },
    /// The whole object.
    Whole(Box<Snapshot>, Vec<ChildrenName>),
}

/// Why a repair brought nothing.
#[derive(Debug)]
pub(crate) enum NotRepaired {
    /// Not now: ask again.
    Later,
    /// This hyperty may not read the object.
    Refused(StatusCode, String),
    /// The object is gone.
    Gone,
}

impl Core {
    /// Asks the Sync Manager for what came after a position, or for the whole object.
    pub(crate) async fn read(
        &self,
        object: &ObjectUrl,
        since: Option<Position>,
    ) -> Result<Repair, NotRepaired> {
        let body = ReadBody {
            resource: Some(object.clone()),
            // With criteria even for everything: the copy of the Sync Manager is what is asked for (M7).
            criteria: Some(ReadCriteria { since }),
            identity: self.config.identity.clone(),
            ..ReadBody::default()
        };
        let request = self.ask(MessageType::Read, body).timeout(self.config.timeouts.repair);
        let answer = request.await;
        let Ok(body) = answer.decode::<ResponseBody>() else { return Err(NotRepaired::Later) };
        let reason = || body.why().to_owned();
        match body.code {
            code if code.is_success() => repair_of(&body).map_err(|error| {
                tracing::warn!(%object, error, "the answer to a read makes no sense");
                NotRepaired::Later
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(NotRepaired::Refused(body.code, reason()))
            }
            // Without a way to the object nobody knows whether it is gone (protocol M12).
            StatusCode::NOT_FOUND if body.reason.as_deref() == Some("no-route") => Err(NotRepaired::Later),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(NotRepaired::Gone),
            _ => Err(NotRepaired::Later),
        }
    }
}

pub(crate) fn repair_of(body: &ResponseBody) -> Result<Repair, String> {
    if body.recovered == Some(true) {
        let version = body.version.ok_or("no version")?;
        let to = Position::new(body.epoch.unwrap_or(0), version);
        let changes = body.changes.clone().unwrap_or_default();
        return Ok(Repair::Changes { to, changes, children: changed_children(body)? });
    }
    let value = body.value.as_ref().ok_or("no value")?;
    let (snapshot, mut names) = snapshot(value)?;
    names.extend(children_names(body.children_resources.as_deref()));
    Ok(Repair::Whole(Box::new(snapshot), names))
}

fn changed_children(body: &ResponseBody) -> Result<Option<Children>, String> {
    let members = ["childrenObjects", "childrenDeleted"];
    let members = members.iter().filter_map(|key| Some(((*key).to_owned(), body.extra.get(*key)?.clone())));
    let members: Map<String, Value> = members.collect();
    if members.is_empty() {
        return Ok(None);
    }
    Children::deserialize(Value::Object(members)).map(Some).map_err(|error| format!("children: {error}"))
}

/// Growing pauses between tries.
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(core: &Core) -> Backoff {
        let timeouts = &core.config.timeouts;
        Backoff { next: timeouts.repair_backoff, max: timeouts.repair_backoff_max }
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.max);
    }
}
