//! Policies as they stand in a file, read and checked.

use std::str::FromStr;

use cedar_policy::{Effect, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;
use thiserror::Error;

use crate::rules::{RULES_BYTES_MAX, RULES_MAX};

/// What requests bring, as a Cedar schema: to check policies against, and for editors.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Why policies were not taken. The ones before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CedarError {
    /// The text is longer than [`RULES_BYTES_MAX`]: decide in code.
    #[error("the policies take {bytes} bytes, {RULES_BYTES_MAX} at most are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text is not Cedar: the message tells where.
    #[error("{0}")]
    Form(String),
    /// There are more than [`RULES_MAX`] policies.
    #[error("there are {count} policies, {RULES_MAX} at most are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A policy has slots to fill in, and nothing here does: write it out.
    #[error("{name:?} is a template, which says nothing before its slots are filled in")]
    Template {
        /// Which.
        name: String,
    },
    /// Two policies have the same `@id`: explanations could not tell them apart.
    #[error("there are two policies {name:?}")]
    Twice {
        /// What both are called.
        name: String,
    },
    /// The schema is none.
    #[error("the schema: {0}")]
    Schema(String),
    /// The policies do not agree with the schema: each line tells where and how.
    #[error("{0}")]
    Disagrees(String),
}

/// One policy.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the text.
    pub id: PolicyId,
    /// What it is called: its `@id`, else its number.
    pub name: String,
    /// What a refusal by it says.
    pub reason: Option<String>,
    /// Whether it forbids.
    pub forbids: bool,
    /// It alone.
    pub alone: PolicySet,
}

/// Policies that were read, and checked if there is something to check them against.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// All.
    pub set: PolicySet,
    /// Each, in the order of the text: the engine tells of them in the order of hashes.
    pub entries: Vec<Entry>,
    /// What they were checked against, and requests are.
    pub schema: Option<Schema>,
}

impl Policies {
    /// Reads policies.
    pub(super) fn parse(text: &str, schema: Option<&str>) -> Result<Policies, CedarError> {
        if text.len() > RULES_BYTES_MAX {
            return Err(CedarError::TooLong { bytes: text.len() });
        }
        let set = PolicySet::from_str(text).map_err(|error| CedarError::Form(located(&error, text)))?;
        if let Some(template) = set.templates().min_by_key(|template| number(template.id())) {
            let name = template.annotation("id").map_or_else(|| template.id().to_string(), str::to_owned);
            return Err(CedarError::Template { name });
        }
        let entries = entries(&set)?;
        let schema = schema.map(read_schema).transpose()?;
        if let Some(schema) = &schema {
            check(&set, schema, text)?;
        }
        Ok(Policies { set, entries, schema })
    }
}

fn entries(set: &PolicySet) -> Result<Vec<Entry>, CedarError> {
    let count = set.policies().count();
    if count > RULES_MAX {
        return Err(CedarError::TooMany { count });
    }
    let mut policies: Vec<_> = set.policies().collect();
    policies.sort_by_key(|policy| number(policy.id()));
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let mut names = std::collections::BTreeSet::new();
    for policy in policies {
        let name = policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned);
        if !names.insert(name.clone()) {
            return Err(CedarError::Twice { name });
        }
        let mut alone = PolicySet::new();
        alone.add(policy.clone()).map_err(|error| CedarError::Form(error.to_string()))?;
        let reason = policy.annotation("reason").filter(|reason| !reason.trim().is_empty());
        entries.push(Entry {
            id: policy.id().clone(),
            name,
            reason: reason.map(str::to_owned),
            forbids: policy.effect() == Effect::Forbid,
            alone,
        });
    }
    Ok(entries)
}

/// The place of a policy in the text, which its id ends with: `policy10` comes after `policy9`.
fn number(id: &PolicyId) -> (usize, String) {
    let text = id.to_string();
    let digits = text.trim_start_matches(|character: char| !character.is_ascii_digit());
    (digits.parse().unwrap_or(usize::MAX), text)
}

fn read_schema(text: &str) -> Result<Schema, CedarError> {
    if text.len() > RULES_BYTES_MAX {
        return Err(CedarError::Schema(format!(
            "it takes {} bytes, {RULES_BYTES_MAX} at most are allowed",
            text.len()
        )));
    }
    let read = Schema::from_cedarschema_str(text).map(|(schema, _)| schema);
    read.map_err(|error| CedarError::Schema(located(&error, text)))
}

fn check(set: &PolicySet, schema: &Schema, text: &str) -> Result<(), CedarError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    // In the order of the text, whatever order they were found in.
    let mut wrong: Vec<(usize, String)> =
        result.validation_errors().map(|error| (offset(error).unwrap_or(0), located(error, text))).collect();
    wrong.sort();
    if wrong.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = wrong.into_iter().map(|(_, line)| line).collect();
    Err(CedarError::Disagrees(lines.join("\n")))
}

/// What is wrong, with the line and column where.
fn located(error: &dyn Diagnostic, text: &str) -> String {
    let Some(before) = offset(error).and_then(|offset| text.get(..offset)) else { return error.to_string() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {error}")
}

fn offset(error: &dyn Diagnostic) -> Option<usize> {
    error.labels()?.map(|label| label.offset()).min()
}
