//! kill -9 of real processes at random moments, again and again over the same directories (I6, I8; INV-DOM-6).
//!
//! A cycle starts `hyperty report --store` or `hyperty node --data`, has it acknowledge a few things, kills it in the
//! midst of them (or while it starts), and checks that all that it acknowledged is there, that nothing is there in part,
//! and that the file passes the check of stores. Versions never go back, no address is given twice, registrations and
//! deletions stay.
//!
//! How many cycles: by `HYPERTY_LEVEL`, or `HYPERTY_KILL_CYCLES` by itself, for hours if wanted; half of them are a
//! reporter's, half a node's. What is random is drawn from `HYPERTY_SEED`.
//!
//! ```sh
//! HYPERTY_KILL_CYCLES=20000 HYPERTY_SEED=7 cargo test -p hyperty-cli --test crash -- --nocapture
//! ```

mod chance;
mod node;
mod process;
mod reporter;
