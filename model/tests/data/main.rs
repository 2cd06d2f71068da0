//! Changes, updates, replicas and children against plain models: protocol 3.3 to 3.6, 5.9, 10.1, 10.2.

mod change;
mod children;
mod children_rules;
mod diff;
mod digest;
mod forms;
mod json;
mod replica;
mod update;
