//! A ready-made runtime for live data objects: one Reporter, many Observers.
