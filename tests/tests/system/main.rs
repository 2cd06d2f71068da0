//! Whole systems: several runtimes and a message node in one process, under paused time.

mod again;
mod children;
mod procedures;
mod recovery;
mod support;
