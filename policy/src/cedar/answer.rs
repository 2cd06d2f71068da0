//! What policies say to a request, and why.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Decision as Effective, PolicySet};
use hyperty_model::Timestamp;

use super::asked::Asked;
use super::set::{Entry, Policies};
use crate::{BLOCKED, Decision, PolicyRequest};

/// What became of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It applies, and decides (with others that say the same).
    Decides,
    /// It applies, but another decides: one that forbids, or one that failed.
    Overruled,
    /// It does not apply: it is for others, or its conditions do not hold.
    DoesNotApply,
    /// It could not be evaluated, which denies the request: why.
    Failed(String),
}

/// A policy that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// What it is called.
    pub name: String,
    /// Whether it forbids.
    pub forbids: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The policies that decided, in the order of the text: none if none applies, or if the request could not be put
    /// to them.
    pub by: Vec<String>,
    /// Every policy, in the order of the text; none if the request could not be put to them.
    pub looked: Vec<Looked>,
    /// Why the request could not be put to them at all, which denies it.
    pub failed: Option<String>,
}

/// What all policies together say.
pub(super) struct Answer<'a> {
    pub decision: Decision,
    /// Those that decide.
    pub by: Vec<&'a Entry>,
    /// Those that failed, with why.
    pub failed: BTreeMap<String, String>,
}

impl Policies {
    /// Decides a request at a point in time.
    ///
    /// # Errors
    /// Why the request could not be put to the policies; it is to be denied.
    pub(super) fn answer(&self, request: &PolicyRequest, now: Timestamp) -> Result<Answer<'_>, String> {
        let asked = Asked::new(request, now, self.schema.as_ref())?;
        Ok(self.ask(&asked))
    }

    fn ask(&self, asked: &Asked) -> Answer<'_> {
        let response = authorize(&self.set, asked);
        let failed = failures(&response);
        if !failed.is_empty() {
            let by = self.entries.iter().filter(|entry| failed.contains_key(&entry.id.to_string())).collect();
            return Answer { decision: Decision::Deny(BLOCKED.to_owned()), by, failed };
        }
        // The engine tells them in the order of hashes.
        let deciding: Vec<_> = response.diagnostics().reason().collect();
        let by: Vec<&Entry> = self.entries.iter().filter(|entry| deciding.contains(&&entry.id)).collect();
        let decision = match response.decision() {
            Effective::Allow => Decision::Permit,
            Effective::Deny if by.is_empty() => Decision::NotApplicable,
            Effective::Deny => {
                let reason = by.iter().find_map(|entry| entry.reason.as_deref());
                Decision::Deny(reason.unwrap_or(BLOCKED).to_owned())
            }
        };
        Answer { decision, by, failed }
    }

    /// As [`Policies::answer`], with what became of every policy: each is asked alone, too.
    pub(super) fn explain(&self, request: &PolicyRequest, now: Timestamp) -> Explanation {
        let asked = match Asked::new(request, now, self.schema.as_ref()) {
            Ok(asked) => asked,
            Err(failed) => {
                let decision = Decision::Deny(BLOCKED.to_owned());
                return Explanation { decision, by: Vec::new(), looked: Vec::new(), failed: Some(failed) };
            }
        };
        let answer = self.ask(&asked);
        let outcome = |entry: &Entry| {
            let alone = authorize(&entry.alone, &asked);
            if let Some(error) = failures(&alone).into_values().next() {
                return Outcome::Failed(error);
            }
            let applies = alone.diagnostics().reason().next().is_some();
            match applies {
                true if answer.by.iter().any(|by| by.id == entry.id) => Outcome::Decides,
                true => Outcome::Overruled,
                false => Outcome::DoesNotApply,
            }
        };
        let looked = self.entries.iter().map(|entry| Looked {
            name: entry.name.clone(),
            forbids: entry.forbids,
            outcome: outcome(entry),
        });
        let looked = looked.collect();
        let by = answer.by.iter().map(|entry| entry.name.clone()).collect();
        Explanation { decision: answer.decision, by, looked, failed: None }
    }
}

fn authorize(set: &PolicySet, asked: &Asked) -> cedar_policy::Response {
    Authorizer::new().is_authorized(&asked.request, set, &asked.entities)
}

/// Which policies could not be evaluated, by id, and why.
fn failures(response: &cedar_policy::Response) -> BTreeMap<String, String> {
    let told = response.diagnostics().errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        (error.policy_id().to_string(), error.inner().to_string())
    });
    told.collect()
}
