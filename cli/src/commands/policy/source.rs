//! What decides: rules, or Cedar policies if the command is built with them.

use std::path::Path;

use hyperty_model::Timestamp;
#[cfg(not(feature = "cedar"))]
use hyperty_runtime::policy::rules::RuleFileError;
use hyperty_runtime::policy::rules::{Algorithm, RuleFile, RuleSet};
use hyperty_runtime::policy::{Decision, PolicyRequest};

use super::verdict::{self, Verdict};
use crate::exit::Failure;

/// A file that was read.
pub(super) enum Source {
    Rules(RuleSet),
    #[cfg(feature = "cedar")]
    Cedar(hyperty_runtime::policy::cedar::CedarPolicy),
}

/// What policies are held against when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// What requests bring: what cannot go well is told.
    Schema,
    /// Nothing: what goes wrong is seen when they are asked.
    Nothing,
}

/// Reads a file: Cedar if its name ends with `.cedar`, else rules.
///
/// # Errors
/// [`Exit::Usage`](crate::exit::Exit::Usage) when it cannot be taken.
pub(super) fn open(file: &Path, against: Against) -> Result<Source, Failure> {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("cedar")) {
        return cedar(file, against);
    }
    RuleFile::open(file).map(|(_, rules)| Source::Rules(rules)).map_err(Failure::usage)
}

#[cfg(not(feature = "cedar"))]
fn cedar(file: &Path, _against: Against) -> Result<Source, Failure> {
    Err(Failure::usage(RuleFileError::NotBuilt { path: file.display().to_string() }))
}

#[cfg(feature = "cedar")]
fn cedar(file: &Path, against: Against) -> Result<Source, Failure> {
    use std::io::Read;

    use hyperty_runtime::policy::cedar::{CedarPolicy, SCHEMA};
    use hyperty_runtime::policy::rules::RULES_BYTES_MAX;

    let failed = |error: &dyn std::fmt::Display| Failure::usage_of(file, error);
    let mut text = String::new();
    // A little more than is allowed: what is too long is told as such, and is not read whole.
    let opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
    opened.take(RULES_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let schema = (against == Against::Schema).then_some(SCHEMA);
    let policies = CedarPolicy::parse(&text, schema, std::sync::Arc::new(hyperty_model::SystemClock));
    policies.map(Source::Cedar).map_err(|error| failed(&error))
}

impl Source {
    /// How many rules or policies there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Source::Rules(rules) => rules.rules().len(),
            #[cfg(feature = "cedar")]
            Source::Cedar(policies) => policies.count(),
        }
    }

    /// How they are combined.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Source::Rules(rules) => rules.algorithm(),
            #[cfg(feature = "cedar")]
            Source::Cedar(_) => Algorithm::BlockOverrides,
        }
    }

    /// What it says to a request, and why.
    pub(super) fn explain(&self, request: &PolicyRequest, now: Timestamp) -> (Decision, Verdict) {
        match self {
            Source::Rules(rules) => {
                let explanation = rules.explain(request, now);
                let verdict = verdict::of_rules(rules, &explanation);
                (explanation.decision, verdict)
            }
            #[cfg(feature = "cedar")]
            Source::Cedar(policies) => {
                let explanation = policies.explain(request, now);
                (explanation.decision.clone(), verdict::of_policies(explanation))
            }
        }
    }
}
