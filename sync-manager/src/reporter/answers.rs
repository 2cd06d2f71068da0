//! Answers to reads of an object's present state, shared by all who ask the same, and not made faster than so (M7).
//!
//! Thousands of observers that come back at once stand at a few positions. Each answer is made and encoded once; while
//! the object goes on changing, new ones are made at a limited rate, and who asks meanwhile waits for the next.

use std::time::Duration;

use hyperty_model::change::{AttrPath, resolve};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Position, Snapshot, StatusCode};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::beat::has_remote_observers;
use super::object::{Reported, State};
use super::subscribe::snapshot_answer;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Most different answers that are kept of one state: positions at which observers stood when they were cut off.
const KEPT_MAX: usize = 8;

/// The answers that were made of the present state, and when the next may be made.
#[derive(Default)]
pub(crate) struct Answers {
    kept: Vec<(Wanted, Body)>,
    /// Counts the states that answers were made of.
    generation: u64,
    not_before: Option<Instant>,
}

/// What was asked for: what came after a position, or everything.
type Wanted = Option<Position>;

impl Answers {
    /// The object has changed: what was made is outdated. Costs nothing if nothing was.
    pub(crate) fn outdate(&mut self) {
        if !self.kept.is_empty() {
            self.kept.clear();
        }
        self.generation += 1;
    }

    /// When the next may be made, if that is not now.
    fn not_before(&self) -> Option<Instant> {
        self.not_before.filter(|at| *at > Instant::now())
    }

    /// One was made: the next has to wait so long.
    fn pause(&mut self, pause: Duration) {
        self.not_before = self.not_before.max(Some(Instant::now() + pause));
    }

    fn find(&self, wanted: Wanted) -> Option<Body> {
        self.kept.iter().find(|(of, _)| *of == wanted).map(|(_, body)| body.clone())
    }
}

/// What an answer is made of, taken under the object's lock and put together outside of it.
enum Parts {
    Changes(Box<ResponseBody>),
    Whole { snapshot: Box<Snapshot>, data: std::sync::Arc<Value>, said: Option<bool> },
}

impl Parts {
    fn put_together(self) -> Body {
        match self {
            Parts::Changes(body) => Body::of(*body),
            Parts::Whole { mut snapshot, data, said } => {
                snapshot.data = Value::clone(&data);
                drop(data);
                Body::of(ResponseBody { recovered: said, ..snapshot_answer(*snapshot) })
            }
        }
    }
}

/// What became of a wish for an answer.
pub(crate) enum Answered {
    /// Here it is.
    Now(Body),
    /// Ask again then.
    NotBefore(Instant),
}

impl SyncManager {
    /// The answer to a read, as others have got it or made now. Releases the lock before it makes one.
    pub(crate) fn shared_answer(
        &self,
        object: &Reported,
        state: parking_lot::MutexGuard<'_, State>,
        wanted: Wanted,
    ) -> Answered {
        if let Some(body) = state.answers.find(wanted) {
            self.tally().answers_shared.add(1);
            self.count_answer(&state, wanted);
            return Answered::Now(body);
        }
        if let Some(at) = state.answers.not_before() {
            return Answered::NotBefore(at);
        }
        let (parts, generation) = (self.parts(object, &state, wanted), state.answers.generation);
        self.count_answer(&state, wanted);
        drop(state);
        let body = parts.put_together();
        let pause = self.pause_after(body.raw().len());
        let mut state = object.lock();
        state.answers.pause(pause);
        // Beats forget them again: where nobody observes there are none.
        if state.answers.generation == generation && has_remote_observers(&state) {
            if state.answers.kept.len() == KEPT_MAX {
                state.answers.kept.remove(0);
            }
            state.answers.kept.push((wanted, body.clone()));
        }
        Answered::Now(body)
    }

    /// The answer to a read of one attribute: made for each that asks, no faster than whole ones are, and outside of the
    /// lock as well.
    ///
    /// # Errors
    /// 404 when the data has no such attribute; to know that costs nothing, and is said at once.
    pub(crate) fn attribute_answer(
        &self,
        object: &Reported,
        state: parking_lot::MutexGuard<'_, State>,
        attribute: &str,
    ) -> Result<Answered, Refusal> {
        let data = std::sync::Arc::clone(&state.data);
        let value = resolve(&data, &AttrPath::new(attribute))
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("no attribute {attribute}")))?;
        if let Some(at) = state.answers.not_before() {
            return Ok(Answered::NotBefore(at));
        }
        drop(state);
        let body = Body::of(ResponseBody::ok().with_value(value.clone()));
        drop(data);
        let pause = self.pause_after(body.raw().len());
        object.lock().answers.pause(pause);
        Ok(Answered::Now(body))
    }

    fn pause_after(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.config().answer_bytes_per_second.max(1) as f64)
    }

    /// What came after a position if that can be told, else the whole state; always says which (10.1).
    fn parts(&self, object: &Reported, state: &State, wanted: Wanted) -> Parts {
        match wanted.and_then(|since| changes_since(object, state, since)) {
            Some(body) => Parts::Changes(Box::new(body)),
            None => Parts::Whole {
                snapshot: Box::new(state.snapshot_without_data()),
                data: std::sync::Arc::clone(&state.data),
                said: wanted.map(|_| false),
            },
        }
    }

    /// The answer to a subscription that tells where its copy stands: made in the step that accepts it.
    pub(crate) fn answer_since(&self, object: &Reported, state: &State, since: Wanted) -> ResponseBody {
        if since.is_some() {
            self.count_answer(state, since);
            self.note_ahead(object, state, since);
        }
        match since.and_then(|since| changes_since(object, state, since)) {
            Some(body) => body,
            None => ResponseBody { recovered: since.map(|_| false), ..snapshot_answer(state.snapshot()) },
        }
    }

    fn count_answer(&self, state: &State, wanted: Wanted) {
        let by_changes = wanted.is_some_and(|since| state.log.covers(since));
        let count = match by_changes {
            true => &self.tally().answered_by_changes,
            false => &self.tally().answered_by_snapshot,
        };
        count.add(1);
    }

    /// Somebody has seen more than there is: history was lost (M8), or it is not ours at all. It changes nothing here.
    pub(crate) fn note_ahead(&self, object: &Reported, state: &State, since: Wanted) {
        if let Some(since) = since.filter(|since| *since > state.position) {
            self.tally().readers_ahead.add(1);
            tracing::warn!(object = %object.url, %since, position = %state.position, "a reader is ahead of the object");
        }
    }
}

fn changes_since(object: &Reported, state: &State, since: Position) -> Option<ResponseBody> {
    let changes = state.log.since(since)?;
    Some(ResponseBody {
        resource: Some(object.url.to_string()),
        recovered: Some(true),
        epoch: Some(state.position.epoch),
        version: Some(state.position.version),
        changes: Some(changes.iter().map(|change| (**change).clone()).collect()),
        extra: children_members(state),
        ..ResponseBody::ok()
    })
}

/// The children travel with every repair: they have no common version by which the missed ones could be told.
fn children_members(state: &State) -> Map<String, Value> {
    if state.children.names().next().is_none() {
        return Map::new();
    }
    match serde_json::to_value(&*state.shown_children()) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}
