//! Runtime Sync Manager: sequences, stores and routes every data object of a runtime.
