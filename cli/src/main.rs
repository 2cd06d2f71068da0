//! The hyperty command: report, observe and serve live data objects.
fn main() {}
