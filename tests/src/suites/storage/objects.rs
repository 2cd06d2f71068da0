//! What `DataObjectStorage` promises, case by case.
