//! What rules say to a request, and why.

use hyperty_model::Timestamp;

use super::set::{Algorithm, Rule, RuleSet, Scope};
use crate::moment::Moment;
use crate::{BLOCKED, Decision, PolicyRequest};

/// Whether a rule applies to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The request does not tell what it asks for. A blocking rule applies then, an allowing one does not.
    Unknown,
}

/// A rule that was looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Looked<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether it applies.
    pub applies: Applies,
    /// Whether the object is one that it is for; `None` if the request does not tell.
    pub in_scope: Option<bool>,
    /// Whether its condition holds; `None` if the request does not tell.
    pub condition: Option<bool>,
}

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'a> {
    /// The decision.
    pub decision: Decision,
    /// The rule that decided; `None` if none applies.
    pub by: Option<&'a Rule>,
    /// Every rule of the point and scope, in order.
    pub looked: Vec<Looked<'a>>,
}

impl RuleSet {
    /// Decides a request at a point in time.
    pub fn decide(&self, request: &PolicyRequest, now: Timestamp) -> Decision {
        decision(self.deciding(self.looked_at(request, now)))
    }

    /// As [`RuleSet::decide`], with every rule that was looked at.
    pub fn explain(&self, request: &PolicyRequest, now: Timestamp) -> Explanation<'_> {
        let looked: Vec<Looked<'_>> = self.looked_at(request, now).collect();
        let by = self.deciding(looked.iter().copied());
        Explanation { decision: decision(by), by, looked }
    }

    fn looked_at<'a, 'r>(
        &'a self,
        request: &'r PolicyRequest,
        now: Timestamp,
    ) -> impl Iterator<Item = Looked<'a>> + use<'a, 'r> {
        let now = Moment::at(now);
        let of_the_point =
            self.rules.iter().filter(|rule| rule.points.is_empty() || rule.points.contains(&request.point));
        of_the_point.map(move |rule| {
            let condition = match &rule.condition {
                Some(condition) => condition.holds(request, now, &self.groups),
                None => Some(true),
            };
            let in_scope = in_scope(rule, request);
            let applies = match (in_scope, condition) {
                (Some(true), Some(true)) => Applies::Yes,
                (Some(false), _) | (_, Some(false)) => Applies::No,
                _ => Applies::Unknown,
            };
            Looked { rule, applies, in_scope, condition }
        })
    }

    fn deciding<'a>(&self, looked: impl Iterator<Item = Looked<'a>>) -> Option<&'a Rule> {
        let mut applying = looked.filter(|looked| match looked.applies {
            Applies::Yes => true,
            Applies::No => false,
            Applies::Unknown => !looked.rule.decision,
        });
        let strong = match self.algorithm {
            Algorithm::FirstApplicable => return applying.next().map(|looked| looked.rule),
            Algorithm::BlockOverrides => false,
            Algorithm::AllowOverrides => true,
        };
        let mut weak = None;
        for Looked { rule, .. } in applying {
            if rule.decision == strong {
                return Some(rule);
            }
            weak = weak.or(Some(rule));
        }
        weak
    }
}

/// Whether the object is one that the rule is for; `None` if its Reporter is not known.
fn in_scope(rule: &Rule, request: &PolicyRequest) -> Option<bool> {
    let target = rule.target.as_deref();
    match rule.scope {
        Scope::Global => Some(true),
        Scope::Hyperty => Some(Some(request.reporter.as_ref()?.as_str()) == target),
        Scope::Identity => {
            let user = request.reporter_user.as_ref()?;
            Some(target.is_some() && (user.user() == target || user.guid() == target))
        }
    }
}

fn decision(by: Option<&Rule>) -> Decision {
    match by {
        None => Decision::NotApplicable,
        Some(rule) if rule.decision => Decision::Permit,
        Some(rule) => Decision::Deny(rule.reason.clone().unwrap_or_else(|| BLOCKED.to_owned())),
    }
}
