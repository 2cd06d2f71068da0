//! P-CHILD (protocol 4.3.1): who writes a child needs the policy's leave, after membership, scope and schema were
//! checked. Operations on an object stay in the order in which they came, also while the policy takes its time.

use std::collections::VecDeque;
use std::sync::Arc;

use hyperty_model::{DerivedTail, Message, MessageType, StatusCode};
use hyperty_policy::{Point, PolicyRequest};
use parking_lot::Mutex;

use super::children::withdraws;
use super::object::Reported;
use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Child operations of one object that wait for the policy. One more is refused; its writer sends it again (M18).
const WAITING_MAX: usize = 1_024;

/// Child operations that wait for the policy to decide on the first of them.
#[derive(Default)]
pub(crate) struct ChildGate(Mutex<VecDeque<Message>>);

impl SyncManager {
    /// Whatever is sent to a children channel of a reported object comes here and nowhere else (A4).
    pub(crate) fn on_child_channel(&self, object: &Arc<Reported>, message: &Message) {
        if !matches!(message.kind(), MessageType::Create | MessageType::Update | MessageType::Delete) {
            return;
        }
        let mut waiting = object.child_gate.0.lock();
        if waiting.is_empty() {
            let Some(request) = self.child_request(object, message) else {
                drop(waiting);
                // It is refused there, or a deletion that is its writer's to make: the policy has no say.
                return self.on_child(object, message);
            };
            if let Some(decided) = self.decide_now(&request) {
                drop(waiting);
                return self.on_decided_child(object, message, decided);
            }
            waiting.push_back(message.clone());
            drop(waiting);
            let (manager, object) = (self.clone(), Arc::clone(object));
            self.later(Box::pin(async move { manager.decide_children(&object).await }));
        } else if waiting.len() < WAITING_MAX {
            waiting.push_back(message.clone());
        } else {
            drop(waiting);
            let refusal =
                Refusal::new(StatusCode::INTERNAL, "too many operations on children wait for a decision");
            self.answer_child(message, refusal.because("limit").into());
        }
    }

    /// One after the other, until none waits.
    async fn decide_children(&self, object: &Arc<Reported>) {
        let mut first = object.child_gate.0.lock().front().cloned();
        while let Some(message) = first {
            let decided = match self.child_request(object, &message) {
                Some(request) => self.decide(&request).await,
                None => Ok(false),
            };
            self.on_decided_child(object, &message, decided);
            // In one step: one that comes behind the last begins anew, and is decided by nobody else.
            let mut waiting = object.child_gate.0.lock();
            waiting.pop_front();
            first = waiting.front().cloned();
        }
    }

    fn on_decided_child(&self, object: &Arc<Reported>, message: &Message, decided: Result<bool, Refusal>) {
        match decided {
            Ok(_) => self.on_child(object, message),
            Err(refusal) => {
                tracing::debug!(object = %object.url, %refusal, "a child operation was denied");
                self.answer_child(message, refusal.into());
            }
        }
    }

    /// What the policy is asked; `None` about what is refused anyway, and about what is withdrawn by its writer.
    fn child_request(&self, object: &Reported, message: &Message) -> Option<PolicyRequest> {
        let Some((_, Some(DerivedTail::Children(name)))) = message.to().split_derived() else { return None };
        let (writer, identity) = self.child_writer(object, &name, message).ok()?;
        if withdraws(&object.lock(), &name, &writer, message) {
            return None;
        }
        let request = object.policy_request(Point::Child, writer.as_url(), identity.as_ref());
        Some(request.children(name))
    }
}
