//! Reading an object and repairing a copy, at the Reporter's side (protocol 5.5, 10.1, M3, M5).

use std::sync::Arc;

use hyperty_model::change::{AttrPath, resolve};
use hyperty_model::message::{ForwardBody, ForwardKind, ReadBody, ResponseBody, UpdateBody};
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, Position, RuntimeUrl, StatusCode, Url};
use hyperty_policy::Point;

use super::object::{Phase, Reported, State};
use super::routes::Path;
use super::subscribe::{runtime_of, snapshot_answer};
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

/// Who reads: a hyperty, or the Sync Manager of a runtime on behalf of its observers.
struct Reader<'a> {
    actor: Url,
    hyperty: Option<HypertyUrl>,
    runtime: Option<RuntimeUrl>,
    identity: Option<&'a Identity>,
    stub: Option<Url>,
}

impl SyncManager {
    /// `read` to `O`.
    pub(crate) async fn read_reported(&self, question: Question, url: &ObjectUrl, body: &ReadBody) {
        let request = question.request();
        let actor = body.source.clone().unwrap_or_else(|| request.from().clone());
        let reader = Reader {
            hyperty: HypertyUrl::try_from(actor.clone()).ok(),
            actor,
            runtime: runtime_of(request.from()),
            identity: body.identity.as_ref(),
            stub: request.hops().last().cloned(),
        };
        let answer = self.read_as(url, &reader, body).await;
        question.answer(answer.unwrap_or_else(ResponseBody::from));
    }

    /// `read` by a hyperty of this runtime of an object that is reported here.
    pub(crate) async fn read_locally(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        let reader = Reader {
            actor: hyperty.as_url().clone(),
            hyperty: Some(hyperty.clone()),
            runtime: None,
            identity: body.identity.as_ref(),
            stub: None,
        };
        self.read_as(url, &reader, body).await
    }

    async fn read_as(
        &self,
        url: &ObjectUrl,
        reader: &Reader<'_>,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        if !reader.is_known(&object.lock()) {
            self.ask_to_read(&object, reader).await?;
        }
        let mut state = object.lock();
        if state.phase == Phase::Deleting {
            return Err(Refusal::new(StatusCode::GONE, "the object is deleted"));
        }
        self.welcome_back(&object, &mut state, reader);
        self.answer_read(&object, &state, body)
    }

    /// Undecided reads are the policy's, else the Reporter's to decide; a refused reader learns nothing of the
    /// object (INV-READ-1).
    async fn ask_to_read(&self, object: &Arc<Reported>, reader: &Reader<'_>) -> Result<(), Refusal> {
        let request = object.policy_request(Point::Read, &reader.actor, reader.identity);
        let unauthorised = || Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized");
        if self.decide(&request).await.map_err(|_| unauthorised())? {
            return Ok(());
        }
        let forward = ForwardBody {
            kind: ForwardKind::Read,
            from: reader.actor.clone(),
            to: object.url.clone(),
            identity: reader.identity.cloned(),
            authorised: Some(false),
            mutual: None,
        };
        self.ask_reporter(object, forward, StatusCode::UNAUTHORIZED).await
    }

    /// Observers whose session had ended get their routes again with the answer, in the same step (M13).
    fn welcome_back(&self, object: &Reported, state: &mut State, reader: &Reader<'_>) {
        let (Some(runtime), Some(stub)) = (&reader.runtime, &reader.stub) else { return };
        let mut back = false;
        for entry in state.observers.values_mut() {
            if entry.away
                && entry.runtime.as_ref() == Some(runtime)
                && let Ok(routes) = self.observer_routes(object, &Path::Stub(stub.clone()))
            {
                entry.routes = routes;
                entry.away = false;
                back = true;
            }
        }
        if back {
            self.schedule_beat(object, state);
        }
    }
}

impl Reader<'_> {
    /// Whether this reader needs no decision: the Reporter itself, an observer or the Sync Manager of a runtime
    /// that hosts one, a granted hyperty or user, anybody for a public object.
    fn is_known(&self, state: &State) -> bool {
        let own = self.hyperty.as_ref() == Some(&state.metadata.reporter);
        let admitted = self.hyperty.as_ref().is_some_and(|hyperty| state.admits(hyperty, self.identity));
        let hosts = || {
            let runtime = self.hyperty.is_none().then_some(self.runtime.as_ref()).flatten();
            runtime
                .is_some_and(|runtime| state.observers.values().any(|o| o.runtime.as_ref() == Some(runtime)))
        };
        own || admitted || state.metadata.public_observation || hosts()
    }
}

impl SyncManager {
    fn answer_read(
        &self,
        object: &Reported,
        state: &State,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        if let Some(attribute) = &body.attribute {
            let value = resolve(&state.data, &AttrPath::new(attribute.as_str()))
                .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("no attribute {attribute}")))?;
            return Ok(ResponseBody::ok().with_value(value.clone()));
        }
        let since = body.criteria.as_ref().and_then(|criteria| criteria.since);
        Ok(self.answer_since(object, state, since))
    }

    /// What came after a position if that can be told, else the whole state; always says which (10.1).
    pub(crate) fn answer_since(
        &self,
        object: &Reported,
        state: &State,
        since: Option<Position>,
    ) -> ResponseBody {
        let Some(since) = since else {
            self.tally().answered_by_snapshot.add(1);
            return snapshot_answer(&state.snapshot());
        };
        if since > state.position {
            // Of a history that is lost (M8), or not ours at all: it changes nothing here.
            self.tally().readers_ahead.add(1);
            tracing::warn!(object = %object.url, %since, position = %state.position, "a reader is ahead of the object");
        }
        match changes_since(state, since) {
            Some(changes) => {
                self.tally().answered_by_changes.add(1);
                ResponseBody {
                    resource: Some(object.url.to_string()),
                    recovered: Some(true),
                    epoch: Some(state.position.epoch),
                    version: Some(state.position.version),
                    changes: Some(changes),
                    extra: children_members(state),
                    ..ResponseBody::ok()
                }
            }
            None => {
                self.tally().answered_by_snapshot.add(1);
                ResponseBody { recovered: Some(false), ..snapshot_answer(&state.snapshot()) }
            }
        }
    }
}

fn changes_since(state: &State, since: Position) -> Option<Vec<UpdateBody>> {
    if since == state.position {
        return Some(Vec::new());
    }
    let changes = state.log.since(since)?;
    Some(changes.iter().map(|change| UpdateBody::clone(change)).collect())
}

/// The children travel with every repair: they have no common version by which the missed ones could be told.
fn children_members(state: &State) -> serde_json::Map<String, serde_json::Value> {
    if state.children.names().next().is_none() {
        return serde_json::Map::new();
    }
    match serde_json::to_value(&state.children) {
        Ok(serde_json::Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    }
}
