use futures_core::future::BoxFuture;
use hyperty_model::Url;

use super::{DomainRegistry, Query, QueryError, RegisterError, UpdateError};
use crate::RegistrationRecord;

/// The registry of a runtime that has no message node: takes every registration, keeps none, finds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoRegistry;

impl DomainRegistry for NoRegistry {
    fn register<'a>(&'a self, _record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), RegisterError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn set_live<'a>(&'a self, _record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep_alive<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn unregister<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn delete<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn read<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<RegistrationRecord, QueryError>> {
        Box::pin(std::future::ready(Err(QueryError::NotFound)))
    }

    fn find<'a>(
        &'a self,
        _domain: &'a str,
        _query: &'a Query,
    ) -> BoxFuture<'a, Result<Vec<RegistrationRecord>, QueryError>> {
        Box::pin(std::future::ready(Err(QueryError::NotFound)))
    }
}
