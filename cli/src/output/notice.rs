//! What others tell a hyperty, and what registries tell, as lines of output.

use std::fmt;

use hyperty_model::object::Metadata;
use hyperty_model::{HypertyUrl, Identity, ObjectUrl, RuntimeUrl, Timestamp, Url};
use hyperty_runtime::syncher::{Found, Invitation};
use serde::Serialize;

/// An object that a hyperty is told of, to observe it or to become its Reporter.
#[derive(Debug, Serialize)]
pub(crate) struct NoticeLine {
    url: ObjectUrl,
    name: String,
    schema: Url,
    reporter: HypertyUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Whether children may be written; only told if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<bool>,
    /// Until when it can be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Whether nothing is granted yet; only told if so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    announced: bool,
}

impl NoticeLine {
    /// An object that somebody tells of.
    pub(crate) fn of(metadata: &Metadata, identity: Option<&Identity>) -> NoticeLine {
        NoticeLine {
            url: metadata.url.clone(),
            name: metadata.name.clone(),
            schema: metadata.schema.clone(),
            reporter: metadata.reporter.clone(),
            user: identity.and_then(Identity::user).map(str::to_owned),
            children: None,
            until: None,
            announced: false,
        }
    }

    /// An invitation.
    pub(crate) fn invitation(invitation: &Invitation) -> NoticeLine {
        let scope = invitation.scope();
        NoticeLine {
            children: (!scope.children).then_some(false),
            until: scope.until,
            announced: invitation.is_announcement(),
            ..NoticeLine::of(invitation.metadata(), invitation.identity())
        }
    }
}

impl fmt::Display for NoticeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoticeLine { url, name, reporter, user, .. } = self;
        write!(f, "{url} ({name}) by {}", user.as_deref().unwrap_or(reporter.as_str()))
    }
}

/// What a registry knows of a hyperty or an object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FoundLine {
    url: Url,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporter: Option<HypertyUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<RuntimeUrl>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data_schemes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<String>,
    epoch: u64,
}

impl FoundLine {
    /// What was found.
    pub(crate) fn of(found: Found) -> FoundLine {
        FoundLine {
            status: found.status.as_str(),
            url: found.url,
            name: found.name,
            user: found.user,
            guid: found.guid,
            schema: found.schema,
            reporter: found.reporter,
            runtime: found.runtime,
            resources: found.resources,
            data_schemes: found.data_schemes,
            children: found.children,
            epoch: found.epoch,
        }
    }
}

impl fmt::Display for FoundLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.status)?;
        for part in [&self.name, &self.user, &self.guid].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}
