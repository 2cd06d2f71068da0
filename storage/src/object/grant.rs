//! Who may observe without being asked for, and who was told so (protocol 5.2, 5.3.8c).

use hyperty_model::{HypertyUrl, StatusCode, Timestamp, Url};
use serde::{Deserialize, Serialize};

/// That somebody may observe, and what is allowed to an observer that came by it.
///
/// Stored without limits it is the bare URL, which is also what older files hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Grant {
    /// A hyperty, all hyperties of a domain (`hyperty://<domain>/*`), or a user's URL or GUID.
    pub who: Url,
    /// Whether an observer that came by it may write children, where the schema lets observers.
    pub children: bool,
    /// Until when it lets anybody in, in milliseconds since 1970, that moment not included; `None` without end.
    pub until: Option<u64>,
}

impl Grant {
    /// A grant without limits.
    pub fn unlimited(who: Url) -> Grant {
        Grant { who, children: true, until: None }
    }

    /// Whether it lets anybody in at this moment.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.as_millis() < until)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Bare(Url),
    #[serde(rename_all = "camelCase")]
    Limited {
        who: Url,
        #[serde(default = "yes")]
        children: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
}

fn yes() -> bool {
    true
}

impl From<Written> for Grant {
    fn from(written: Written) -> Grant {
        match written {
            Written::Bare(who) => Grant::unlimited(who),
            Written::Limited { who, children, until } => Grant { who, children, until },
        }
    }
}

impl From<Grant> for Written {
    fn from(grant: Grant) -> Written {
        match grant {
            Grant { who, children: true, until: None } => Written::Bare(who),
            Grant { who, children, until } => Written::Limited { who, children, until },
        }
    }
}

/// A hyperty that was invited, or told of the object, and is not done with it (protocol 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The hyperty.
    pub who: HypertyUrl,
    /// Told of the object, without a grant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// The end of the offer, in milliseconds since 1970.
    pub until: u64,
    /// How far it has got.
    pub stage: InvitedStage,
}

/// How far an invitation has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InvitedStage {
    /// It has not reached the invited hyperty.
    Waiting,
    /// It has, and its answer is awaited.
    Delivered,
    /// It is answered, and the Reporter was not there to hear it.
    Answered {
        /// The answer.
        code: StatusCode,
        /// Its text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_url_is_a_grant_without_limits_and_written_as_such() {
        let text = r#"["hyperty://a/b",{"who":"user://a/c","children":false},{"who":"user://a/d","children":true,"until":7}]"#;
        let grants: Vec<Grant> = serde_json::from_str(text).unwrap();
        assert_eq!(grants[0], Grant::unlimited(Url::parse("hyperty://a/b").unwrap()));
        assert!(!grants[1].children);
        assert_eq!(grants[2].until, Some(7));
        assert_eq!(serde_json::to_string(&grants).unwrap(), text);
    }

    #[test]
    fn the_end_of_a_grant_is_not_part_of_it() {
        let grant = Grant { until: Some(10), ..Grant::unlimited(Url::parse("hyperty://a/b").unwrap()) };
        assert!(grant.holds_at(Timestamp::from_millis(9)));
        assert!(!grant.holds_at(Timestamp::from_millis(10)));
        assert!(Grant { until: None, ..grant }.holds_at(Timestamp::from_millis(u64::MAX)));
    }
}
