//! Finding hyperties and objects at the registry of a domain (protocol 5.13.4).

mod found;
mod watch;

pub use found::Found;
pub(crate) use watch::watch;
pub use watch::{Discoveries, Discovery, WATCHED_MAX};

use std::sync::Arc;

use hyperty_model::discovery::{Find, Query};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Body, MessageType, StatusCode};
use serde_json::{Value, json};

use crate::core::Core;

/// Most entries that one search returns; with more the query should be narrowed.
pub const FOUND_MAX: usize = 10_000;

/// Why a search told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// What was asked for by its URL was deleted, and never comes back.
    #[error("deleted")]
    Deleted,
    /// The registry refused: too much matches, or it does not understand the query. Narrow it.
    #[error("the registry refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// The registry cannot be reached, or did not answer in time. Nothing is known; search again.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// The answer makes no sense: the registry is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

/// One page of an answer.
struct Page {
    found: Vec<Found>,
    next: Option<String>,
}

/// Everything that a query finds, in the order of the URLs; nothing found is no failure. 404 and 408 of the protocol
/// become an empty list, and one in which nothing is live.
pub(crate) async fn discover(
    core: &Arc<Core>,
    domain: Option<&str>,
    query: &Query,
) -> Result<Vec<Found>, DiscoverError> {
    if core.is_stopped() {
        return Err(DiscoverError::Stopped);
    }
    let of_url = match &query.find {
        Find::Url(url) => url.domain(),
        _ => None,
    };
    let domain = domain.or(of_url).unwrap_or_else(|| core.hyperty().home());
    let (mut all, mut page) = (Vec::new(), None);
    loop {
        let Page { found, next } = ask(core, domain, query, page.as_deref()).await?;
        // A registry that turns its pages for ever, empty ones say, is not followed.
        let next = next.filter(|_| !found.is_empty());
        all.extend(found);
        match next.filter(|_| all.len() < FOUND_MAX) {
            Some(next) => page = Some(next),
            None => break,
        }
    }
    all.sort_by(|a: &Found, b| a.url.as_str().cmp(b.url.as_str()));
    all.dedup_by(|a, b| a.url == b.url);
    Ok(all)
}

async fn ask(core: &Core, domain: &str, query: &Query, page: Option<&str>) -> Result<Page, DiscoverError> {
    let to = node::registry(domain).map_err(|error| DiscoverError::Unreachable(error.to_string()))?;
    let mut body = json!({ "resource": query.resource() });
    if !query.criteria.is_empty() {
        body["criteria"] = json!(query.criteria);
    }
    if let Some(page) = page {
        body["page"] = json!(page);
    }
    let message = core.minibus.new_message(MessageType::Read, core.hyperty(), &to, Body::of(body));
    let answer = core.minibus.request(message).timeout(core.config.timeouts.response).await;
    let body =
        answer.decode::<ResponseBody>().map_err(|error| DiscoverError::Malformed(error.to_string()))?;
    match body.code {
        code if code.is_success() => read(&body),
        StatusCode::NOT_FOUND if body.reason.as_deref() == Some("no-route") => {
            Err(DiscoverError::Unreachable(body.why().to_owned()))
        }
        StatusCode::NOT_FOUND => Ok(Page { found: Vec::new(), next: None }),
        StatusCode::GONE => Err(DiscoverError::Deleted),
        // The registry's own lists what is disconnected; that of the bus has no records.
        StatusCode::TIMEOUT => read(&body)
            .ok()
            .filter(|page| !page.found.is_empty())
            .ok_or_else(|| DiscoverError::Unreachable("no answer in time".to_owned())),
        StatusCode::INTERNAL | StatusCode::BACKEND_UNREACHABLE => {
            Err(DiscoverError::Unreachable(body.why().to_owned()))
        }
        code => Err(DiscoverError::Refused { code, reason: body.why().to_owned() }),
    }
}

/// The records of an answer: a map by URL, a list, or a bare record.
fn read(body: &ResponseBody) -> Result<Page, DiscoverError> {
    let next = body.extra.get("next").and_then(Value::as_str).map(str::to_owned);
    let found: Result<Vec<Found>, String> = match &body.value {
        Some(Value::Array(list)) => list.iter().map(|record| Found::read(None, record)).collect(),
        Some(Value::Object(bare)) if bare.get("url").is_some_and(Value::is_string) => {
            Found::read(None, &Value::Object(bare.clone())).map(|found| vec![found])
        }
        Some(Value::Object(map)) => map.iter().map(|(url, record)| Found::read(Some(url), record)).collect(),
        _ => Err("there are no records in it".to_owned()),
    };
    found.map(|found| Page { found, next }).map_err(DiscoverError::Malformed)
}
