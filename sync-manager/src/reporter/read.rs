//! Reading an object and repairing a copy, at the Reporter's side (protocol 5.5, 10.1, M3, M5).

use std::sync::Arc;

use hyperty_model::message::{ForwardBody, ForwardKind, ObserversOperation, ReadBody, ResponseBody};
use hyperty_model::{Body, HypertyUrl, Identity, ObjectUrl, RuntimeUrl, StatusCode, Timestamp, Url};
use hyperty_policy::Point;

use super::answers::Answered;
use super::object::{Reported, State};
use super::routes::Path;
use super::subscribe::runtime_of;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::parts::{Grounds, Outgoing};

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
        if body.transfer.is_some() {
            let part = self.part_of(&question, url, body);
            return question.answer(part.unwrap_or_else(ResponseBody::from));
        }
        let question = Arc::new(question);
        let request = question.request();
        let actor = body.source.clone().unwrap_or_else(|| request.from().clone());
        let reader = Reader {
            hyperty: HypertyUrl::try_from(actor.clone()).ok(),
            actor,
            runtime: runtime_of(request.from()),
            identity: body.identity.as_ref(),
            stub: request.hops().last().cloned(),
        };
        let answer = match self.check_behalf(url, request, &reader.actor, reader.identity) {
            Ok(()) => self.read_as(url, &reader, body).await,
            Err(refusal) => Err(refusal),
        };
        match (answer, self.reported(url)) {
            (Ok(answer), Some(object)) => {
                let grounds = reader.grounds(&object.lock(), self.now());
                let parts = body.parts.unwrap_or(false);
                self.answer_whole(&question, Outgoing { object: url, grounds, parts, body: answer });
            }
            (answer, _) => question.answer_with(answer.unwrap_or_else(Body::from)),
        }
    }

    /// `read` by a hyperty of this runtime of an object that is reported here.
    pub(crate) async fn read_locally(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &ReadBody,
    ) -> Result<Body, Refusal> {
        let reader = Reader {
            actor: hyperty.as_url().clone(),
            hyperty: Some(hyperty.clone()),
            runtime: None,
            identity: body.identity.as_ref(),
            stub: None,
        };
        self.read_as(url, &reader, body).await
    }

    async fn read_as(&self, url: &ObjectUrl, reader: &Reader<'_>, body: &ReadBody) -> Result<Body, Refusal> {
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        if body.criteria.is_some() && reader.is_forgotten(&object.lock()) {
            // Not a matter of permission: a repaired copy that nobody sends changes to would go stale unnoticed.
            let text = "no observer of this runtime is known; subscribe again";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text).because("not-observing"));
        }
        if reader.is_shut_out(&object.lock(), self.now()) {
            return Err(unauthorised());
        }
        if !reader.is_party(&object.lock()) {
            self.ask_to_read(&object, reader).await?;
        }
        let since = body.criteria.as_ref().and_then(|criteria| criteria.since);
        self.note_ahead(&object, &object.lock(), since);
        loop {
            match self.try_read(&object, reader, body)? {
                Answered::Now(answer) => return Ok(answer),
                Answered::NotBefore(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    fn try_read(
        &self,
        object: &Arc<Reported>,
        reader: &Reader<'_>,
        body: &ReadBody,
    ) -> Result<Answered, Refusal> {
        let mut state = object.lock();
        state.check_there()?;
        if reader.is_shut_out(&state, self.now()) {
            return Err(unauthorised());
        }
        if let Some(runtime) = reader.manager_of() {
            self.remind_removed_of(object, &state, runtime);
        }
        self.welcome_back(object, &mut state, reader);
        if let (Some(runtime), true) =
            (reader.manager_of(), reader.stub.is_some() && reader.hosts_observer(&state))
        {
            self.let_listen(object, runtime);
        }
        match &body.attribute {
            Some(attribute) => self.attribute_answer(object, state, attribute),
            None => {
                let since = body.criteria.as_ref().and_then(|criteria| criteria.since);
                Ok(self.shared_answer(object, state, since))
            }
        }
    }

    /// Reads of whoever does not observe: the policy may deny any; what it leaves open is allowed to those who are
    /// admitted, else the Reporter's to decide. A refused reader learns nothing of the object (INV-READ-1).
    async fn ask_to_read(&self, object: &Arc<Reported>, reader: &Reader<'_>) -> Result<(), Refusal> {
        let request = object.policy_request(Point::Read, &reader.actor, reader.identity);
        let permitted = self.decide(&request).await.map_err(|_| unauthorised())?;
        if permitted || reader.is_admitted(&object.lock(), self.now()) {
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

    /// Observers whose session had ended get their routes again with the answer, in the same step (M13). Their Sync
    /// Manager asks for them; what a hyperty reads for itself tells nothing of who observes.
    fn welcome_back(&self, object: &Reported, state: &mut State, reader: &Reader<'_>) {
        let (Some(runtime), Some(stub)) = (reader.manager_of(), &reader.stub) else { return };
        let listed = state.observers.of_runtime(runtime);
        match &listed[..] {
            [] => return,
            [one] => drop(state.roll.heard(one)),
            // Of several the Sync Manager may mean any: they are asked for.
            _ => {}
        }
        state.roll.is_there(runtime);
        let mut back = Vec::new();
        for hyperty in listed {
            let Some(entry) = state.observers.get_mut(&hyperty).filter(|entry| entry.away.is_some()) else {
                continue;
            };
            if let Ok(routes) = self.observer_routes(object, &Path::Stub(stub.clone())) {
                entry.routes = routes;
                entry.away = None;
                self.tell_observers(object, ObserversOperation::Back, &hyperty, entry);
                back.push(hyperty);
            }
        }
        if back.is_empty() {
            return;
        }
        tracing::debug!(object = %object.url, %runtime, observers = back.len(), "observers are back");
        for hyperty in back {
            self.persist_observer_of(object, state, &hyperty);
        }
        self.schedule_beat(object, state);
    }
}

impl Reader<'_> {
    /// Why it may have what it was answered, and its parts.
    fn grounds(&self, state: &State, now: Timestamp) -> Grounds {
        match (&self.hyperty, self.manager_of()) {
            (_, Some(runtime)) if self.is_party(state) => Grounds::Runtime(runtime.clone()),
            (Some(hyperty), _) if self.is_party(state) => Grounds::Observer(hyperty.clone()),
            (Some(hyperty), _) if self.is_admitted(state, now) => {
                Grounds::Admitted(hyperty.clone(), self.identity.cloned())
            }
            (None, _) if self.is_admitted(state, now) => Grounds::Public,
            (hyperty, _) => Grounds::Decided(hyperty.clone()),
        }
    }

    /// Whether this reader was decided about before: the Reporter itself, an observer, or the Sync Manager of a runtime
    /// that hosts one.
    fn is_party(&self, state: &State) -> bool {
        let own = self.hyperty.as_ref() == Some(&state.metadata.reporter);
        let observes = self.hyperty.as_ref().is_some_and(|hyperty| state.observers.contains_key(hyperty));
        own || observes || self.hosts_observer(state)
    }

    /// Whether it needs no decision of the application: a granted hyperty or user, anybody for a public object.
    fn is_admitted(&self, state: &State, now: Timestamp) -> bool {
        let granted = self.hyperty.as_ref().is_some_and(|hyperty| state.admits(hyperty, self.identity, now));
        granted || state.metadata.public_observation
    }

    /// Whether the Reporter removed this reader; it has to be looked at again after each wait.
    fn is_shut_out(&self, state: &State, now: Timestamp) -> bool {
        self.hyperty.as_ref().is_some_and(|hyperty| state.shuts_out(hyperty, now))
    }

    /// Whether this is a Sync Manager, in its own name, whose runtime hosts an observer.
    fn hosts_observer(&self, state: &State) -> bool {
        let runtime = self.manager_of();
        runtime.is_some_and(|runtime| state.observers.hosts(runtime))
    }

    /// Whether this is a Sync Manager that repairs a copy for observers of which nothing is known here (5.10.2).
    fn is_forgotten(&self, state: &State) -> bool {
        self.manager_of().is_some() && !self.hosts_observer(state)
    }

    fn manager_of(&self) -> Option<&RuntimeUrl> {
        self.hyperty.is_none().then_some(self.runtime.as_ref()).flatten()
    }
}

fn unauthorised() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized")
}
