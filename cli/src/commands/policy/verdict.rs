//! What rules or policies say to a request, in one form.

use std::borrow::Cow;

use hyperty_runtime::policy::Decision;
use hyperty_runtime::policy::rules::{Applies, Explanation, Looked, Rule, RuleSet, Scope};
use serde::Serialize;

/// One line of output for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    event: &'static str,
    /// `permit`, `deny` or `not-applicable`.
    pub decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What a refusal says.
    pub reason: Option<String>,
    /// The rule that decides; several policies with commas.
    pub by: Option<String>,
    /// Why there is nothing to be said of rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// What became of each.
    pub rules: Vec<Line>,
}

/// What became of one rule.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    name: String,
    /// Why it decides, or why not.
    pub why: Cow<'static, str>,
}

/// What rules say.
pub(super) fn of_rules(rules: &RuleSet, explanation: &Explanation<'_>) -> Verdict {
    let why = |rule: &Rule| {
        let looked = explanation.looked.iter().find(|looked| std::ptr::eq(looked.rule, rule));
        why(looked, explanation.by.is_some_and(|by| std::ptr::eq(by, rule)))
    };
    let lines = rules.rules().iter().map(|rule| Line { name: rule.name.clone(), why: why(rule).into() });
    let by = explanation.by.map(|rule| rule.name.clone());
    verdict(&explanation.decision, by, lines.collect())
}

/// What Cedar policies say.
#[cfg(feature = "cedar")]
pub(super) fn of_policies(explanation: hyperty_runtime::policy::cedar::Explanation) -> Verdict {
    use hyperty_runtime::policy::cedar::Outcome;

    let why = |outcome| match outcome {
        Outcome::Decides => "decides".into(),
        Outcome::Overruled => "applies, but another stands before it".into(),
        Outcome::DoesNotApply => "does not apply: it is for others, or its condition does not hold".into(),
        Outcome::Failed(error) => format!("decides: it cannot be evaluated, and that denies: {error}").into(),
    };
    let lines = explanation.looked.into_iter().map(|one| Line { name: one.name, why: why(one.outcome) });
    let by = (!explanation.by.is_empty()).then(|| explanation.by.join(", "));
    Verdict { failed: explanation.failed, ..verdict(&explanation.decision, by, lines.collect()) }
}

fn verdict(decision: &Decision, by: Option<String>, rules: Vec<Line>) -> Verdict {
    let (decision, reason) = match decision {
        Decision::Permit => ("permit", None),
        Decision::Deny(reason) => ("deny", Some(reason.clone())),
        Decision::NotApplicable => ("not-applicable", None),
    };
    Verdict { event: "verdict", decision, reason, by, failed: None, rules }
}

/// Why a rule decides, or why not.
fn why(looked: Option<&Looked<'_>>, decides: bool) -> &'static str {
    let Some(Looked { rule, applies, in_scope, condition }) = looked else {
        return "not looked at: it is for other points";
    };
    match (applies, in_scope, condition) {
        (Applies::Yes, ..) if decides => "decides",
        (Applies::Unknown, ..) if decides => {
            "decides: the request does not tell what it asks for, and what blocks applies then"
        }
        (Applies::Yes, ..) => "applies, but another stands before it",
        (Applies::Unknown, ..) if rule.decision => {
            "does not apply: the request does not tell what it asks for, and what allows needs to know"
        }
        (Applies::Unknown, ..) => "applies, because the request does not tell, but another stands before it",
        (Applies::No, Some(false), _) if rule.scope == Scope::Hyperty => {
            "does not apply: another Reporter's object"
        }
        (Applies::No, Some(false), _) => "does not apply: the object of another user",
        (Applies::No, ..) => "does not apply: its condition does not hold",
    }
}

/// For people.
pub(super) fn show(verdict: &Verdict) -> String {
    let mut text = verdict.decision.to_owned();
    if let Some(reason) = &verdict.reason {
        text += &format!(": {reason}");
    }
    match (&verdict.by, &verdict.failed) {
        (Some(by), _) => text += &format!(" (by {by:?})"),
        (None, Some(failed)) => {
            text += &format!(" (it cannot be put to the policies, and that denies: {failed})")
        }
        (None, None) => {
            text += " (no rule decides: the protocol's own rule applies, or the application is asked)"
        }
    }
    for line in &verdict.rules {
        text += &format!("\n  {:?}: {}", line.name, line.why);
    }
    text
}
