//! Rules as they stand in a file.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::condition::{Condition, DEPTH_MAX, Groups};
use crate::Point;

/// Largest file of rules. It is read in one go, and whole sets are kept in memory: 256 KiB are some thousand rules.
pub const RULES_BYTES_MAX: usize = 256 << 10;

/// Most rules. All of a point are looked at for each request, so this is what bounds the time of a decision.
pub const RULES_MAX: usize = 1_000;

/// What is made of several rules that apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// One that blocks decides, else one that allows.
    #[default]
    BlockOverrides,
    /// One that allows decides, else one that blocks.
    AllowOverrides,
    /// The first in their order decides.
    FirstApplicable,
}

/// Whose objects a rule is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everybody's.
    #[default]
    Global,
    /// Those of one Reporter; `target` is its hyperty.
    Hyperty,
    /// Those of one user; `target` is its URL or GUID.
    Identity,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called in explanations and logs.
    pub name: String,
    /// Whether it allows (`true`) or blocks.
    pub decision: bool,
    /// At which points it is looked at; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Point>,
    /// When it applies; `None` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Whose objects it is for.
    #[serde(default)]
    pub scope: Scope,
    /// The Reporter or user of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Larger ones come first.
    #[serde(default)]
    pub priority: i64,
    /// What a refusal by it says; [`BLOCKED`](crate::BLOCKED) if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Rules, in the order in which they are looked at, and how they are combined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    #[serde(default)]
    pub(super) algorithm: Algorithm,
    #[serde(default)]
    pub(super) groups: Groups,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<Rule>,
}

/// Why rules were not taken. The ones before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The text is longer than [`RULES_BYTES_MAX`]: put people into groups, or decide in code.
    #[error("the rules take {bytes} bytes, {RULES_BYTES_MAX} at most are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text is not of the form: the message tells where and what was expected.
    #[error("{0}")]
    Form(String),
    /// There are more than [`RULES_MAX`] rules.
    #[error("there are {count} rules, {RULES_MAX} at most are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A rule cannot mean what it says: mend that rule.
    #[error("rule {name:?}: {what}")]
    Rule {
        /// Which rule.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl RuleSet {
    /// Reads rules from TOML.
    ///
    /// # Errors
    /// [`RulesError`]; for a mistake in the form with line and column.
    pub fn from_toml(text: &str) -> Result<RuleSet, RulesError> {
        check_length(text)?;
        toml::from_str::<RuleSet>(text).map_err(|error| RulesError::Form(error.to_string()))?.checked()
    }

    /// Reads rules from JSON.
    ///
    /// # Errors
    /// As for [`RuleSet::from_toml`].
    pub fn from_json(text: &str) -> Result<RuleSet, RulesError> {
        check_length(text)?;
        serde_json::from_str::<RuleSet>(text).map_err(|error| RulesError::Form(error.to_string()))?.checked()
    }

    /// How rules are combined.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The rules, in the order in which they are looked at.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn checked(mut self) -> Result<RuleSet, RulesError> {
        if self.rules.len() > RULES_MAX {
            return Err(RulesError::TooMany { count: self.rules.len() });
        }
        for rule in &self.rules {
            let wrong = |what: String| Err(RulesError::Rule { name: rule.name.clone(), what });
            match (rule.scope, &rule.target) {
                (Scope::Global, Some(_)) => return wrong("a global rule has no target".to_owned()),
                (Scope::Hyperty | Scope::Identity, None) => {
                    return wrong("its scope needs a target".to_owned());
                }
                _ => {}
            }
            let Some(condition) = &rule.condition else { continue };
            if condition.depth() > DEPTH_MAX {
                return wrong(format!("its condition is nested deeper than {DEPTH_MAX}"));
            }
            if let Some(unknown) =
                condition.groups().into_iter().find(|name| !self.groups.contains_key(*name))
            {
                return wrong(format!("there is no group {unknown:?}"));
            }
        }
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority)); // stable: then as in the file
        Ok(self)
    }
}

fn check_length(text: &str) -> Result<(), RulesError> {
    match text.len() {
        bytes if bytes > RULES_BYTES_MAX => Err(RulesError::TooLong { bytes }),
        _ => Ok(()),
    }
}
