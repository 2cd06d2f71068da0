//! Lines about others: who may observe, who does, who asks, and whose the object is to be.

use std::task::Poll;

use hyperty_model::{HypertyUrl, Url};
use hyperty_runtime::syncher::{
    DelegateError, InviteAnswer, InviteAnswers, InviteError, Observer, RemoveError, RevokeError,
};

use super::super::input::{Answer, Invite};
use super::Pump;
use crate::output::{Event, ObserverLine, Output};

impl Pump<'_> {
    /// Lets some observe, and asks them; what they say is told when they say it.
    pub(super) async fn invite(&mut self, line: u64, wanted: &Invite) {
        let Invite { who, children, until, announce } = wanted;
        let invite = self.reporter.invite(who.iter().cloned()).children(*children);
        let invite = match until {
            Some(until) => invite.until(*until),
            None => invite,
        };
        let invite = if *announce { invite.announce() } else { invite };
        match invite.await {
            Ok(answers) => {
                self.output.emit(&Event::Inviting { invitees: who, line });
                self.invited.push(answers);
            }
            Err(error) => {
                let code = match &error {
                    InviteError::Refused { code, .. } => code.0,
                    InviteError::Timeout => 408,
                    InviteError::Closed => 410,
                    _ => 500,
                };
                self.reject(line, code, error.to_string());
            }
        }
    }

    /// Takes an invitation back.
    pub(super) async fn revoke(&mut self, line: u64, who: &Url) {
        match self.reporter.revoke(who).await {
            Ok(()) => drop(self.output.emit(&Event::Revoked { invitee: who, line })),
            Err(error) => {
                let code = match &error {
                    RevokeError::Observing => 409,
                    RevokeError::NotGranted => 404,
                    RevokeError::Refused { code, .. } => code.0,
                    RevokeError::Timeout => 408,
                    _ => 500,
                };
                self.reject(line, code, error.to_string());
            }
        }
    }

    /// Offers the object; returns how it is observed if it was taken.
    pub(super) async fn delegate(&mut self, line: u64, to: &HypertyUrl) -> Option<Observer> {
        match self.reporter.delegate(to).await {
            Ok(observer) => {
                self.output.emit(&Event::Delegated { url: observer.url(), to, line });
                Some(observer)
            }
            Err(error) => {
                let code = match &error {
                    DelegateError::Declined(_) => 406,
                    DelegateError::Expired(_) | DelegateError::Timeout => 408,
                    DelegateError::Refused { code, .. } => code.0,
                    _ => 500,
                };
                self.reject(line, code, error.to_string());
                None
            }
        }
    }

    /// Ends an observation.
    pub(super) async fn remove(&mut self, line: u64, who: &HypertyUrl) {
        match self.reporter.remove_observer(who).await {
            Ok(()) => drop(self.output.emit(&Event::Removed { observer: who, line })),
            Err(error) => {
                let code = match &error {
                    RemoveError::NotObserving(_) => 404,
                    RemoveError::Refused { code, .. } => code.0,
                    RemoveError::Timeout => 408,
                    _ => 500,
                };
                self.reject(line, code, error.to_string());
            }
        }
    }

    /// Tells who observes.
    pub(super) fn tell_observers(&self) {
        let observers = self.reporter.observers().into_iter().map(ObserverLine::of).collect();
        self.output.emit(&Event::Observers { observers });
    }

    /// Answers what an observer asked for.
    pub(super) fn answer(&mut self, line: u64, answer: &Answer) {
        let request = self.asked.borrow_mut().remove(&answer.request);
        let answered = request.is_some_and(|request| match &answer.outcome {
            Ok(value) => request.answer(value.clone()),
            Err((code, why)) => request.refuse(*code, why),
        });
        match answered {
            true => drop(self.output.emit(&Event::Answered { request: answer.request, line })),
            false => self.reject(line, 404, format!("no request {} waits for an answer", answer.request)),
        }
    }
}

/// The next that one of the invited says; waits for ever if nobody is.
pub(super) async fn next_answer(invited: &mut Vec<InviteAnswers>) -> InviteAnswer {
    std::future::poll_fn(|context| {
        let mut at = 0;
        while at < invited.len() {
            let heard = std::pin::pin!(invited[at].next()).poll(context);
            match heard {
                Poll::Ready(Some(answer)) => return Poll::Ready(answer),
                Poll::Ready(None) => drop(invited.swap_remove(at)),
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    })
    .await
}

/// Tells what an invited hyperty says.
pub(in crate::commands::report) fn tell(output: &Output, answer: &InviteAnswer) {
    let InviteAnswer { invitee, code, reason, provisional } = answer;
    output.emit(&Event::Invitee { invitee, code: code.0, reason, provisional: *provisional });
}
