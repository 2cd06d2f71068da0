//! Subscription, the Observer's side (protocol 5.3 steps 2 to 7 and 10).

use std::sync::Arc;

use hyperty_model::message::{ResponseBody, SubscribeBody};
use hyperty_model::object::Metadata;
use hyperty_model::{ChildrenName, HypertyUrl, Message, MessageType, ObjectUrl, StatusCode, Url};
use tokio::time::Instant;

use super::join::{Entered, Joiner};
use super::object::{Asking, Observed, State};
use crate::answer::{Question, Refusal};
use crate::manager::{SyncManager, UNDO_WAIT};
use crate::parts::Progress;
use crate::reporter::{Applicant, Path};

impl SyncManager {
    /// A hyperty of this runtime wants to observe an object.
    pub(crate) async fn subscribe(&self, question: &Question, hyperty: HypertyUrl, body: &SubscribeBody) {
        let url = match body.resource.as_ref().map(|resource| resource.0.as_slice()) {
            Some([url]) => url.clone(),
            _ => return question.answer(Refusal::missing("resource")),
        };
        let outcome = if self.reported(&url).is_some() {
            self.subscribe_here(question, &url, &hyperty, body).await
        } else {
            self.subscribe_elsewhere(question, &url, &hyperty, body).await
        };
        if let Err(refusal) = outcome {
            question.answer(refusal);
        }
    }

    /// The Reporter is in this runtime: no node, no stub (INV-SUB-6).
    async fn subscribe_here(
        &self,
        question: &Question,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &SubscribeBody,
    ) -> Result<(), Refusal> {
        let mut applicant = Applicant {
            hyperty: hyperty.clone(),
            runtime: Some(self.shared.parts.runtime.clone()),
            identity: body.identity.clone(),
            resumable: body.resumable.or(body.store).unwrap_or(false),
            resumes: body.resume,
            since: body.since,
            path: Path::Local(hyperty.clone()),
            needs_admission: false,
        };
        let deadline = self.joining_deadline();
        let object = self.admit(url, &mut applicant).await?;
        let schema = object.lock().metadata.schema.clone();
        question.progress(provisional(url, object.name_strings(), &schema));
        let answer = |answer, metadata: &Metadata| {
            let (schema, names) = (Some(metadata.schema.clone()), Some(object.name_strings()));
            question.answer(ResponseBody { schema, children_resources: names, ..answer });
        };
        self.accept(&object, applicant, deadline, answer).await
    }

    async fn subscribe_elsewhere(
        &self,
        question: &Question,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &SubscribeBody,
    ) -> Result<(), Refusal> {
        let home = url.home();
        if self.stub_of(home).is_none() {
            let text = format!("{url} is not reported here, and there is no message node for {home}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, text).because("no-route"));
        }
        let deadline = Instant::now() + self.config().peer_timeout + UNDO_WAIT;
        // Whoever waits gives up after T_RESP; the next try finds the routes that stand by then.
        let preparing = self.prepare(url, hyperty, body);
        let preparing = tokio::time::timeout(self.config().peer_timeout, preparing).await;
        let Ok(prepared) = preparing else {
            if let Some(object) = self.observed(url) {
                self.end_if_unused(&object).await;
            }
            return Err(Refusal::unreachable(home));
        };
        let entered = prepared?;
        let object = Arc::clone(&entered.object);
        let joiner = Joiner { question, hyperty, body, deadline, number: entered.number };
        let done = self.join(&object, &joiner).await;
        drop(entered);
        if done.is_err() {
            self.end_if_unused(&object).await;
        }
        done
    }

    /// Steps 2 to 5: the children's names and the shared routes, set up once for all observers here, those included that
    /// observed before a restart. Whoever subscribes is entered before anybody else may end them.
    async fn prepare(
        &self,
        url: &ObjectUrl,
        hyperty: &HypertyUrl,
        body: &SubscribeBody,
    ) -> Result<Entered, Refusal> {
        self.restore_others(url).await?;
        let (object, setup) = self.set_up(url).await;
        let ready = !object.lock().routes.listeners.is_empty();
        if !ready {
            let names = self.names_of(&object, body.schema.as_ref()).await;
            let prepared = self.prepare_routes(&object, &names, body.domain_subscription).await;
            if let Err(refusal) = prepared {
                drop(setup);
                self.end_if_unused(&object).await;
                return Err(refusal);
            }
        }
        Ok(object.enter(hyperty))
    }

    async fn prepare_routes(
        &self,
        object: &Arc<Observed>,
        names: &[ChildrenName],
        domain_subscription: Option<bool>,
    ) -> Result<(), Refusal> {
        self.add_shared_routes(object, names)?;
        if domain_subscription.unwrap_or(true) {
            self.route_at_nodes(object).await?;
        }
        Ok(())
    }

    /// The children names: from the schema, else from the domain registry (M21); what cannot be found out now is
    /// learnt from the final answer.
    async fn names_of(&self, object: &Observed, schema: Option<&Url>) -> Vec<ChildrenName> {
        if let Some(names) = self.rules_of(object, schema).await {
            return names;
        }
        match self.shared.parts.registrations.registry().read(object.url.as_url()).await {
            Ok(record) => match self.rules_of(object, record.schema.as_ref()).await {
                Some(names) => names,
                None => parse_names(record.children_resources.as_deref().unwrap_or_default()),
            },
            Err(error) => {
                tracing::debug!(object = %object.url, %error, "the registry does not tell the children names");
                Vec::new()
            }
        }
    }

    /// The children names of a schema, and which of them observers only read; `None` if it cannot be had now.
    async fn rules_of(&self, object: &Observed, schema: Option<&Url>) -> Option<Vec<ChildrenName>> {
        let schema = self.shared.parts.catalogue.get(schema?);
        let schema = tokio::time::timeout(self.config().repair_timeout, schema).await.ok()?.ok()?;
        let read_only = schema.children.iter().filter(|rule| !rule.observers_may_write);
        object.lock().read_only = Some(read_only.map(|rule| rule.name.clone()).collect());
        Some(schema.children.iter().map(|rule| rule.name.clone()).collect())
    }

    /// Has the rules of an object read whose schema was not at hand when it was resumed. Until then the Reporter's side
    /// alone refuses what they forbid.
    pub(crate) fn learn_rules(&self, object: &Arc<Observed>) {
        let schema = {
            let state = object.lock();
            let unknown = state.metadata.as_ref().filter(|_| state.read_only.is_none());
            unknown.map(|metadata| metadata.schema.clone())
        };
        if let Some(schema) = schema {
            let (manager, object) = (self.clone(), Arc::clone(object));
            self.later(Box::pin(async move { drop(manager.rules_of(&object, Some(&schema)).await) }));
        }
    }

    /// Steps 6, 7 and 10: the provisional answer, the Reporter's decision, the final answer.
    async fn join(&self, object: &Arc<Observed>, joiner: &Joiner<'_>) -> Result<(), Refusal> {
        let (url, &Joiner { question, hyperty, body, .. }) = (&object.url, joiner);
        let (names, schema) = {
            let state = object.lock();
            let schema = state.metadata.as_ref().map(|metadata| metadata.schema.clone());
            (state.name_strings(), body.schema.clone().or(schema))
        };
        question.progress(ResponseBody {
            resource: Some(url.to_string()),
            children_resources: Some(names),
            schema,
            ..ResponseBody::of(StatusCode::PROVISIONAL)
        });
        if object.lock().observers.contains_key(hyperty) {
            // Subscribed already: a fresh snapshot, nothing else (INV-SUB-5). A stale record subscribes anew.
            let fetched = self.fetch_telling(object, &|| still_coming(question)).await;
            if fetched.is_ok() && self.answer_from_copy(object, &joiner.waited()).await? {
                return Ok(());
            }
        }
        let asking = object.ask();
        let answer = self.ask_to_observe(object, hyperty, body, &|| still_coming(question)).await?;
        let joined = self.take_answer(object, joiner, &answer, asking).await;
        let asks_again =
            || object.lock().joining.iter().any(|it| it.hyperty == *hyperty && it.number != joiner.number);
        if joined.is_err() && !asks_again() {
            // Accepted there, and not here.
            self.give_back(url, hyperty, (body.identity.clone(), is_kept(body)), None);
        }
        joined
    }

    /// Step 10: what the Reporter's side has answered becomes the copy, and the answer of whoever subscribed.
    async fn take_answer(
        &self,
        object: &Arc<Observed>,
        joiner: &Joiner<'_>,
        answer: &ResponseBody,
        asking: Asking<'_>,
    ) -> Result<(), Refusal> {
        let learnt = parse_names(answer.children_resources.as_deref().unwrap_or_default());
        self.learn_names(object, &learnt).await?;
        // What the peer did wrong is not the fault of who asked.
        self.install(object, answer).map_err(|refusal| Refusal { code: StatusCode::INTERNAL, ..refusal })?;
        drop(asking);
        match self.answer_from_copy(object, &joiner.waited()).await? {
            true => Ok(()),
            false => Err(malformed("no usable snapshot")),
        }
    }

    /// Step 7: asks the Reporter's side, for no more than what the copy lacks.
    pub(crate) async fn ask_to_observe(
        &self,
        object: &Observed,
        hyperty: &HypertyUrl,
        body: &SubscribeBody,
        progress: Progress<'_>,
    ) -> Result<Arc<ResponseBody>, Refusal> {
        let url = &object.url;
        let request = SubscribeBody {
            resume: body.resume,
            since: object.lock().wanted(),
            parts: Some(true),
            source: Some(hyperty.clone()),
            subscriber: Some(hyperty.clone()),
            identity: body.identity.clone(),
            schema: body.schema.clone(),
            mutual: body.mutual,
            p2p: body.p2p,
            resumable: body.resumable.or(body.store).filter(|resumable| *resumable),
            ..SubscribeBody::default()
        };
        let message =
            self.bus().new_message(MessageType::Subscribe, self.address(), &url.subscription(), request);
        let id = message.id().clone();
        let kept = is_kept(body);
        let before = self.withdraw_leave(url, hyperty);
        let (refusal, accepted) = match self.ask_whole(message, self.config().peer_timeout, progress).await {
            Ok(answer) if answer.code.is_success() => return Ok(answer),
            Ok(answer) => (Refusal::relayed(&answer), false),
            // With an answer that cannot be had.
            Err(refusal) => (refusal, true),
        };
        let unanswered = refusal.code == StatusCode::TIMEOUT;
        if unanswered {
            self.shared.given_up.lock().note(id, url.clone(), hyperty.clone());
        }
        // It observes at the Reporter's side, or may, and not here.
        if accepted || unanswered || before.is_some() {
            self.give_back(url, hyperty, (body.identity.clone(), kept), before);
        }
        Err(refusal)
    }

    /// A subscription that was accepted after we gave up: nobody here waits for it (M9), unless it has asked again, or
    /// observes by now. Then there is nothing to give back.
    pub(crate) fn late_answer(&self, message: &Message) {
        let accepted = message.code().is_success();
        let Some((url, hyperty)) = self.shared.given_up.lock().take(message.id()).filter(|_| accepted) else {
            return;
        };
        if self.observed(&url).is_some_and(|object| object.lock().is_or_will_be_observed_by(&hyperty)) {
            return;
        }
        self.give_back(&url, &hyperty, (None, true), None);
    }

    /// Names that only the final answer told: their routes are added, and one repair brings what they missed (M21).
    pub(crate) async fn learn_names(
        &self,
        object: &Arc<Observed>,
        names: &[ChildrenName],
    ) -> Result<(), Refusal> {
        let _setup = object.setup.lock().await;
        let new: Vec<ChildrenName> = {
            let state = object.lock();
            names.iter().filter(|name| !state.names.contains(name)).cloned().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        self.add_shared_routes(object, &new)?;
        let channels: Vec<Url> = new.iter().map(|name| object.url.children(name)).collect();
        if !object.lock().routes.wishes.is_empty() {
            self.route(object, object.url.home(), channels).await?;
        }
        // What was said there before is no change since any position.
        object.lock().repair.whole = true;
        self.repair_soon(&object.url);
        Ok(())
    }
}

impl State {
    /// Whether a hyperty here observes, or has asked to.
    fn is_or_will_be_observed_by(&self, hyperty: &HypertyUrl) -> bool {
        self.observers.contains_key(hyperty) || self.joining.iter().any(|joining| joining.hyperty == *hyperty)
    }
}

/// Whether an observation is to be known after a restart.
fn is_kept(body: &SubscribeBody) -> bool {
    body.resumable.or(body.store).unwrap_or(false)
}

/// Tells whoever subscribes that a large state is still coming.
fn still_coming(question: &Question) {
    question.progress(ResponseBody::of(StatusCode::PROVISIONAL));
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL, format!("the answer of the Reporter's side cannot be used: {what}"))
}

fn parse_names(names: &[String]) -> Vec<ChildrenName> {
    names.iter().filter_map(|name| ChildrenName::new(name).ok()).collect()
}

fn provisional(url: &ObjectUrl, names: Vec<String>, schema: &Url) -> ResponseBody {
    ResponseBody {
        resource: Some(url.to_string()),
        children_resources: Some(names),
        schema: Some(schema.clone()),
        ..ResponseBody::of(StatusCode::PROVISIONAL)
    }
}
