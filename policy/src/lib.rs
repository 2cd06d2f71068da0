//! Authorisation decisions for data object creation, subscription and reading.
