//! Addresses, messages, changes and versions of Reporter-Observer data objects: pure types without I/O.
