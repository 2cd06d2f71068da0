//! Domain-level message node: sessions, routing, allocation, registry, schema catalogue.
