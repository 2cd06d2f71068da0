use std::collections::HashMap;
use std::sync::Arc;

use hyperty_model::message::ResponseBody;
use hyperty_model::schema::SchemaFacts;
use hyperty_model::{Message, MessageType, StatusCode, Url, UrlKind};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use serde_json::Value;

use super::SchemaBody;
use crate::SCHEMA_BYTES_MAX;
use crate::refusal::Refusal;

/// Most schemas of a node.
pub const CATALOGUE_SCHEMAS_MAX: usize = 10_000;

/// Most bytes of schema documents of a node. They are kept in memory: no read waits for the disk.
pub const CATALOGUE_BYTES_MAX: usize = 64 * 1024 * 1024;

const TABLE: &str = "catalogue/v1";

/// How an operator's check looks at stored schemas.
pub const CATALOGUE_CHECK: TableCheck =
    TableCheck { table: TABLE, row: |key, value| read_row(key, value).map(drop) };

/// Limits of a [`CatalogueTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueLimits {
    /// Most schemas.
    pub schemas: usize,
    /// Most bytes of all documents together.
    pub bytes: usize,
}

impl Default for CatalogueLimits {
    fn default() -> CatalogueLimits {
        CatalogueLimits { schemas: CATALOGUE_SCHEMAS_MAX, bytes: CATALOGUE_BYTES_MAX }
    }
}

/// The schemas of a domain, kept over restarts of its message node (protocol M22).
///
/// A schema never changes: objects are described by it. The node does not compile it; whoever uses it does.
pub struct CatalogueTable {
    domain: String,
    limits: CatalogueLimits,
    tables: Arc<dyn Tables>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    schemas: HashMap<Url, Stored>,
    bytes: usize,
}

struct Stored {
    document: Arc<Value>,
    /// The commit that keeps it: who finds it there already may not be told so before that is durable.
    ticket: Ticket,
}

impl CatalogueTable {
    /// Loads the schemas of `domain` from `tables`.
    ///
    /// # Errors
    /// [`StorageError`] when the table cannot be read; [`StorageError::Corrupt`] names a row that is not one.
    pub fn open(
        domain: &str,
        tables: Arc<dyn Tables>,
        limits: CatalogueLimits,
    ) -> Result<CatalogueTable, StorageError> {
        let mut state = State::default();
        for (key, value) in tables.scan(TABLE, b"")? {
            let (url, document) = read_row(&key, &value).map_err(|detail| StorageError::Corrupt {
                table: TABLE,
                key: String::from_utf8_lossy(&key).into_owned(),
                detail,
            })?;
            state.bytes += value.len();
            state.schemas.insert(url, Stored { document: Arc::new(document), ticket: Ticket::default() });
        }
        Ok(CatalogueTable { domain: domain.to_owned(), limits, tables, state: Mutex::new(state) })
    }

    /// Answers a message to the catalogue. The answer must not be sent before the ticket is durable; if the store
    /// fails instead, answer [`StatusCode::INTERNAL`].
    pub fn handle(&self, message: &Message) -> (ResponseBody, Ticket) {
        self.answer(message).unwrap_or_else(|refusal| (refusal.into(), Ticket::default()))
    }

    /// How many schemas there are.
    pub fn len(&self) -> usize {
        self.state.lock().schemas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn answer(&self, message: &Message) -> Result<(ResponseBody, Ticket), Refusal> {
        let body = message.decode::<SchemaBody>().map_err(|error| Refusal::bad_request(error.to_string()))?;
        let resource =
            body.resource.as_deref().ok_or_else(|| Refusal::bad_request("Bad Request: Missing resource"))?;
        let url = Url::parse(resource).map_err(|error| Refusal::bad_request(error.to_string()))?;
        match message.kind() {
            MessageType::Read => self.read(&url),
            MessageType::Create => {
                let document =
                    body.value.as_ref().ok_or_else(|| Refusal::bad_request("Bad Request: Missing value"))?;
                self.create(url, document)
            }
            other => Err(Refusal::bad_request(format!("a catalogue takes create and read, not {other}"))),
        }
    }

    fn read(&self, url: &Url) -> Result<(ResponseBody, Ticket), Refusal> {
        let state = self.state.lock();
        let Some(stored) = state.schemas.get(url) else {
            return Err(Refusal::not_found());
        };
        let (document, ticket) = (Arc::clone(&stored.document), stored.ticket);
        drop(state);
        Ok((ResponseBody::ok().with_value(Value::clone(&document)), ticket))
    }

    fn create(&self, url: Url, document: &Value) -> Result<(ResponseBody, Ticket), Refusal> {
        if url.kind() != UrlKind::Catalogue {
            return Err(Refusal::bad_request(format!("{url} is not the URL of a schema")));
        }
        if !url.domain().is_some_and(|domain| domain.eq_ignore_ascii_case(&self.domain)) {
            let text = format!("{url} belongs to another domain than {}", self.domain);
            return Err(Refusal::forbidden(text));
        }
        SchemaFacts::read(document).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let bytes = document.to_string().into_bytes();
        if bytes.len() > SCHEMA_BYTES_MAX {
            return Err(Refusal::limit(format!(
                "a schema has at most {SCHEMA_BYTES_MAX} bytes, this one {}",
                bytes.len()
            )));
        }
        let mut state = self.state.lock();
        if let Some(stored) = state.schemas.get(&url) {
            if *stored.document == *document {
                return Ok((ResponseBody::ok(), stored.ticket));
            }
            let text = format!("another schema has the URL {url} already");
            return Err(Refusal::new(StatusCode::CONFLICT, "conflict", text));
        }
        if state.schemas.len() >= self.limits.schemas || state.bytes + bytes.len() > self.limits.bytes {
            return Err(Refusal::limit("the catalogue takes no more schemas"));
        }
        state.bytes += bytes.len();
        let ticket = self.tables.commit(Batch::new().put(TABLE, url.key(), bytes));
        state.schemas.insert(url, Stored { document: Arc::new(document.clone()), ticket });
        Ok((ResponseBody::ok(), ticket))
    }
}

impl std::fmt::Debug for CatalogueTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogueTable").field("domain", &self.domain).field("len", &self.len()).finish()
    }
}

fn read_row(key: &[u8], value: &[u8]) -> Result<(Url, Value), String> {
    let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
    let url = Url::parse(key).map_err(|error| error.to_string())?;
    let document = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    Ok((url, document))
}
