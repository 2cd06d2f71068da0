//! The node as a black box, spoken to by messages only.

mod admission;
mod authority;
mod backup;
mod bad_input;
mod components;
mod conformance;
mod fleet;
mod handover;
mod listening;
mod listening_model;
mod model;
mod operation;
mod races;
mod removal;
mod routing;
mod sessions;
mod support;
mod sync_points;
mod websocket;
