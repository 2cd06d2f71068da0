//! Schemas outlive the session: what an object was created with is there when it resumes, also without a node.

use std::collections::HashSet;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_model::Url;
use hyperty_registry::{Catalogue, CatalogueError, Schema, SchemaCatalogue};
use hyperty_storage::operations::TableCheck;
use hyperty_storage::{Batch, StorageError, Tables};
use parking_lot::Mutex;
use serde_json::Value;

/// Schema documents by URL. As many as the catalogue itself takes, since it is asked first.
const TABLE: &str = "schemas/v1";

/// How an operator's check looks at what a runtime stores beside its objects.
pub const TABLE_CHECKS: [TableCheck; 1] = [TableCheck { table: TABLE, row: check_row }];

fn check_row(key: &[u8], value: &[u8]) -> Result<(), String> {
    let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
    Url::parse(key).map_err(|error| error.to_string())?;
    serde_json::from_slice::<Value>(value).map(drop).map_err(|error| error.to_string())
}

/// The runtime's catalogue, with what it once had kept in the store.
pub(crate) struct KeptCatalogue {
    catalogue: Catalogue,
    tables: Arc<dyn Tables>,
    kept: Mutex<HashSet<Url>>,
}

impl KeptCatalogue {
    pub(crate) fn new(catalogue: Catalogue, tables: Arc<dyn Tables>) -> KeptCatalogue {
        KeptCatalogue { catalogue, tables, kept: Mutex::default() }
    }

    /// Writes a schema once. It is in the store before the record of any object that is created with it, since
    /// batches become durable in order.
    fn keep(&self, schema: &Schema) {
        if self.kept.lock().insert(schema.url.clone()) {
            let document = schema.document.to_string();
            self.tables.commit(Batch::new().put(TABLE, schema.url.key(), document.as_bytes()));
        }
    }

    fn stored(&self, url: &Url) -> Result<Option<Value>, StorageError> {
        let document = self.tables.get(TABLE, url.key().as_bytes())?;
        Ok(document.and_then(|document| serde_json::from_slice(&document).ok()))
    }

    async fn find(&self, url: &Url) -> Result<Arc<Schema>, CatalogueError> {
        let error = match self.catalogue.get(url).await {
            Ok(schema) => {
                self.keep(&schema);
                return Ok(schema);
            }
            Err(error) => error,
        };
        match self.stored(url) {
            Ok(Some(document)) => self.catalogue.add(url.clone(), document),
            Ok(None) => Err(error),
            Err(storage) => {
                tracing::error!(%url, %storage, "a stored schema cannot be read");
                Err(error)
            }
        }
    }
}

impl SchemaCatalogue for KeptCatalogue {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Arc<Schema>, CatalogueError>> {
        Box::pin(self.find(url))
    }

    fn add(&self, url: Url, document: Value) -> Result<Arc<Schema>, CatalogueError> {
        let schema = self.catalogue.add(url, document)?;
        self.keep(&schema);
        Ok(schema)
    }

    fn publish<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), CatalogueError>> {
        self.catalogue.publish(url)
    }
}
