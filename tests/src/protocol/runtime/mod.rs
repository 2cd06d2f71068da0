//! The protocol suite for a runtime: its bus, its connection to a message node, and nothing else.
//!
//! A [`MakeRuntime`] starts runtimes over a store of their own; each is a [`RuntimeUnderTest`], which gives seats on its
//! bus and can be stopped and started again. The suite plays everything around it by messages: the Synchers of
//! hyperties at those seats, Sync Managers and hyperties elsewhere, and, unless a real node is given, the services of
//! the domain. What crosses the [`Boundary`] is written down and looked through for what must never happen.
//!
//! A runtime of your own is put through it with a few lines:
//!
//! ```
//! use std::sync::Arc;
//! use hyperty_conformance::protocol::Runner;
//! use hyperty_conformance::protocol::runtime::{self, HypertyRuntime, Subject};
//!
//! # let test = async {
//! let subject = Arc::new(Subject::scripted(HypertyRuntime));      // your own `MakeRuntime`
//! let report = Runner::new(1).filter("INV-CRE-6").run(&subject, &runtime::cases()).await;
//! assert!(report.passed(), "{report}");
//! # };
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
//! ```

pub mod actors;
mod author;
pub mod boundary;
mod cases;
mod disk;
mod domain;
mod held;
pub mod line;
mod monitors;
mod ours;
mod scene;
mod under_test;
mod waiting;
mod way;

pub use boundary::{Boundary, Crossing, Entry, Interceptor, Place, TRACE_MAX, Way};
pub use cases::cases;
pub use disk::{Disk, DiskTables, SYNC_TIME};
pub use domain::{Domain, Script, Service};
pub use held::Held;
pub use ours::{AssembledRuntime, HypertyRuntime};
pub use scene::{Around, GiveToken, MakeInterceptor, RESPONSE_TIME, Scene, Subject, schema_document};
pub use under_test::{Ending, MakeRuntime, RuntimeUnderTest, Start, TakeFrame, attach};
pub use way::way_to;
