//! The command as people and scripts use it: processes, their input, output and exit codes.

mod admission;
mod children;
mod conformance;
mod demo;
mod input;
mod objects;
mod operating;
mod policy;
mod procedures;
mod refusals;
mod restarts;
mod store;
mod support;
