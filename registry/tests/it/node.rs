//! A domain registry with a clock of its own and a record of its events.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Identity, Message, MessageType, RuntimeUrl, StatusCode, Timestamp, Url};
use hyperty_registry::{RegistryLimits, RegistryTable, StatusEvent};
use hyperty_storage::{MemoryTables, StorageError};
use serde_json::{Value, json};

pub(crate) const ALICE: &str = "user://example.com/alice";
pub(crate) const STANDUP: &str = "comm://example.com/standup";

pub(crate) struct Node {
    pub(crate) tables: Arc<MemoryTables>,
    pub(crate) table: RegistryTable,
    pub(crate) now: Timestamp,
    limits: RegistryLimits,
    events: Vec<StatusEvent>,
}

impl Node {
    pub(crate) fn new() -> Node {
        Node::with(RegistryLimits::default())
    }

    pub(crate) fn with(limits: RegistryLimits) -> Node {
        let tables = Arc::new(MemoryTables::new());
        let table = RegistryTable::open(tables.clone(), limits).unwrap();
        let now = Timestamp::from_millis(1_700_000_000_000);
        Node { tables, table, now, limits, events: Vec::new() }
    }

    pub(crate) fn reopen(&self) -> Result<RegistryTable, StorageError> {
        RegistryTable::open(self.tables.clone(), self.limits)
    }

    pub(crate) fn restart(&mut self) {
        self.table = self.reopen().unwrap();
    }

    pub(crate) fn send(&mut self, from: &str, kind: MessageType, body: Value) -> ResponseBody {
        self.answer(None, from, kind, body)
    }

    /// By a session of which it is known whose it is.
    pub(crate) fn send_as(
        &mut self,
        user: &Identity,
        from: &str,
        kind: MessageType,
        body: Value,
    ) -> ResponseBody {
        self.answer(Some(user), from, kind, body)
    }

    fn answer(
        &mut self,
        user: Option<&Identity>,
        from: &str,
        kind: MessageType,
        body: Value,
    ) -> ResponseBody {
        let to = Url::parse("domain://registry.example.com").unwrap();
        let message = Message::new(1, kind, runtime(from).registry(), to, Body::of(body));
        let answer = self.table.handle_of(&message, &runtime(from), user, self.now);
        self.events.extend(answer.events);
        answer.body
    }

    pub(crate) fn create(&mut self, from: &str, record: Value) {
        let answer = self.send(from, MessageType::Create, json!({ "value": record }));
        assert_eq!(answer.code, StatusCode::OK, "{answer:?}");
    }

    pub(crate) fn read(&mut self, resource: &str, criteria: Value) -> ResponseBody {
        self.send("reader", MessageType::Read, json!({"resource": resource, "criteria": criteria}))
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.events.extend(self.table.expire(self.now).0);
    }

    pub(crate) fn end_session(&mut self, of: &str) {
        self.events.extend(self.table.session_ended(&runtime(of), self.now).0);
    }

    pub(crate) fn take_events(&mut self) -> Vec<(String, &'static str)> {
        let events = std::mem::take(&mut self.events);
        events.into_iter().map(|event| (event.url.as_str().to_owned(), event.status.as_str())).collect()
    }
}

pub(crate) fn runtime(name: &str) -> RuntimeUrl {
    RuntimeUrl::parse(&format!("hyperty-runtime://example.com/{name}")).unwrap()
}

/// The record of an object, with what is given over it.
pub(crate) fn object(url: &str, over: Value) -> Value {
    let mut record = json!({
        "url": url,
        "schema": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat",
        "name": "standup",
        "reporter": "hyperty://example.com/standup",
        "user": ALICE,
        "dataSchemes": ["comm"],
    });
    for (member, value) in over.as_object().unwrap() {
        record[member] = value.clone();
    }
    record
}
