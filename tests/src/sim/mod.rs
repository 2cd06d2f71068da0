//! Whole systems in one thread, in virtual time, from one seed.
//!
//! A simulation has message nodes and runtimes as they are, each on a machine with a disk and a clock, and links
//! between them. Links are slow, lose, double and reorder frames, are cut with notice or without, and work in one
//! direction only; machines crash between any two steps, come back with what was synced, and have their clocks set.
//! Nothing else is simulated: runtimes and nodes are those of production. Time passes only when nothing is left to
//! do, so hours take seconds, and whatever happens follows from the seed: twice the same seed is twice the same
//! [trace](Trace), frame by frame.
//!
//! Your own code lives in it unchanged: a program is an async closure over a `Hyperty`, called at each start of its
//! runtime; [`RuntimeSpec::setup`] takes a policy or other settings.
//!
//! ```
//! use std::time::Duration;
//!
//! use hyperty_conformance::party::SCHEMA;
//! use hyperty_conformance::sim::{Crash, RuntimeSpec, Seat, Sim};
//! use hyperty_runtime::Hyperty;
//! use hyperty_runtime::policy::Permissive;
//! use hyperty_runtime::syncher::Accept;
//! use serde_json::json;
//!
//! /// Counts seconds, through crashes.
//! async fn count(alice: Hyperty, seat: Seat) {
//!     let counter = match alice.resumed().reporters.first() {
//!         Some(counter) => counter.clone(),
//!         None => {
//!             let schema = seat.runtime.schema(SCHEMA).unwrap();
//!             alice.create(schema).name("counter").data(json!({"n": 0})).store(true).await.unwrap()
//!         }
//!     };
//!     counter.accept(Accept::All);
//!     loop {
//!         seat.sleep(Duration::from_secs(1)).await;
//!         let _ = counter.update(|data| data["n"] = json!(data["n"].as_u64().unwrap_or(0) + 1)).await;
//!         seat.note(format!("counted to {}", counter.data()["n"]));
//!     }
//! }
//!
//! let counted = Sim::builder(7)
//!     .runtime(
//!         RuntimeSpec::new("alice", "example.com")
//!             .schema(SCHEMA)
//!             .setup(|runtime| runtime.policy(Permissive))
//!             .hyperty("counter", count),
//!     )
//!     .run(async |sim| {
//!         sim.sleep(Duration::from_secs(10)).await;
//!         sim.crash("alice", Crash::POWER);
//!         sim.sleep(Duration::from_secs(5)).await;
//!         sim.start("alice");
//!         sim.sleep(Duration::from_secs(10)).await;
//!         Ok(sim.trace().recent().iter().filter(|line| line.to_string().contains("counted to")).count())
//!     })
//!     .unwrap();
//! assert!((16..=20).contains(&counted), "{counted}");
//! ```

mod builder;
mod clock;
mod disk;
mod faults;
mod handle;
mod hosts;
pub mod mixed;
mod network;
mod rng;
mod trace;

pub use builder::SimBuilder;
pub use clock::MachineClock;
pub use disk::{Disk, FileDisk, MemoryDisk, Syncing, Torn};
pub use faults::{Fault, Schedule, UnknownFault};
pub use handle::{Failure, Sim};
pub use hosts::{Crash, Program, RuntimeSpec, Seat};
pub use network::{Affected, LinkProfile, Notice};
pub use rng::SimRng;
pub use trace::{Direction, Fate, Line, RECENT_LINES, Trace, What};
