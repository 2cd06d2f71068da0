//! Whole systems: several runtimes and a message node in one process, under paused time.

mod again;
mod children;
mod creation;
mod deletion;
mod delta;
mod divergence;
mod fleet;
mod kept;
mod procedures;
mod reading;
mod recovery;
mod restart;
mod slow;
mod spy;
mod subscription;
mod support;
