//! Who finds whom at the node's registry (protocol 5.13.4, 4.3.1).

use std::fmt;
use std::sync::Arc;

use hyperty_model::{HypertyUrl, Identity, ObjectUrl, RuntimeUrl, Url};
use hyperty_policy::{Decision, Point, Policy, PolicyRequest, decide_now, denied};
use hyperty_registry::RegistrationRecord;

/// What searches at the registry find. What a runtime or its user registered itself is always found; and whoever knows
/// the URL of something may ask how that is, which is what subscribing takes.
#[derive(Clone, Default)]
pub enum Discovery {
    /// Everything.
    #[default]
    Open,
    /// Nothing of other users.
    SameUser,
    /// Of others what this policy does not deny, asked at [`Point::Discover`] about each entry. It has to decide at
    /// once: one that waits has denied.
    Policy(Arc<dyn Policy>),
}

/// Who searches.
pub(crate) struct Seeker<'a> {
    pub(crate) from: &'a Url,
    pub(crate) runtime: &'a RuntimeUrl,
    /// The user: the session's where the node knows it, else what the message says.
    pub(crate) identity: Option<Identity>,
}

impl Discovery {
    /// Whether a search finds this entry.
    pub(crate) fn shows(&self, record: &RegistrationRecord, seeker: &Seeker<'_>) -> bool {
        if matches!(self, Discovery::Open) || record.runtime == *seeker.runtime {
            return true;
        }
        let owner = record.identity();
        let same_user = owner.as_ref().zip(seeker.identity.as_ref()).is_some_and(|(a, b)| a.same_user(b));
        match self {
            Discovery::Policy(policy) if !same_user => decided(&**policy, &request(record, owner, seeker)),
            _ => same_user,
        }
    }
}

fn decided(policy: &dyn Policy, request: &PolicyRequest) -> bool {
    let decision = decide_now(policy, request);
    !matches!(decision.unwrap_or_else(|| denied(request, "it did not decide at once")), Decision::Deny(_))
}

fn request(record: &RegistrationRecord, owner: Option<Identity>, seeker: &Seeker<'_>) -> PolicyRequest {
    let mut request =
        PolicyRequest::new(Point::Discover, seeker.from.clone()).identity(seeker.identity.clone());
    request.schema = record.schema.clone();
    request.object = ObjectUrl::try_from(record.url.clone()).ok();
    // A hyperty that can be found is its own reporter, as far as rules for somebody's things go.
    request.reporter = record.reporter.clone().or_else(|| HypertyUrl::try_from(record.url.clone()).ok());
    request.reporter_user = owner;
    request
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Discovery::Open => "Open",
            Discovery::SameUser => "SameUser",
            Discovery::Policy(_) => "Policy",
        })
    }
}
