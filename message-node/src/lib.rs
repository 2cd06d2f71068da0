//! The message node of a domain: sessions of runtimes, routing between them, and the domain's services: address
//! allocation, registry, schema catalogue.
//!
//! A [`MessageNode`] has no sockets. Runtimes are connected through [`serve`] (WebSocket), through
//! [`MessageNode::channel`] (the same process), or through any transport that drives a [`Link`]. What comes in is
//! scanned once, checked (who speaks as whom), and relayed as the same bytes to the queues of those it is for; a
//! connection writes all that is ready in one go. A receiver that falls behind costs bounded memory and delays
//! nobody: its updates collapse, and it repairs itself (protocol 10.3).
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_message_node::{MessageNode, NodeConfig};
//! use hyperty_model::{SystemClock, SystemIds};
//! use hyperty_storage::MemoryTables;
//!
//! # let run = async {
//! let tables = Arc::new(MemoryTables::new());
//! let (node, driver) =
//!     MessageNode::new(NodeConfig::new("localhost"), tables, Arc::new(SystemClock), Arc::new(SystemIds)).unwrap();
//! tokio::spawn(driver.run());
//! let (to_node, mut from_node) = node.channel().unwrap();
//! let open = r#"{"id":1,"type":"open","from":"hyperty-runtime://localhost/alice","to":"mn:/session"}"#;
//! to_node.send(open.into()).await.unwrap();
//! let answer = from_node.recv().await.unwrap();
//! assert!(String::from_utf8_lossy(&answer).contains(r#""code":200"#));
//! # };
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(run);
//! ```

mod address;
pub mod admin;
pub mod admission;
mod authority;
mod channel;
mod claims;
mod components;
mod config;
mod delivery;
mod directory;
mod discovery;
mod driver;
mod identity;
mod lifecycle;
mod link;
mod listening;
mod metrics;
mod node;
mod outbox;
mod outgoing;
mod pending;
mod rate;
mod session;
mod stats;
mod status;
mod streams;
mod subscriptions;
pub mod tls;
mod websocket;

pub use components::backup::{
    BACKUP_BYTES_PER_USER, BACKUP_CHECK, BACKUP_PARTS_CHECK, BACKUP_RECORD_BYTES_MAX, BACKUP_RECORDS_MAX,
    BACKUP_RECORDS_PER_USER, BACKUP_UPLOAD_BYTES, BACKUP_UPLOAD_KEPT, BACKUP_UPLOADS_PER_RUNTIME,
    BackupLimits,
};
pub use config::{
    AdminPages, DRAIN_WAIT, GRACE, GRACED_COUNT_MAX, IDLE_MAX, LINKS_MAX, NodeConfig, NodeLimits, NodeTimers,
    OPEN_WAIT, PENDING_ANSWERS_MAX, PING_INTERVAL, ROUTES_PER_SESSION, ROUTES_PER_SESSION_MAX, SESSIONS_MAX,
    SESSIONS_PER_USER, UNADMITTED_LINKS_MAX,
};
pub use discovery::Discovery;
pub use driver::NodeDriver;
pub use link::Link;
pub use node::{AttachError, MessageNode, StartError};
pub use outbox::CloseReason;
pub use outgoing::Outgoing;
pub use rate::{ADDRESSES_MAX, ATTACH_BURST, ATTACH_PER_SECOND, AttachRate};
pub use stats::Stats;
pub use status::{NodeStatus, Readiness, SESSIONS_SHOWN, SessionStatus, StoreStatus};
pub use streams::ASKED_MAX;
pub use websocket::{serve, serve_tls};

/// How an operator's check looks at what a node stores.
pub const TABLE_CHECKS: [hyperty_storage::operations::TableCheck; 6] = [
    admission::OWNERS_CHECK,
    hyperty_address_allocation::ALLOCATIONS_CHECK,
    hyperty_registry::REGISTRY_CHECK,
    hyperty_registry::CATALOGUE_CHECK,
    BACKUP_CHECK,
    BACKUP_PARTS_CHECK,
];
