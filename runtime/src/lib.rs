//! A ready-made runtime for live data objects: one *Reporter* owns a JSON object, any number of *Observers* hold a
//! live copy.
//!
//! The crate wires the others and makes no decision of the protocol: the [bus](hyperty_message_bus), the
//! [Sync Manager](hyperty_sync_manager), the [registry](hyperty_registry), the
//! [allocation of addresses](hyperty_address_allocation), the [store](hyperty_storage) and the
//! [sessions](hyperty_protostub) with message nodes. It starts their tasks and stops them. Whoever wants another
//! part in the place of one of these wires them differently; `examples/custom_runtime` shows how.
//!
#![doc = include_str!("example.md")]

#[cfg(feature = "websocket")]
mod access;
mod addresses;
mod allocation;
mod builder;
mod error;
mod health;
mod hyperty;
mod identity;
mod notices;
mod refusal;
mod replay;
mod rules;
mod runtime;
mod schemas;
mod searches;
mod subscriptions;
mod tasks;

#[cfg(feature = "websocket")]
pub use access::NodeAccess;
pub use builder::{BackedUp, RuntimeBuilder};
pub use error::{DeployError, SchemaError, StartError};
pub use health::{RuntimeHealth, SessionHealth};
pub use hyperty::{Deploy, Hyperty};
pub use hyperty_message_bus::StubStatus;
pub use hyperty_protostub::{FixedToken, StubCounters, TokenError, TokenFile, TokenSource};
#[cfg(feature = "websocket")]
pub use hyperty_protostub::{TlsClient, TlsClientError};
pub use hyperty_sync_manager::{Backup, BackupError, BackupKey, NodeBackup, SyncManagerConfig, SyncStats};
pub use notices::{ListenError, NOTICES_MAX, Notices};
pub use rules::keep_in_force;
pub use runtime::Runtime;
pub use schemas::TABLE_CHECKS;
pub use subscriptions::{LISTENED_MAX, LISTENED_PER_HYPERTY_MAX};

/// What a crash may cost.
pub use hyperty_storage::Durability;
/// The durable storage of one file; see [`storage`] for others.
pub use hyperty_storage::DurableTables as DurableStorage;

pub use hyperty_model as model;
pub use hyperty_policy as policy;
pub use hyperty_storage as storage;
pub use hyperty_syncher as syncher;

/// The examples of the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
