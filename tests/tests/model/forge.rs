//! Messages by those who must not send them: nothing of them may be seen anywhere (I12).

use bytes::Bytes;
use hyperty_conformance::peer::Peer;
use hyperty_conformance::reference::Violation;
use hyperty_conformance::world::DOMAIN;
use hyperty_model::message::{Limits, MESSAGE_BYTES_MAX};
use hyperty_model::{ChildrenName, Message, Url};
use serde_json::{Value, json};

use crate::children;
use crate::command::Forgery;
use crate::system::System;

/// Every this many oversized messages is one that is really as large as none may be; the others are cheap.
const LARGE: u64 = 8;

impl System {
    pub(crate) async fn forge(&mut self, who: usize, board: usize, how: Forgery) -> Result<(), Violation> {
        self.forged += 1;
        let marker = format!("forged-{}", self.forged);
        let Some(message) = self.forgery(who, board, how, &marker) else { return Ok(()) };
        self.boards[board].reference.hostile(marker);
        match how {
            Forgery::Stale
            | Forgery::ForeignEpoch
            | Forgery::ForeignSource
            | Forgery::ForeignChild
            | Forgery::NoBody => self.hand_in(who, &message),
            _ => self.send_as_stranger(message).await,
        }
        Ok(())
    }

    /// The creations of children that were deleted come once more, as from a writer that never heard the answer: ids are
    /// used once (I9, protocol 5.9.4).
    pub(crate) fn create_again(&mut self) {
        for number in 0..self.boards.len() {
            for (id, writer) in self.boards[number].reference.deleted_children() {
                let Some((name, id)) = id.split_once('/') else { continue };
                self.forged += 1;
                let (marker, board) = (format!("forged-{}", self.forged), &mut self.boards[number]);
                let value = json!({"url": id, "parent": board.url, "reporter": writer, "version": 0,
                    "data": {"v": marker}});
                let create = json!({
                    "id": format!("f-{marker}"), "type": "create", "from": writer,
                    "to": board.url.children(&ChildrenName::new(name).expect("a name of the schema")),
                    "body": {"resource": id, "value": value},
                });
                board.reference.hostile(marker);
                let owner = board.owner;
                self.hand_in(owner, &create.to_string());
            }
        }
    }

    /// At the bus of a party, as if it came from its node.
    fn hand_in(&self, who: usize, message: &str) {
        let Ok(decoded) = Message::from_frame(Bytes::from(message.to_owned()), &Limits::default()) else {
            return;
        };
        let stub: Url = format!("hyperty-runtime://{DOMAIN}/protostub/forged").parse().expect("a URL");
        for message in decoded {
            self.member(who).runtime.bus().receive(&stub, message);
        }
    }

    /// In a session of a stranger.
    async fn send_as_stranger(&self, message: String) {
        let Some(node) = self.world.node() else { return };
        let mut stranger = Peer::open(&node, &format!("mallory-{}", self.forged)).await;
        stranger.send_text(message).await;
        stranger.drain().await;
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm for each forgery")]
    fn forgery(&self, who: usize, number: usize, how: Forgery, marker: &str) -> Option<String> {
        let board = &self.boards[number];
        let (object, changes) = (board.url.as_str(), board.url.changes());
        let stranger = format!("hyperty://{DOMAIN}/mallory");
        let notes = format!("{object}/children/{}", children::NAMES[0]);
        let (party, manager) = (self.member(who).who(), self.member(who).runtime.url().sync_manager());
        let observed = board.seats[who].watch.as_ref().map(|watch| watch.observer.position());
        let latest = board.reference.latest();
        let message = |kind: &str, from: &str, to: &str, body: Value| {
            Some(
                json!({"id": format!("f-{marker}"), "type": kind, "from": from, "to": to, "body": body})
                    .to_string(),
            )
        };
        let change = |version: u64, source: &str| json!({"version": version, "source": source, "attribute": "a", "value": marker});
        let next = change(latest.version + 1, &board.owner_who);
        let child = || {
            let notes = board.children(board.owner, children::NAMES[0])?;
            notes.list().first().map(|child| (child.id.clone(), child.version, child.reporter.to_string()))
        };
        let edit = |id: &str, version: u64| json!({"resource": id, "version": version + 1, "attribute": "v", "value": marker});
        let made = |id: &str| {
            let value = json!({"url": id, "parent": object, "reporter": stranger, "version": 0,
                "data": {"v": marker}});
            json!({"resource": id, "value": value})
        };
        match how {
            Forgery::UpdateAsObject => message("update", object, changes.as_str(), next),
            // A hyperty's address is anybody's until it has spoken in a session; that of a runtime is its own.
            Forgery::UpdateAsParty => message("update", manager.as_str(), changes.as_str(), next),
            Forgery::StrangersChild => message("create", &stranger, &notes, made(&format!("{stranger}#1"))),
            Forgery::StrangersEdit => {
                let (id, version, _) = child()?;
                message("update", &stranger, &notes, edit(&id, version))
            }
            Forgery::StrangersDelete => message("delete", &stranger, &notes, json!({"resource": child()?.0})),
            Forgery::DeleteObject => message("delete", object, changes.as_str(), json!({"resource": object})),
            Forgery::UnsubscribeOther => {
                let body = json!({"source": party, "resource": object});
                message("unsubscribe", &stranger, board.url.subscription().as_str(), body)
            }
            Forgery::Answer => {
                let value = json!({"url": object, "data": {"a": marker}, "version": latest.version + 5});
                let body = json!({"code": 200, "value": value, "source": board.owner_who});
                let id = self.forged * 7 % 60;
                let answer =
                    json!({"id": id, "type": "response", "from": object, "to": manager, "body": body});
                Some(answer.to_string())
            }
            Forgery::UnknownType => message("invent", &stranger, object, json!({"value": marker})),
            Forgery::Malformed => {
                Some(format!("{{\"id\":1,\"type\":\"update\",\"to\":\"{changes}\",\"{marker}"))
            }
            Forgery::Deep => {
                let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
                Some(format!(
                    r#"{{"id":1,"type":"read","from":"{stranger}","to":"{object}","body":{{"a":{deep}}}}}"#
                ))
            }
            Forgery::Oversized => {
                let size = if self.forged.is_multiple_of(LARGE) { MESSAGE_BYTES_MAX } else { 100_000 };
                message("read", &stranger, object, json!({"a": "x".repeat(size)}))
            }
            Forgery::Stale => {
                let version = observed?.version;
                message("update", object, changes.as_str(), change(version, &board.owner_who))
            }
            Forgery::ForeignEpoch => {
                let at = observed?;
                let mut change = change(at.version + 1, &board.owner_who);
                change["epoch"] = json!(at.epoch + 5);
                message("update", object, changes.as_str(), change)
            }
            Forgery::ForeignSource => {
                message("update", object, changes.as_str(), change(observed?.version + 1, &stranger))
            }
            Forgery::ForeignChild => {
                let (id, version, reporter) = child()?;
                let other = if reporter == party { board.owner_who.clone() } else { party };
                let to = if other == reporter { return None } else { &notes };
                observed?;
                message("update", &other, to, edit(&id, version))
            }
            Forgery::NoBody => {
                let body = json!({"version": "next", "source": 7, "attribute": [], "value": marker});
                message("update", object, changes.as_str(), body)
            }
        }
    }
}
