//! The API a hyperty uses to report and observe live data objects.
