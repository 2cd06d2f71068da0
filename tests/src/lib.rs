//! Reusable suites and model-based tests for runtimes and message nodes.
