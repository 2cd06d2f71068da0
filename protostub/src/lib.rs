//! Transports from a runtime to a message node.
