//! What the backup is asked for, and who may.

use std::sync::Arc;

use hyperty_model::message::{BackupBody, BackupEntry, BackupSide, ResponseBody};
use hyperty_model::{Identity, Message, MessageType, ObjectUrl, RuntimeUrl, StatusCode, Url};
use hyperty_registry::{RegistrationStatus, StatusEvent};
use hyperty_storage::Ticket;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::row::{Row, bare};
use super::table::Removal;
use super::uploads::Progress;
use crate::authority::Holder;
use crate::metrics::{Asked, Service};
use crate::node::Core;
use crate::session::Session;

/// Records in one answer to a list: with the longest URLs two thirds of a message.
const LIST_PAGE: usize = 128;

/// An answer, and what has to be durable before it is sent.
type Answer = Result<(ResponseBody, Ticket), Refusal>;

impl Core {
    pub(in crate::components) fn serve_backup(&self, session: &Arc<Session>, message: &Message) {
        if !self.config.backup {
            let text = "this node keeps no backups";
            return self.refuse(session, message, StatusCode::NOT_IMPLEMENTED, "backup", text);
        }
        let asked = Asked::now(Service::Backup);
        let (body, ticket) = self.answer_backup(session, message).unwrap_or_else(|refusal| {
            self.counters.refused.add(1);
            (refusal.into(), Ticket::default())
        });
        self.answer_when_durable(session, message, self.marked(body), ticket, asked);
    }

    fn answer_backup(&self, session: &Session, message: &Message) -> Answer {
        let body = message.decode::<BackupBody>().map_err(|error| Refusal::Malformed(error.to_string()))?;
        let user = user_of(session, body.user.as_ref())?;
        match (message.kind(), &body.resource) {
            (MessageType::Create, _) => self.take_backup(session, user, &body),
            (MessageType::Delete, Some(object)) => self.remove_backup(session, &user, object, &body),
            (MessageType::Read, Some(object)) => self.give_backup(session, &user, object, &body),
            (MessageType::Read, None) => Ok(self.list_backups(&user, &body)),
            (MessageType::Delete, None) => Err(missing("resource")),
            (other, _) => {
                Err(Refusal::Malformed(format!("a backup takes create, delete and read, not {other}")))
            }
        }
    }

    /// A record, or a part of one.
    fn take_backup(&self, session: &Session, user: Identity, body: &BackupBody) -> Answer {
        let text = body.text.as_deref().ok_or_else(|| missing("text"))?;
        let number = |number: Option<u64>, what| {
            let number = number.ok_or_else(|| missing(what))?;
            usize::try_from(number).map_err(|_| Refusal::Malformed(format!("{what} is out of range")))
        };
        let part = body.part.map_or(Ok(1), |part| number(Some(part), "part"))?;
        if part != 1 {
            let transfer = body.transfer.as_deref().ok_or_else(|| missing("transfer"))?;
            let taken =
                self.uploads.take(&session.runtime, transfer, part, text, &self.config.limits.backup)?;
            return match taken {
                Progress::Waiting => Ok((part_taken(part), Ticket::default())),
                Progress::Whole(row, text) => self.keep_backup(session, *row, text),
            };
        }
        let parts = body.parts.map_or(Ok(1), |parts| number(Some(parts), "parts"))?;
        if parts == 0 {
            return Err(Refusal::Malformed("a record has one part at least".to_owned()));
        }
        let row = Row {
            resource: body.resource.clone().ok_or_else(|| missing("resource"))?,
            role: body.role,
            user,
            runtime: session.runtime.clone(),
            position: body.position.ok_or_else(|| missing("version"))?,
            bytes: body.bytes.unwrap_or(text.len() as u64),
            parts: 0,
            save: 0,
            ticket: Ticket::default(),
        };
        if parts > 1 {
            let transfer = body.transfer.as_deref().ok_or_else(|| missing("transfer"))?;
            // Who is refused shall know before the rest is on its way.
            self.check_backup(session, &row)?;
            self.uploads.begin(row, transfer, parts, text, &self.config.limits.backup)?;
            return Ok((part_taken(part), Ticket::default()));
        }
        if row.bytes != text.len() as u64 {
            let text = format!("{} bytes have come of {}", text.len(), row.bytes);
            return Err(Refusal::Malformed(text));
        }
        self.keep_backup(session, row, text.to_owned())
    }

    fn keep_backup(&self, session: &Session, row: Row, text: String) -> Answer {
        self.check_backup(session, &row)?;
        let position = row.position;
        let ticket = self.backup.save(row, text)?;
        self.counters.backed_up.add(1);
        let mut body = ResponseBody::ok();
        body.extra.insert("kept".to_owned(), json!(position));
        Ok((body, ticket))
    }

    /// Whether the session may save such a record now: an object is saved by who has it.
    fn check_backup(&self, session: &Session, row: &Row) -> Result<(), Refusal> {
        if row.role == BackupSide::Reporter {
            let object = row.resource.as_url();
            if !row.resource.home().eq_ignore_ascii_case(&self.config.domain) {
                return Err(Refusal::Forbidden("an object of another domain"));
            }
            if self.is_deleted(object) {
                return Err(Refusal::Gone);
            }
            let registered = || self.registry.owner(object).map(|(runtime, _)| runtime);
            let own = match self.holder(object) {
                Holder::Session(holder) => *holder.session == *session,
                Holder::Runtime(owner) => owner == session.runtime,
                Holder::Nobody => registered().is_some_and(|owner| owner == session.runtime),
            };
            if !own {
                // Who was overtaken shall hear that, rather than that it is a stranger.
                self.backup.check(row)?;
                return Err(Refusal::Forbidden("an object that another runtime has"));
            }
        }
        self.backup.check(row)
    }

    fn remove_backup(
        &self,
        session: &Session,
        user: &Identity,
        object: &ObjectUrl,
        body: &BackupBody,
    ) -> Answer {
        let removal = Removal {
            role: body.role,
            object,
            user,
            of: body.runtime.as_ref().unwrap_or(&session.runtime),
            by: &session.runtime,
            epoch: body.position.map_or(0, |position| position.epoch),
        };
        Ok((ResponseBody::ok(), self.backup.remove(&removal)?))
    }

    /// A part of a record: the first if none is named.
    fn give_backup(
        &self,
        session: &Session,
        user: &Identity,
        object: &ObjectUrl,
        body: &BackupBody,
    ) -> Answer {
        let runtime = body.runtime.as_ref().unwrap_or(&session.runtime);
        let row = self.backup.find(body.role, object, runtime, user)?;
        if body.transfer.as_ref().is_some_and(|transfer| *transfer != row.transfer()) {
            return Err(Refusal::Transfer);
        }
        let number = body.part.unwrap_or(1);
        let mut answer = ResponseBody::ok();
        let mut put = |key: &str, value: Value| drop(answer.extra.insert(key.to_owned(), value));
        put("text", self.backup.part(&row, number)?.into());
        put("part", number.into());
        if number == 1 {
            put("parts", row.parts.into());
            put("bytes", row.bytes.into());
            put("transfer", row.transfer().into());
        }
        Ok((answer, row.ticket))
    }

    fn list_backups(&self, user: &Identity, body: &BackupBody) -> (ResponseBody, Ticket) {
        let found = self.backup.list(body.role, user, body.after.as_deref(), LIST_PAGE);
        let ticket = found.iter().map(|(_, row)| row.ticket).max().unwrap_or_default();
        let more = found.last().filter(|_| found.len() == LIST_PAGE).map(|(key, _)| key.clone());
        let entries = found.into_iter().map(|(_, row)| BackupEntry {
            resource: row.resource,
            runtime: row.runtime,
            position: row.position,
            bytes: row.bytes,
        });
        let mut answer = ResponseBody::ok().with_value(json!(entries.collect::<Vec<_>>()));
        if let Some(more) = more {
            answer.extra.insert("more".to_owned(), more.into());
        }
        (answer, ticket)
    }

    /// Whether a session may register an object first whose address another runtime was given: the devices of one user
    /// go on for each other, unless that runtime is there.
    pub(in crate::components) fn may_go_on_for(
        &self,
        session: &Session,
        owner: &RuntimeUrl,
        object: &Url,
        named: Option<&Identity>,
    ) -> bool {
        if self.directory.with_sessions(|sessions| sessions.get(owner)).is_some() {
            return false;
        }
        let Ok(user) = user_of(session, named) else { return false };
        let same_user = session.who().is_some_and(|who| self.owners.is_of(owner, who));
        let object = ObjectUrl::try_from(object.clone());
        same_user || object.is_ok_and(|object| self.backup.belongs_to(&object, owner, &user))
    }

    /// What is deleted for good is nobody's to go on with (INV-DEL-3), whatever becomes of who deleted it.
    pub(in crate::components) fn forget_backup_of(&self, event: &StatusEvent) {
        if event.status == RegistrationStatus::Deleted
            && let Ok(object) = ObjectUrl::try_from(event.url.clone())
        {
            self.backup.forget_object(&object);
        }
    }

    /// Gives up records that were under way and did not go on.
    pub(crate) fn expire_uploads(&self) {
        self.uploads.expire(self.config.limits.backup.upload_kept);
    }
}

/// Whose records a session may have: those of its user; where nobody is asked who it is, of whom it names.
fn user_of(session: &Session, named: Option<&Identity>) -> Result<Identity, Refusal> {
    match (session.who(), named) {
        (Some(who), Some(named)) if !who.identity().same_user(named) => {
            Err(Refusal::Forbidden("a session has the records of its own user"))
        }
        (Some(who), _) => bare(who.identity()).ok_or_else(|| missing("user")),
        (None, named) => named.and_then(bare).ok_or_else(|| missing("user")),
    }
}

fn part_taken(part: usize) -> ResponseBody {
    let mut body = ResponseBody::ok();
    body.extra.insert("part".to_owned(), part.into());
    body
}

fn missing(member: &str) -> Refusal {
    Refusal::Malformed(format!("Bad Request: Missing {member}"))
}
