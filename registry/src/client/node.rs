use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_message_bus::{MessageBus, NO_ROUTE};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Ids, MessageType, RuntimeUrl, StatusCode, Url};
use serde_json::{Value, json};

use super::{DomainRegistry, NEXT, Query, QueryError, RegisterError, UpdateError};
use crate::QUERY_RESULTS_MAX;
use crate::record::TAKEN_FROM;
use crate::{RegistrationRecord, RegistrationStatus};

/// How often a request to the registry is sent before it counts as unreachable (protocol 0.2, RETRY).
pub const REGISTRY_ATTEMPTS: u32 = 5;

/// How a request is repeated that did not get through. Every attempt has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// How often it is sent in all.
    pub attempts: u32,
    /// The first pause; it doubles each time.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            attempts: REGISTRY_ATTEMPTS,
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
        }
    }
}

/// The domain registries that the runtime's bus leads to: `<RuntimeURL>/registry` asks `domain://registry.<domain>`.
#[derive(Clone)]
pub struct NodeRegistryClient {
    inner: Arc<Inner>,
}

struct Inner {
    bus: MessageBus,
    from: Url,
    ids: Arc<dyn Ids>,
    retry: RetryConfig,
}

/// What came of a request, before an operation gives it its meaning.
enum Answer {
    Success(Arc<ResponseBody>),
    Failure(Arc<ResponseBody>),
    Unreachable(String),
}

impl NodeRegistryClient {
    /// A client for `runtime` on its bus.
    pub fn new(
        bus: MessageBus,
        runtime: &RuntimeUrl,
        ids: Arc<dyn Ids>,
        retry: RetryConfig,
    ) -> NodeRegistryClient {
        NodeRegistryClient { inner: Arc::new(Inner { bus, from: runtime.registry(), ids, retry }) }
    }

    async fn update(&self, kind: MessageType, url: &Url, body: Value) -> Result<(), UpdateError> {
        let answer = match self.inner.request(url.domain(), kind, body).await {
            Answer::Success(_) => return Ok(()),
            Answer::Unreachable(reason) => return Err(UpdateError::Unreachable(reason)),
            Answer::Failure(answer) => answer,
        };
        Err(match answer.code {
            StatusCode::NOT_FOUND => UpdateError::Unknown,
            StatusCode::CONFLICT => UpdateError::Conflict(answer.why().to_owned()),
            StatusCode::GONE => UpdateError::Gone,
            code => UpdateError::Refused { code, reason: answer.why().to_owned() },
        })
    }

    /// Reads page after page. All of them say the same of what was found as a whole.
    async fn all_pages(&self, domain: &str, mut body: Value) -> Result<Vec<RegistrationRecord>, QueryError> {
        let (mut all, mut live) = (Vec::new(), true);
        loop {
            let (answer, failed) =
                match self.inner.request(Some(domain), MessageType::Read, body.clone()).await {
                    Answer::Success(answer) => (answer, false),
                    Answer::Failure(answer) if answer.code == StatusCode::TIMEOUT => (answer, true),
                    // What was found goes, when the last of it is gone between two pages.
                    Answer::Failure(answer) if answer.code == StatusCode::NOT_FOUND && !all.is_empty() => {
                        break;
                    }
                    Answer::Failure(answer) => return Err(failure(&answer)),
                    Answer::Unreachable(reason) => return Err(QueryError::Unreachable(reason)),
                };
            live &= !failed;
            all.extend(read_records(&answer)?);
            match answer.extra.get(NEXT).and_then(Value::as_str) {
                // A registry that turns its pages for ever is not followed.
                Some(next) if all.len() < QUERY_RESULTS_MAX => body["page"] = json!(next),
                _ => break,
            }
        }
        if live { Ok(all) } else { Err(QueryError::Disconnected(all)) }
    }

    async fn query(&self, domain: Option<&str>, body: Value) -> Result<Vec<RegistrationRecord>, QueryError> {
        let answer = match self.inner.request(domain, MessageType::Read, body).await {
            Answer::Success(answer) => return read_records(&answer),
            Answer::Unreachable(reason) => return Err(QueryError::Unreachable(reason)),
            Answer::Failure(answer) => answer,
        };
        Err(match answer.code {
            StatusCode::TIMEOUT => QueryError::Disconnected(read_records(&answer)?),
            _ => failure(&answer),
        })
    }
}

fn failure(answer: &ResponseBody) -> QueryError {
    match answer.code {
        StatusCode::NOT_FOUND => QueryError::NotFound,
        StatusCode::GONE => QueryError::Gone,
        code => QueryError::Refused { code, reason: answer.why().to_owned() },
    }
}

impl DomainRegistry for NodeRegistryClient {
    fn register<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), RegisterError>> {
        Box::pin(async move {
            let answer =
                self.inner.request(record.url.domain(), MessageType::Create, register_body(record)).await;
            let answer = match answer {
                Answer::Success(_) => return Ok(()),
                Answer::Unreachable(reason) => return Err(RegisterError::Unreachable(reason)),
                Answer::Failure(answer) => answer,
            };
            Err(match answer.code {
                StatusCode::CONFLICT => RegisterError::Conflict(answer.why().to_owned()),
                StatusCode::GONE => RegisterError::Gone,
                code => RegisterError::Refused { code, reason: answer.why().to_owned() },
            })
        })
    }

    fn set_live<'a>(&'a self, record: &'a RegistrationRecord) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.update(MessageType::Update, &record.url, set_live_body(record)))
    }

    fn keep_alive<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.update(MessageType::Update, url, json!({ "resource": url })))
    }

    fn unregister<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        let body = json!({
            "resource": url,
            "value": RegistrationStatus::Disconnected.as_str(),
            "attribute": "status",
        });
        Box::pin(self.update(MessageType::Update, url, body))
    }

    fn delete<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<(), UpdateError>> {
        Box::pin(self.update(MessageType::Delete, url, json!({ "resource": url })))
    }

    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<RegistrationRecord, QueryError>> {
        Box::pin(async move {
            let found = self.query(url.domain(), json!({ "resource": url })).await?;
            found.into_iter().find(|record| record.url == *url).ok_or(QueryError::NotFound)
        })
    }

    fn find<'a>(
        &'a self,
        domain: &'a str,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Vec<RegistrationRecord>, QueryError>> {
        let mut body = json!({ "resource": query.resource() });
        if !query.criteria.is_empty() {
            body["criteria"] = json!(query.criteria);
        }
        Box::pin(self.all_pages(domain, body))
    }
}

impl Inner {
    async fn request(&self, domain: Option<&str>, kind: MessageType, body: Value) -> Answer {
        let Some(to) = domain.and_then(|domain| node::registry(domain).ok()) else {
            return Answer::Unreachable("the URL belongs to no domain that has a registry".to_owned());
        };
        let body = hyperty_model::Body::of(body);
        let mut pause = self.retry.pause_first;
        for attempt in 1.. {
            let message = self.bus.new_message(kind, &self.from, &to, body.clone());
            let answer = self.bus.request(message).await.decode::<ResponseBody>();
            let answer = match answer {
                Ok(answer) if answer.code.is_success() => return Answer::Success(answer),
                Ok(answer) if !may_pass(&answer) => return Answer::Failure(answer),
                Ok(answer) => answer.why().to_owned(),
                Err(error) => error.to_string(),
            };
            if attempt >= self.retry.attempts {
                return Answer::Unreachable(answer);
            }
            tracing::debug!(%to, %kind, attempt, reason = answer, "the registry did not answer: trying again");
            tokio::time::sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(self.retry.pause_max);
        }
        unreachable!("the loop ends by returning")
    }

    /// Between half of `pause` and the whole, so that many runtimes do not come back in step.
    fn jittered(&self, pause: Duration) -> Duration {
        let share = (self.ids.random() & 0xffff) as u32;
        pause / 2 + pause / 2 * share / 0xffff
    }
}

/// Whether a failure says nothing of the request itself: it did not get through, or the registry's backend failed.
fn may_pass(answer: &ResponseBody) -> bool {
    match answer.code {
        StatusCode::NOT_FOUND => {
            // Other nodes say it in words only.
            answer.reason.as_deref() == Some(NO_ROUTE) || answer.why().eq_ignore_ascii_case("no route")
        }
        // The registry itself answers 408 for entries that are disconnected, and lists them.
        StatusCode::TIMEOUT => read_records(answer).map_or(true, |records| records.is_empty()),
        StatusCode::INTERNAL | StatusCode::BACKEND_UNREACHABLE => true,
        _ => false,
    }
}

/// Body of the message that registers `record`.
pub(crate) fn register_body(record: &RegistrationRecord) -> Value {
    json!({ "value": record })
}

fn set_live_body(record: &RegistrationRecord) -> Value {
    let mut value = json!({ "status": RegistrationStatus::Live.as_str(), "runtime": record.runtime });
    let given = [
        ("user", record.user.as_ref().map(|user| json!(user))),
        ("guid", record.guid.as_ref().map(|guid| json!(guid))),
        ("reporter", record.reporter.as_ref().map(|reporter| json!(reporter))),
        ("p2pHandler", record.p2p_handler.as_ref().map(|url| json!(url))),
        ("p2pRequester", record.p2p_requester.as_ref().map(|url| json!(url))),
        ("epoch", (record.epoch > 0).then(|| json!(record.epoch))),
        (TAKEN_FROM, record.extra.get(TAKEN_FROM).cloned()),
    ];
    for (member, given) in given {
        if let Some(given) = given {
            value[member] = given;
        }
    }
    json!({ "resource": record.url, "value": value })
}

/// The records of an answer: a map by URL, a list, or a bare record (protocol 5.13.4), in the order of their URLs.
fn read_records(answer: &ResponseBody) -> Result<Vec<RegistrationRecord>, QueryError> {
    let unusable = |reason: &str| QueryError::Unusable(reason.to_owned());
    let record = |value: &Value| {
        serde_json::from_value::<RegistrationRecord>(value.clone())
            .map_err(|error| unusable(&error.to_string()))
    };
    let mut records = match answer.value.as_ref() {
        Some(Value::Array(list)) => list.iter().map(record).collect::<Result<Vec<_>, _>>()?,
        Some(Value::Object(bare)) if bare.get("url").is_some_and(Value::is_string) => {
            vec![record(&Value::Object(bare.clone()))?]
        }
        Some(Value::Object(map)) => {
            map.iter().map(|(url, value)| record(&keyed(url, value))).collect::<Result<_, _>>()?
        }
        _ => return Err(unusable("there are no records in it")),
    };
    records.sort_by(|a, b| a.url.cmp(&b.url));
    Ok(records)
}

/// A record of a map with its URL in it, which others write as the key only.
fn keyed(url: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(record) = &mut value {
        record.entry("url").or_insert_with(|| json!(url));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Vec<RegistrationRecord>, QueryError> {
        read_records(&ResponseBody::ok().with_value(value))
    }

    #[test]
    fn records_are_read_in_every_accepted_form() {
        let record = json!({"url": "comm://a/o", "runtime": "runtime://a/r"});
        let keyed = json!({"comm://a/o": {"runtime": "runtime://a/r"}});
        for form in [json!({"comm://a/o": record}), keyed, json!([record]), record.clone()] {
            let read = read(form).unwrap();
            assert_eq!(read.iter().map(|record| record.url.as_str()).collect::<Vec<_>>(), ["comm://a/o"]);
        }
        assert!(read(json!({})).unwrap().is_empty());
        assert!(matches!(read(json!("x")), Err(QueryError::Unusable(_))));
        assert!(matches!(read(json!([{"url": "comm://a/o"}])), Err(QueryError::Unusable(_))));
    }

    #[test]
    fn a_timeout_of_the_bus_is_told_from_the_registrys_own() {
        let timed_out = ResponseBody::failure(StatusCode::TIMEOUT, "Response timeout!");
        let request =
            json!({"id": 1, "type": "read", "from": "runtime://a/r/registry", "to": "x", "body": {}});
        assert!(may_pass(&timed_out.clone().with_value(request)));
        assert!(may_pass(&timed_out));
        let record = json!({"url": "comm://a/o", "runtime": "runtime://a/r", "status": "disconnected"});
        let disconnected = ResponseBody::failure(StatusCode::TIMEOUT, "Temporarily Unavailable");
        assert!(!may_pass(&disconnected.with_value(json!({"comm://a/o": record}))));
        assert!(!may_pass(&ResponseBody::failure(StatusCode::NOT_FOUND, "Not Found")));
        assert!(may_pass(&ResponseBody::failure(StatusCode::NOT_FOUND, "No route")));
        assert!(may_pass(&ResponseBody::of(StatusCode::NOT_FOUND).with_reason(NO_ROUTE)));
    }
}
