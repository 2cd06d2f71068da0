//! Reusable suites and model-based tests for runtimes and message nodes.
//!
//! [`suites`] has one suite for each seam; an implementation is put through it with one line in its own tests.
//! [`world`] is a message node and any number of runtimes in one process under paused time, for tests of whole
//! systems; [`party`] is who lives in it, [`peer`] one whose every message is written by a test. [`reference`](mod@reference)
//! judges what they do.
//!
//! ```
//! use hyperty_conformance::{party::Party, world::World};
//! use serde_json::json;
//!
//! # let test = async {
//! let world = World::new(7);
//! let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
//! let board = alice.create(json!({"topic": "release"})).await;
//! let mut copy = bob.observe(&board).await;
//!
//! let alice = alice.crash().await;
//! alice.reporter().set("topic", "retrospective").await.unwrap();
//! assert_eq!(copy.next().await.unwrap().version, 1);
//! assert_eq!(copy.data(), json!({"topic": "retrospective"}));
//! # };
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
//! ```

pub mod fuzz;
pub mod level;
pub mod party;
pub mod peer;
pub mod planted;
pub mod protocol;
pub mod reference;
pub mod sim;
pub mod suites;
pub mod world;
