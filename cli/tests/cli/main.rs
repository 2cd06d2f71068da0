//! The command as people and scripts use it: processes, their input, output and exit codes.

mod admission;
mod children;
mod conformance;
mod demo;
mod input;
mod objects;
mod operating;
<<<<<<< HEAD
mod policy;
=======
mod procedures;
>>>>>>> 709d85e (Command: invitations, delegation, takeover, discovery)
mod refusals;
mod restarts;
mod store;
mod support;
