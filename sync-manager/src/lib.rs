//! The runtime Sync Manager: authorises creations and subscriptions, sets up and takes down every route of a
//! stream, and puts every change of an object in order.
//!
//! One sequencer for each object and runtime: whatever changes an object passes the Sync Manager of its runtime,
//! which checks, logs, commits and then releases it, in the order of its versions. On the Reporter's side that is
//! [`reporter`](self), on the Observer's side a replica that repairs its gaps before it releases.
//!
//! Vocabulary: the *released* copy is what observers may know; the *head* is ahead of it while commits are under
//! way; a *record* is what the store keeps of an object; a record that nobody has resumed yet is *dormant*.
//!
//! It speaks with hyperties and with other Sync Managers by messages only (protocol section 5), and everything it
//! needs is a part that can be replaced ([`Parts`]).
#![doc = include_str!("example.md")]

mod answer;
mod backup;
mod config;
mod delegation;
mod digest;
mod dispatch;
mod driver;
mod manager;
mod observer;
mod parts;
mod policy;
mod reporter;
mod stats;
mod timers;

pub use backup::{Backup, BackupError, BackupKey, NodeBackup};
pub use config::SyncManagerConfig;
pub use driver::SyncManagerDriver;
pub use manager::{Parts, StartError, SyncManager};
pub use stats::SyncStats;
