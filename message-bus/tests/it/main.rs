//! The message bus from outside.

mod dispatch;
mod domain_routes;
mod listeners;
mod mesh;
mod minibus;
mod pair;
mod requests;
mod router_model;
mod support;
