//! An observer asks the Reporter to do something: `execute` to `O`, handed on as `forward` to the Reporter.
//!
//! This is how observers change what they do not own: the application decides, acts, and answers. Only an accepted
//! observer may ask, and only one who still is gets to know the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::{ExecuteBody, ForwardExecute, ForwardExecuteBody, ResponseBody};
use hyperty_model::{Body, HypertyUrl, Identity, Message, MessageType, ObjectUrl, StatusCode, Timestamp};

use super::object::{Phase, Reported};
use super::remove::removed_refusal;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;

/// Actions that are not answered, for each observer.
#[derive(Default)]
pub(crate) struct Actions {
    of: BTreeMap<HypertyUrl, usize>,
    all: usize,
}

impl Actions {
    /// Counts one more, if there is room for it.
    fn begin(&mut self, who: &HypertyUrl, own_max: usize, max: usize) -> bool {
        if self.all >= max || self.of.get(who).is_some_and(|count| *count >= own_max) || own_max == 0 {
            return false;
        }
        self.all += 1;
        *self.of.entry(who.clone()).or_default() += 1;
        true
    }

    fn end(&mut self, who: &HypertyUrl) {
        if let Some(count) = self.of.get_mut(who) {
            self.all -= 1;
            *count -= 1;
            if *count == 0 {
                self.of.remove(who);
            }
        }
    }
}

/// One action under way; ends when dropped, however the procedure ends.
struct Acting {
    object: Arc<Reported>,
    who: HypertyUrl,
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.object.lock().actions.end(&self.who);
    }
}

impl SyncManager {
    /// `execute` to `O`.
    pub(crate) async fn execute(&self, question: Question, url: &ObjectUrl, body: &ExecuteBody) {
        let outcome = self.act(&question, url, body).await;
        question.answer(outcome.unwrap_or_else(ResponseBody::from));
    }

    async fn act(
        &self,
        question: &Question,
        url: &ObjectUrl,
        body: &ExecuteBody,
    ) -> Result<ResponseBody, Refusal> {
        let (who, identity) = self.actor_of(question, body)?;
        if body.method.is_empty() {
            return Err(Refusal::missing("method"));
        }
        let size = question.request().body().raw().len();
        if size > self.config().action_bytes_max {
            let text = format!("{size} bytes; an action has at most {}", self.config().action_bytes_max);
            return Err(Refusal::bad_request(text).because("limit"));
        }
        let object = self.reported(url).ok_or_else(|| Refusal::unknown(url))?;
        let _acting = self.begin_action(&object, &who)?;
        let answer = self.hand_on(question, &object, &who, identity, body).await?;
        // Meanwhile it may have been removed, or the object deleted (M6).
        check_observes(&object, &who, self.now())?;
        let size = answer.value.as_ref().map_or(0, |value| value.to_string().len());
        if size > self.config().action_bytes_max {
            let text = "what the Reporter answered is too large";
            return Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        Ok(answer)
    }

    /// Who asks: the sender and nobody else; a hyperty of this runtime by what the runtime knows of it.
    fn actor_of(
        &self,
        question: &Question,
        body: &ExecuteBody,
    ) -> Result<(HypertyUrl, Option<Identity>), Refusal> {
        let request = question.request();
        let who = HypertyUrl::try_from(request.from().clone())
            .map_err(|_| Refusal::new(StatusCode::FORBIDDEN, "only observers ask for actions"))?;
        if request.is_remote() {
            return Ok((who, body.identity.clone()));
        }
        if request.sender() != Some(request.from()) {
            let text = "a hyperty asks for actions in its own name only";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        let identity = self.shared.parts.registry.user_of(&who);
        Ok((who, identity))
    }

    fn begin_action(&self, object: &Arc<Reported>, who: &HypertyUrl) -> Result<Acting, Refusal> {
        check_observes(object, who, self.now())?;
        let config = self.config();
        let begun = object.lock().actions.begin(who, config.actions_per_observer_max, config.actions_max);
        match begun {
            true => Ok(Acting { object: Arc::clone(object), who: who.clone() }),
            false => {
                let text = "too many actions wait for their answers";
                Err(Refusal::new(StatusCode::INTERNAL, text).because("limit"))
            }
        }
    }

    /// Hands an action on to the Reporter's application.
    async fn hand_on(
        &self,
        question: &Question,
        object: &Reported,
        who: &HypertyUrl,
        identity: Option<Identity>,
        body: &ExecuteBody,
    ) -> Result<ResponseBody, Refusal> {
        let forward = Body::of(ForwardExecuteBody {
            kind: ForwardExecute::Execute,
            from: who.as_url().clone(),
            to: object.url.clone(),
            identity,
            method: body.method.clone(),
            params: body.clone().into_params(),
        });
        let mut asking = self.begin_asking();
        let answer = loop {
            let answer = self.ask_to_act(question, object, forward.clone(), asking.left()).await?;
            if !self.ask_again(object, &answer, &mut asking).await {
                break answer;
            }
        };
        let body = answer.decode::<ResponseBody>()?;
        match body.code {
            code if code.is_success() => {
                Ok(ResponseBody { code, value: body.value.clone(), ..ResponseBody::default() })
            }
            StatusCode::TIMEOUT if body.reason.is_none() => {
                Err(Refusal::new(StatusCode::TIMEOUT, "the Reporter did not answer in time"))
            }
            StatusCode::NOT_FOUND if body.reason.as_deref() == Some("no-route") => {
                Err(Refusal::new(StatusCode::TIMEOUT, "the Reporter is not here to act"))
            }
            _ => Err(Refusal::relayed(&body)),
        }
    }

    /// Asks it, and hands its provisional answers back. Each gives the application more time, up to a limit.
    async fn ask_to_act(
        &self,
        question: &Question,
        object: &Reported,
        forward: Body,
        wait: Duration,
    ) -> Result<Message, Refusal> {
        let reporter = object.lock().metadata.reporter.clone();
        let message = self.bus().new_message(MessageType::Forward, object.url.as_url(), &reporter, forward);
        let (progress, mut told) = tokio::sync::mpsc::channel(1);
        let request = self.bus().request(message).timeout(wait);
        // One that is not told yet stands for those that follow.
        let request = request.on_provisional(move |_| {
            let _ = progress.try_send(());
        });
        let asking = async {
            tokio::pin!(request);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut request => break answer,
                    Some(()) = told.recv() => {
                        question.progress(ResponseBody::of(StatusCode::PROVISIONAL));
                    }
                }
            }
        };
        let too_long = |_| Refusal::new(StatusCode::TIMEOUT, "the action took too long");
        tokio::time::timeout(self.config().action_timeout, asking).await.map_err(too_long)
    }
}

/// Whether somebody observes the object, which is there.
fn check_observes(object: &Reported, who: &HypertyUrl, now: Timestamp) -> Result<(), Refusal> {
    let state = object.lock();
    state.check_there()?;
    if matches!(state.phase, Phase::Ending) {
        return Err(Refusal::new(StatusCode::INTERNAL, "the runtime is ending"));
    }
    if state.observers.contains_key(who) {
        return Ok(());
    }
    match state.shuts_out(who, now) {
        true => Err(removed_refusal()),
        false => Err(Refusal::new(StatusCode::FORBIDDEN, "only observers ask for actions")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_counted_for_each_and_for_all() {
        let who = |name: &str| HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap();
        let mut actions = Actions::default();
        assert!(actions.begin(&who("bob"), 2, 3) && actions.begin(&who("bob"), 2, 3));
        assert!(!actions.begin(&who("bob"), 2, 3));
        assert!(actions.begin(&who("carol"), 2, 3));
        assert!(!actions.begin(&who("dave"), 2, 3));
        actions.end(&who("bob"));
        actions.end(&who("dave"));
        assert!(actions.begin(&who("dave"), 2, 3));
        assert_eq!((actions.all, actions.of.len()), (3, 3));
    }
}
