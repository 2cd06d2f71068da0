//! Resume by criteria, and what a former Reporter is told (protocol 5.10).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::{UpdateBody, WireBody};
use crate::resume::{Criteria, CriteriaError};
use crate::{HypertyUrl, ObjectUrl, Position, RuntimeUrl};

/// Body of a `create` or `subscribe` that goes on with what there is. Read before the procedure is known: what is not
/// a resume has other members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeBody {
    /// Marks a request to resume.
    pub resume: bool,
    /// The criteria.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl ResumeBody {
    /// A request with these criteria.
    pub fn of(criteria: &Criteria) -> ResumeBody {
        ResumeBody { resume: true, members: criteria.to_members() }
    }

    /// What is asked for.
    ///
    /// # Errors
    /// [`CriteriaError`]; answer 400.
    pub fn criteria(&self) -> Result<Criteria, CriteriaError> {
        Criteria::from_members(&self.members)
    }
}

/// Body of the `event` by which a Sync Manager tells a Reporter that it is none any more: somebody has taken the
/// object over at a higher epoch. Stays in the runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeposedBody {
    /// The object.
    pub resource: ObjectUrl,
    /// The epoch in which it goes on.
    pub epoch: u64,
    /// Who reports it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<HypertyUrl>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeUrl>,
    /// The changes made here that the object does not have, oldest first; `None` if it is not known which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished: Option<Vec<UpdateBody>>,
}

/// Body of the `event` by which a Sync Manager tells a Reporter how far its object is backed up (protocol 5.19). Stays in
/// the runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackedUpBody {
    /// The object.
    pub resource: ObjectUrl,
    /// Where it stood in what is kept.
    pub backed_up: Position,
}

impl WireBody for BackedUpBody {}
impl WireBody for ResumeBody {}
impl WireBody for DeposedBody {}
