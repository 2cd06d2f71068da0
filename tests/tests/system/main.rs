//! Whole systems: several runtimes and a message node in one process, under paused time.

mod again;
mod children;
mod creation;
mod deletion;
mod divergence;
mod kept;
mod procedures;
mod reading;
mod recovery;
mod slow;
mod spy;
mod subscription;
mod support;
