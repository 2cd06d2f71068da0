//! What a read finds (protocol 5.13.4).

use hyperty_model::message::ResponseBody;
use hyperty_model::{StatusCode, Url, UrlKind};
use serde_json::{Map, Value};

use super::request::{Asked, guid_key, user_key};
use super::state::{Entry, Facet, State};
use super::{QUERY_PAGE_BYTES, QUERY_RESULTS_MAX, QUERY_SCAN_MAX, Sees};
use crate::client::{Criteria, Find, NEXT, OBJECTS, Query};
use crate::refusal::Refusal;
use crate::{RegistrationRecord, RegistrationStatus};

/// Answers a read, from the entry after `after` on.
pub(super) fn answer(state: &State, asked: &Asked, after: Option<&str>, sees: Sees<'_>) -> ResponseBody {
    let (found, status) = match asked {
        Asked::Url(url) => return answer_url(state, url),
        Asked::Query(query) => (find(state, query, sees), query.criteria.status),
        Asked::OfIdentifier { id, scheme, criteria } => {
            let of_user =
                |record: &RegistrationRecord| record.user.as_deref().is_some_and(|user| has_id(user, id));
            let query = Query { find: Find::Any, scheme: Some(scheme.clone()), criteria: criteria.clone() };
            (scan(state, &query, |record| of_user(record) && sees(record)), criteria.status)
        }
    };
    match found {
        Ok(found) => answer_entries(found, status, after),
        Err(refusal) => refusal.into(),
    }
}

fn answer_url(state: &State, url: &Url) -> ResponseBody {
    match state.get(url) {
        None => Refusal::not_found().into(),
        Some(entry) if entry.record.status == RegistrationStatus::Deleted => {
            Refusal::new(StatusCode::GONE, "deleted", "deleted").into()
        }
        Some(entry) => answer_entries(vec![entry], None, None),
    }
}

/// `wanted` is the status that was asked for: who asks for disconnected entries has found them. The code is that of
/// all that was found, on every page.
///
/// Pages are in the order of the URLs, so that what comes and goes between two of them moves nothing else: an entry
/// that is there all the time is told once.
fn answer_entries(
    mut found: Vec<&Entry>,
    wanted: Option<RegistrationStatus>,
    after: Option<&str>,
) -> ResponseBody {
    if found.is_empty() {
        return Refusal::not_found().into();
    }
    found.sort_unstable_by(|a, b| a.record.url.as_str().cmp(b.record.url.as_str()));
    let (mut records, mut bytes, mut next) = (Map::new(), 0, None);
    for entry in found.iter().filter(|entry| after.is_none_or(|after| entry.record.url.as_str() > after)) {
        let record = serde_json::to_value(&entry.record);
        let record = record.unwrap_or_else(|error| unreachable!("a record serialises: {error}"));
        bytes += record.to_string().len() + entry.record.url.as_str().len();
        if bytes > QUERY_PAGE_BYTES && !records.is_empty() {
            next = records.keys().next_back().cloned();
            break;
        }
        records.insert(entry.record.url.as_str().to_owned(), record);
    }
    let answer = if wanted.is_some() || found.iter().any(|entry| entry.is_live()) {
        ResponseBody::ok()
    } else {
        ResponseBody::failure(StatusCode::TIMEOUT, "Temporarily Unavailable")
    };
    let mut answer = answer.with_value(Value::Object(records));
    if let Some(next) = next {
        answer.extra.insert(NEXT.to_owned(), Value::String(next));
    }
    answer
}

fn find<'a>(state: &'a State, query: &Query, sees: Sees<'_>) -> Result<Vec<&'a Entry>, Refusal> {
    match &query.find {
        Find::User(user) => {
            let key = user_key(user);
            let of_user = |record: &RegistrationRecord| {
                record.user.as_deref().is_some_and(|it| user_key(it) == key) && sees(record)
            };
            select(state.with_facet(&Facet::User(&key)), query, of_user)
        }
        Find::Guid(guid) => {
            let key = guid_key(guid);
            let of_guid = |record: &RegistrationRecord| {
                record.guid.as_deref().is_some_and(|it| guid_key(it) == key) && sees(record)
            };
            select(state.with_facet(&Facet::Guid(&key)), query, of_guid)
        }
        Find::Name(name) => {
            let of_name = |record: &RegistrationRecord| {
                is_object(record) && record.name.as_ref() == Some(name) && sees(record)
            };
            select(state.with_facet(&Facet::Name(name)), query, of_name)
        }
        Find::Url(url) => select(state.get(url).into_iter(), query, |_| true),
        Find::Any => match &query.criteria.reporter {
            Some(reporter) => select(state.with_facet(&Facet::Reporter(reporter.key())), query, sees),
            None => scan(state, query, sees),
        },
    }
}

/// Looks at all entries of a scheme: for queries that nothing is indexed by.
fn scan<'a>(
    state: &'a State,
    query: &Query,
    holds: impl Fn(&RegistrationRecord) -> bool,
) -> Result<Vec<&'a Entry>, Refusal> {
    match query.scheme.as_deref() {
        Some("") | None => Err(Refusal::bad_request("the query names neither a user, a name, nor a scheme")),
        Some(OBJECTS) => select(state.all(), query, holds),
        Some(scheme) => select(state.with_facet(&Facet::Scheme(&scheme.to_ascii_lowercase())), query, holds),
    }
}

fn select<'a>(
    candidates: impl Iterator<Item = &'a Entry>,
    query: &Query,
    holds: impl Fn(&RegistrationRecord) -> bool,
) -> Result<Vec<&'a Entry>, Refusal> {
    let mut found = Vec::new();
    for (looked_at, entry) in candidates.enumerate() {
        if looked_at >= QUERY_SCAN_MAX {
            return Err(too_many(QUERY_SCAN_MAX, "would have to be looked at"));
        }
        let record = &entry.record;
        let matches = record.status != RegistrationStatus::Deleted
            && query.scheme.as_deref().is_none_or(|scheme| has_scheme(record, scheme))
            && meets(record, &query.criteria)
            && holds(record);
        if matches {
            if found.len() >= QUERY_RESULTS_MAX {
                return Err(too_many(QUERY_RESULTS_MAX, "match"));
            }
            found.push(entry);
        }
    }
    Ok(found)
}

fn too_many(max: usize, what: &str) -> Refusal {
    let text = format!("more than {max} entries {what}: narrow the query");
    Refusal::new(StatusCode::BAD_REQUEST, "limit", text)
}

fn meets(record: &RegistrationRecord, criteria: &Criteria) -> bool {
    let contains = |have: &[String], want: &[String]| want.iter().all(|item| have.contains(item));
    criteria.scheme.as_deref().is_none_or(|scheme| has_scheme(record, scheme))
        && contains(&record.resources, &criteria.resources)
        && contains(&record.data_schemes, &criteria.data_schemes)
        && criteria.schema.as_ref().is_none_or(|schema| record.schema.as_ref() == Some(schema))
        && criteria.reporter.as_ref().is_none_or(|reporter| record.reporter.as_ref() == Some(reporter))
        && criteria.status.is_none_or(|status| record.status == status)
}

fn has_scheme(record: &RegistrationRecord, scheme: &str) -> bool {
    record.url.scheme().eq_ignore_ascii_case(scheme) || (scheme == OBJECTS && is_object(record))
}

fn is_object(record: &RegistrationRecord) -> bool {
    record.url.kind() == UrlKind::Object
}

/// Whether a user's URL is `id` or ends in it as its identifier.
fn has_id(user: &str, id: &str) -> bool {
    user_key(user) == user_key(id) || Url::parse(user).is_ok_and(|url| url.path() == id)
}
