//! The Syncher against a Sync Manager whose answers the tests give.

mod between;
mod children;
mod convergence;
mod create;
mod decisions;
mod discovery;
mod invitations;
mod lifetime;
mod manager;
mod observe;
mod repair;
mod resume;
mod taken_back;
mod writes;
