//! Where schemas come from (protocol 3.7, M22).

mod runtime;
mod table;

pub use runtime::{Catalogue, FETCHED_SCHEMAS_MAX, LOCAL_SCHEMAS_MAX};
pub use table::{
    CATALOGUE_BYTES_MAX, CATALOGUE_CHECK, CATALOGUE_SCHEMAS_MAX, CatalogueLimits, CatalogueTable,
};

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_model::message::WireBody;
use hyperty_model::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{InvalidSchema, Schema};

/// Why there is no schema, or why it was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// Neither this runtime nor the catalogue of the URL's domain has the schema. Add it, or correct the URL.
    #[error("no schema {0}")]
    NotFound(Url),
    /// The catalogue of the URL's domain could not be reached, or did not answer in time. Nothing is known of the
    /// schema; try again later, or add it.
    #[error("the catalogue that has the schema {url} cannot be reached: {reason}")]
    Unreachable {
        /// The schema.
        url: Url,
        /// What was answered instead.
        reason: String,
    },
    /// There is a document, but it cannot be used.
    #[error("{url}: {reason}")]
    Invalid {
        /// The schema.
        url: Url,
        /// What is wrong with it.
        reason: InvalidSchema,
    },
    /// Another document has this URL already. Schemas do not change: give the new one a URL of its own.
    #[error("another schema has the URL {0} already")]
    Conflict(Url),
    /// The catalogue refused. Trying again changes nothing.
    #[error("the catalogue refused the schema {url} with {code}: {reason}")]
    Refused {
        /// The schema.
        url: Url,
        /// Its answer.
        code: StatusCode,
        /// Its reason.
        reason: String,
    },
    /// This runtime has as many schemas of its own as it may.
    #[error("this runtime has {LOCAL_SCHEMAS_MAX} schemas already")]
    Full,
}

/// Where the schemas of data objects are found.
pub trait SchemaCatalogue: Send + Sync {
    /// The schema of a URL, compiled. It may have been found under another URL that ends in the same name.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Arc<Schema>, CatalogueError>>;

    /// Adds a schema of this runtime's own. Adding it twice is adding it once.
    ///
    /// # Errors
    /// [`CatalogueError::Invalid`], [`CatalogueError::Conflict`] or [`CatalogueError::Full`].
    fn add(&self, url: Url, document: Value) -> Result<Arc<Schema>, CatalogueError>;

    /// Makes sure that others find the schema of a URL, if this runtime has it: uploads it to the catalogue of the
    /// URL's domain unless it is there. Once is enough, and it costs nothing afterwards.
    fn publish<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), CatalogueError>>;
}

/// Body of the messages to a catalogue.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct SchemaBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl WireBody for SchemaBody {}
