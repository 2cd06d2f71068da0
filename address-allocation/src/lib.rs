//! Allocation of data object and hyperty addresses, runtime and message node side.
