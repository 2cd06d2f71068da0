//! Whole systems: several runtimes and a message node in one process, under paused time.

mod actions;
mod again;
mod away;
mod children;
mod creation;
mod deletion;
mod delta;
mod divergence;
mod epochs;
mod fleet;
mod held;
mod invitations;
mod kept;
mod procedures;
mod promised;
mod reading;
mod recovery;
mod removal;
mod restart;
mod shared;
mod slow;
mod spy;
mod subscription;
mod support;
mod sync_points;
mod undone;
