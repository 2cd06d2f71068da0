//! The backup that a domain's message node keeps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use hyperty_message_bus::MessageBus;
use hyperty_model::message::{BackupBody, BackupEntry, BackupSide, ResponseBody};
use hyperty_model::parts::{Cut, Joined, Piece, READ_PART, WHOLE_BYTES_MAX};
use hyperty_model::url::node;
use hyperty_model::{Identity, MessageType, RuntimeUrl, StatusCode, Url, UrlError};
use hyperty_storage::{ObjectRecord, Role};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{Backup, BackupError, BackupKey};

/// How long one answer may take: far more than a node needs that is there, and less than whoever resumes waits.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Parts of one record that are under way at a time: 800 kB, so that what else the connection carries does not wait.
const PARTS_IN_FLIGHT: usize = 4;

/// Most records of a list that are looked at: what a node keeps of one user, and more would not be resumed at once.
const LIST_MAX: usize = 10_000;

/// The records that message nodes keep for the devices of their users (protocol 5.19). Cloning it is a reference count.
#[derive(Clone)]
pub struct NodeBackup {
    bus: MessageBus,
    from: Url,
}

impl NodeBackup {
    /// Asks in the name of `<RuntimeURL>/backup`.
    ///
    /// # Errors
    /// [`UrlError`] when the runtime's URL is too long to have components.
    pub fn new(bus: MessageBus, runtime: &RuntimeUrl) -> Result<NodeBackup, UrlError> {
        Ok(NodeBackup { bus, from: runtime.as_url().join("backup")? })
    }

    async fn ask(
        &self,
        kind: MessageType,
        domain: &str,
        body: BackupBody,
    ) -> Result<Arc<ResponseBody>, BackupError> {
        let to = node::backup(domain).map_err(|error| BackupError::Unreachable(error.to_string()))?;
        let message = self.bus.new_message(kind, &self.from, &to, body);
        let answer = self.bus.request(message).timeout(ANSWER_WAIT).await;
        let answer =
            answer.decode::<ResponseBody>().map_err(|error| BackupError::Unusable(error.to_string()))?;
        let why = || answer.why().to_owned();
        match (answer.code, answer.reason.as_deref()) {
            (code, _) if code.is_success() => Ok(answer),
            (StatusCode::CONFLICT, _) => Err(BackupError::Outdated(why())),
            // What was under way is not known any more, or is another by now: begin anew.
            (StatusCode::NOT_FOUND, Some("transfer" | "no-route")) => Err(BackupError::Unreachable(why())),
            (StatusCode::NOT_FOUND, _) => Err(BackupError::Unusable(why())),
            (StatusCode::TIMEOUT | StatusCode::INTERNAL | StatusCode::BACKEND_UNREACHABLE, _) => {
                Err(BackupError::Unreachable(why()))
            }
            _ => Err(BackupError::Refused(why())),
        }
    }

    async fn save_text(&self, head: BackupBody, domain: &str, text: String) -> Result<(), BackupError> {
        let bytes = text.len();
        if bytes > WHOLE_BYTES_MAX {
            let text = format!("a record of {bytes} bytes, and {WHOLE_BYTES_MAX} are the most");
            return Err(BackupError::Refused(text));
        }
        let cut = Cut::new(Bytes::from(text), READ_PART);
        let cut = Arc::new(cut.map_err(|error| BackupError::Unusable(error.to_string()))?);
        let parts = cut.len();
        // Names of a bus are not used again, also after a restart.
        let transfer = (parts > 1).then(|| self.bus.next_id().to_string());
        let first = BackupBody {
            parts: Some(parts as u64),
            bytes: Some(bytes as u64),
            transfer: transfer.clone(),
            ..head.clone()
        };
        // Whoever is refused hears it now.
        let mut kept = self.send_part(domain, first, &cut, 1).await?;
        let mut under_way = JoinSet::new();
        let mut wanted = 2..=parts;
        loop {
            while under_way.len() < PARTS_IN_FLIGHT {
                let Some(number) = wanted.next() else { break };
                let (backup, cut, domain) = (self.clone(), Arc::clone(&cut), domain.to_owned());
                let body = BackupBody {
                    user: head.user.clone(),
                    role: head.role,
                    transfer: transfer.clone(),
                    ..BackupBody::default()
                };
                under_way.spawn(async move { backup.send_part(&domain, body, &cut, number).await });
            }
            match under_way.join_next().await {
                Some(sent) => {
                    kept |= sent.map_err(|error| BackupError::Unreachable(error.to_string()))??;
                }
                None if kept => return Ok(()),
                None => return Err(BackupError::Unusable("the whole was not acknowledged".to_owned())),
            }
        }
    }

    /// Sends a part; whether the whole is kept with it.
    async fn send_part(
        &self,
        domain: &str,
        body: BackupBody,
        cut: &Cut,
        number: usize,
    ) -> Result<bool, BackupError> {
        let text = cut.piece(number).map(ToOwned::to_owned);
        let body = BackupBody { part: Some(number as u64), text, ..body };
        let answer = self.ask(MessageType::Create, domain, body).await?;
        Ok(answer.extra.contains_key("kept"))
    }

    async fn fetch_text(&self, head: BackupBody, domain: &str) -> Result<String, BackupError> {
        let unusable = |error: &dyn std::fmt::Display| BackupError::Unusable(error.to_string());
        let first = self.fetch_part(domain, head.clone(), 1).await?;
        let number = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let (parts, bytes) = (number(first.parts), number(first.bytes));
        let mut joined = Joined::new(parts, bytes, WHOLE_BYTES_MAX).map_err(|error| unusable(&error))?;
        joined.put(1, &first.text).map_err(|error| unusable(&error))?;
        let mut under_way = JoinSet::new();
        let mut wanted = 2..=parts;
        loop {
            while under_way.len() < PARTS_IN_FLIGHT {
                let Some(number) = wanted.next() else { break };
                let (backup, domain) = (self.clone(), domain.to_owned());
                let body = BackupBody { transfer: first.transfer.clone(), ..head.clone() };
                under_way.spawn(async move { backup.fetch_part(&domain, body, number as u64).await });
            }
            let Some(fetched) = under_way.join_next().await else { break };
            let piece = fetched.map_err(|error| unusable(&error))??;
            joined.put(number(Some(piece.part)), &piece.text).map_err(|error| unusable(&error))?;
        }
        joined.finish().map_err(|error| unusable(&error))
    }

    async fn fetch_part(&self, domain: &str, body: BackupBody, number: u64) -> Result<Piece, BackupError> {
        let body = BackupBody { part: Some(number), ..body };
        let answer = self.ask(MessageType::Read, domain, body).await?;
        let piece = Piece::of(&answer).filter(|piece| piece.part == number);
        piece.ok_or_else(|| BackupError::Unusable("an answer without the part asked for".to_owned()))
    }

    async fn list_all(
        &self,
        domain: &str,
        user: &Identity,
        role: Role,
    ) -> Result<Vec<BackupKey>, BackupError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let body = BackupBody {
                role: side(role),
                user: Some(user.clone()),
                after: after.take(),
                ..BackupBody::default()
            };
            let answer = self.ask(MessageType::Read, domain, body).await?;
            let entries = answer.value.as_ref().map(Vec::<BackupEntry>::deserialize);
            let entries = entries.and_then(Result::ok);
            let entries = entries.ok_or_else(|| BackupError::Unusable("a list that is none".to_owned()))?;
            let entry = |entry: BackupEntry| BackupKey {
                domain: domain.to_owned(),
                role,
                object: entry.resource,
                runtime: entry.runtime,
                position: entry.position,
            };
            let some = !entries.is_empty();
            found.extend(entries.into_iter().map(entry));
            after = answer.extra.get("more").and_then(|more| more.as_str()).map(ToOwned::to_owned);
            if after.is_none() || !some || found.len() >= LIST_MAX {
                return Ok(found);
            }
        }
    }
}

impl Backup for NodeBackup {
    fn save<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
        record: &'a ObjectRecord,
    ) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(self.save_text(body(user, key), &key.domain, record.to_portable()))
    }

    fn remove<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
    ) -> BoxFuture<'a, Result<(), BackupError>> {
        Box::pin(async move {
            match self.ask(MessageType::Delete, &key.domain, body(user, key)).await {
                Ok(_) | Err(BackupError::Unusable(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn list<'a>(
        &'a self,
        domain: &'a str,
        user: &'a Identity,
        role: Role,
    ) -> BoxFuture<'a, Result<Vec<BackupKey>, BackupError>> {
        Box::pin(self.list_all(domain, user, role))
    }

    fn fetch<'a>(
        &'a self,
        user: &'a Identity,
        key: &'a BackupKey,
    ) -> BoxFuture<'a, Result<ObjectRecord, BackupError>> {
        Box::pin(async move {
            let text = self.fetch_text(body(user, key), &key.domain).await?;
            let record = ObjectRecord::from_portable(&text)
                .map_err(|error| BackupError::Unusable(error.to_string()))?;
            if record.role != key.role || record.metadata.url != key.object {
                return Err(BackupError::Unusable(format!("it holds {}", record.metadata.url)));
            }
            Ok(record)
        })
    }
}

fn side(role: Role) -> BackupSide {
    match role {
        Role::Reporter => BackupSide::Reporter,
        Role::Observer => BackupSide::Observer,
    }
}

fn body(user: &Identity, key: &BackupKey) -> BackupBody {
    BackupBody {
        resource: Some(key.object.clone()),
        role: side(key.role),
        user: Some(user.clone()),
        runtime: Some(key.runtime.clone()),
        position: Some(key.position),
        ..BackupBody::default()
    }
}
