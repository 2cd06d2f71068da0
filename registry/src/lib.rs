//! Runtime registry, domain registry and schema catalogue of data objects.
