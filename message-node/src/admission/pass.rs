//! Who was admitted, and for what.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{Identity, RuntimeUrl, Timestamp, Url};
use serde_json::value::RawValue;

use super::pattern::UrlPattern;
use super::token::Claims;

/// What a believed token says, in the form in which it is asked.
#[derive(Debug, Clone)]
pub struct Pass {
    who: Arc<Who>,
    expires: Timestamp,
    domain: String,
    runtimes: Option<Vec<UrlPattern>>,
    hyperties: Option<Vec<UrlPattern>>,
    routes: Option<usize>,
}

/// The user of a session: the same for all of its life, whatever renews it.
#[derive(Debug)]
pub struct Who {
    user: Url,
    identity: Identity,
    /// As it is written into messages.
    text: Box<RawValue>,
}

impl Who {
    /// The user behind this URL, and with this GUID if there is one.
    pub(crate) fn new(user: &Url, guid: Option<&str>) -> Who {
        let identity = match guid {
            None => Identity::of_user(user.as_str()),
            Some(guid) => Identity::of_user_with_guid(user.as_str(), guid),
        };
        let text = serde_json::value::to_raw_value(&identity)
            .unwrap_or_else(|error| unreachable!("an identity is JSON: {error}"));
        Who { user: user.clone(), identity, text }
    }

    /// The user's URL.
    pub fn user(&self) -> &Url {
        &self.user
    }

    /// The identity that stands in what the user's sessions send (protocol 2.3).
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn text(&self) -> &RawValue {
        &self.text
    }
}

impl PartialEq for Who {
    fn eq(&self, other: &Who) -> bool {
        self.identity == other.identity
    }
}

impl Pass {
    pub(super) fn new(user: &Url, claims: Claims, leeway: Duration, domain: &str) -> Pass {
        let end = Timestamp::from_millis(claims.exp.saturating_mul(1000));
        Pass {
            who: Arc::new(Who::new(user, claims.guid.as_deref())),
            expires: end + leeway,
            domain: domain.to_owned(),
            runtimes: claims.runtimes,
            hyperties: claims.hyperties,
            routes: claims.routes,
        }
    }

    /// The user.
    pub fn who(&self) -> &Arc<Who> {
        &self.who
    }

    /// When it ends, the leeway included.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether it opens a session for this runtime.
    pub fn covers_runtime(&self, runtime: &RuntimeUrl) -> bool {
        self.covers(&self.runtimes, runtime)
    }

    /// Whether its session may speak as this hyperty.
    pub fn covers_hyperty(&self, hyperty: &Url) -> bool {
        self.covers(&self.hyperties, hyperty)
    }

    /// How many routes its session may have, if the token says so.
    pub fn routes(&self) -> Option<usize> {
        self.routes
    }

    /// Whether all hyperties that `former` allowed are known to be allowed by this one too.
    pub(crate) fn allows_as_much_as(&self, former: &Pass) -> bool {
        self.hyperties == former.hyperties
    }

    fn covers(&self, patterns: &Option<Vec<UrlPattern>>, url: &Url) -> bool {
        match patterns {
            Some(patterns) => patterns.iter().any(|pattern| pattern.covers(url)),
            None => url.authority().eq_ignore_ascii_case(&self.domain),
        }
    }
}
