//! What lives where, and what it looks like: the registry of a runtime, the registry of a domain, and the catalogue
//! of schemas.
//!
//! | for a runtime | for its message node | what it knows |
//! |---|---|---|
//! | [`RuntimeRegistry`] | | local hyperties and objects; which stub leads to which domain |
//! | [`DomainRegistry`], [`NodeRegistryClient`], [`Registrations`] | [`RegistryTable`] | which objects of a domain exist, whose they are, whether they are live |
//! | [`SchemaCatalogue`], [`Catalogue`], [`Schema`] | [`CatalogueTable`] | the schemas of data objects |
//!
//! The node's tables take messages and give bodies to answer with; they know no sessions and no sockets.
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_model::{Body, Message, MessageType, RuntimeUrl, StatusCode, Timestamp, Url};
//! use hyperty_registry::{RegistryLimits, RegistryTable};
//! use hyperty_storage::MemoryTables;
//! use serde_json::json;
//!
//! let table = RegistryTable::open(Arc::new(MemoryTables::new()), RegistryLimits::default()).unwrap();
//! let runtime = RuntimeUrl::parse("hyperty-runtime://example.com/laptop").unwrap();
//! let registry = Url::parse("domain://registry.example.com").unwrap();
//! let send = |kind, body: serde_json::Value| {
//!     let message = Message::new(1, kind, runtime.registry(), registry.clone(), Body::of(body));
//!     table.handle(&message, &runtime, Timestamp::from_millis(0))
//! };
//! let answer = send(MessageType::Create, json!({"value": {
//!     "url": "comm://example.com/8a7b",
//!     "schema": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat",
//!     "name": "standup",
//!     "reporter": "hyperty://example.com/6f1c",
//!     "user": "user://example.com/alice",
//! }}));
//! assert_eq!(answer.body.code, StatusCode::OK);
//! let found = send(MessageType::Read, json!({"resource": "/comm/user/user://example.com/alice"}));
//! assert_eq!(found.body.value.unwrap()["comm://example.com/8a7b"]["status"], "live");
//! ```

mod catalogue;
mod client;
mod record;
mod refusal;
mod registrations;
mod runtime;
mod schema;
mod table;

pub use catalogue::{
    CATALOGUE_BYTES_MAX, CATALOGUE_CHECK, CATALOGUE_SCHEMAS_MAX, Catalogue, CatalogueError, CatalogueLimits,
    CatalogueTable, FETCHED_SCHEMAS_MAX, LOCAL_SCHEMAS_MAX, SchemaCatalogue,
};
pub use client::{
    Criteria, DomainRegistry, Find, NoRegistry, NodeRegistryClient, Query, QueryError, REGISTRY_ATTEMPTS,
    RegisterError, RetryConfig, UpdateError,
};
pub use hyperty_model::discovery::RegistrationStatus;
pub use record::{REGISTRATION_EXPIRES, RegistrationRecord};
pub use registrations::Registrations;
pub use runtime::{LOCAL_DOMAINS_MAX, LOCAL_HYPERTIES_MAX, LOCAL_OBJECTS_MAX, RegistryFull, RuntimeRegistry};
pub use schema::{InvalidSchema, SCHEMA_BYTES_MAX, Schema, SchemaViolation};
pub use table::{
    QUERY_PAGE_BYTES, QUERY_RESULTS_MAX, QUERY_SCAN_MAX, RECORD_BYTES_MAX, REGISTRATION_KEPT,
    REGISTRATIONS_MAX, REGISTRATIONS_PER_RUNTIME_MAX, REGISTRY_CHECK, RegistryAnswer, RegistryLimits,
    RegistryTable, Sees, StatusEvent, is_search,
};
