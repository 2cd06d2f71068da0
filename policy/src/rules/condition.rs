//! When a rule applies.

use std::collections::BTreeMap;
use std::ops::Not as _;

use serde::{Deserialize, Serialize};
use time::{Date, Time, Weekday};

use crate::PolicyRequest;
use crate::moment::{self, Moment};

/// How deep conditions may be nested: far beyond what anybody can read, and no danger to the stack.
pub(super) const DEPTH_MAX: usize = 16;

/// Most values that one test compares with: a group of people belongs in `groups`, beyond that in a policy of code.
pub(super) const PARAMS_MAX: usize = 10_000;

/// A test, or tests joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Condition {
    /// One test.
    Test(Test),
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

/// What a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attribute {
    /// The actor's address, its user URL or its GUID.
    Source,
    /// The domain of the actor's address.
    Domain,
    /// The point.
    Type,
    /// The scheme of the object.
    Scheme,
    /// The URL of the object's schema.
    Schema,
    /// The children name, or `object` where there is none.
    Subscription,
    /// The day.
    Date,
    /// The day of the week.
    Weekday,
    /// The time of the day.
    Time,
}

/// How a test compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operator {
    /// Is one of the parameters.
    In,
    /// Is the parameter.
    Equals,
    /// Is later than the parameter.
    GreaterThan,
    /// Is earlier than the parameter.
    LessThan,
    /// Lies between the two parameters, or is one of them.
    Between,
}

/// One comparison. It is read and checked once, so that it always has an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    attribute: Attribute,
    operator: Operator,
    params: Params,
}

#[derive(Debug, Clone, PartialEq)]
enum Params {
    Texts(Vec<String>),
    Dates(Vec<Date>),
    Weekdays(Vec<Weekday>),
    Times(Vec<Time>),
}

/// A condition as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    and: Option<Vec<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    or: Option<Vec<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not: Option<Box<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<OneOrMany>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<Written> for Condition {
    type Error = String;

    fn try_from(written: Written) -> Result<Condition, String> {
        match written {
            Written {
                and: Some(all),
                or: None,
                not: None,
                attribute: None,
                operator: None,
                params: None,
            } => Ok(Condition::And(all)),
            Written {
                and: None,
                or: Some(any),
                not: None,
                attribute: None,
                operator: None,
                params: None,
            } => Ok(Condition::Or(any)),
            Written {
                and: None,
                or: None,
                not: Some(one),
                attribute: None,
                operator: None,
                params: None,
            } => Ok(Condition::Not(one)),
            Written {
                and: None,
                or: None,
                not: None,
                attribute: Some(attribute),
                operator: Some(operator),
                params: Some(params),
            } => {
                let params = match params {
                    OneOrMany::One(one) => vec![one],
                    OneOrMany::Many(many) => many,
                };
                Test::new(attribute, operator, params).map(Condition::Test)
            }
            _ => Err("a condition is one of { and }, { or }, { not } and { attribute, operator, params }"
                .to_owned()),
        }
    }
}

impl From<Condition> for Written {
    fn from(condition: Condition) -> Written {
        match condition {
            Condition::And(all) => Written { and: Some(all), ..Written::default() },
            Condition::Or(any) => Written { or: Some(any), ..Written::default() },
            Condition::Not(one) => Written { not: Some(one), ..Written::default() },
            Condition::Test(test) => Written {
                params: Some(OneOrMany::Many(test.texts())),
                attribute: Some(test.attribute),
                operator: Some(test.operator),
                ..Written::default()
            },
        }
    }
}

impl Test {
    /// A test.
    ///
    /// # Errors
    /// What is wrong: an operator that the attribute does not have, or parameters that it cannot be compared with.
    pub fn new(attribute: Attribute, operator: Operator, params: Vec<String>) -> Result<Test, String> {
        let wanted = match operator {
            Operator::In => 1..=PARAMS_MAX,
            Operator::Equals | Operator::GreaterThan | Operator::LessThan => 1..=1,
            Operator::Between => 2..=2,
        };
        if !wanted.contains(&params.len()) {
            let (least, most) = (wanted.start(), wanted.end());
            return Err(format!("{operator:?} takes {least} to {most} params, not {}", params.len()));
        }
        let params = match attribute {
            Attribute::Date => Params::Dates(read(&params, moment::date, "a date such as 2026-11-22")?),
            Attribute::Weekday => {
                Params::Weekdays(read(&params, moment::weekday, "a weekday such as monday")?)
            }
            Attribute::Time => Params::Times(read(&params, moment::time, "a time such as 09:30")?),
            _ if matches!(operator, Operator::In | Operator::Equals) => Params::Texts(params),
            _ => return Err(format!("{attribute:?} has no order: compare it with `equals` or `in`")),
        };
        Ok(Test { attribute, operator, params })
    }

    /// Whether it holds; `None` when the request does not tell.
    fn holds(&self, request: &PolicyRequest, now: Option<Moment>, groups: &Groups) -> Option<bool> {
        match &self.params {
            Params::Dates(dates) => Some(self.orders(now?.date, dates)),
            Params::Weekdays(days) => {
                let days: Vec<u8> = days.iter().map(|day| day.number_days_from_monday()).collect();
                Some(self.orders(now?.weekday.number_days_from_monday(), &days))
            }
            Params::Times(times) => Some(self.orders(now?.time, times)),
            Params::Texts(texts) => {
                let is = |text: &str| texts.iter().any(|one| one == text);
                Some(match self.attribute {
                    Attribute::Source => return is_source(request, texts, groups),
                    Attribute::Domain => is(request.actor.domain()?),
                    Attribute::Type => is(request.point.as_str()),
                    Attribute::Scheme => is(request.object.as_ref()?.as_url().scheme()),
                    Attribute::Schema => is(request.schema.as_ref()?.as_str()),
                    _ => is(request.children.as_ref().map_or("object", |name| name.as_str())),
                })
            }
        }
    }

    fn orders<T: Ord + Copy>(&self, value: T, params: &[T]) -> bool {
        match (self.operator, params) {
            (Operator::GreaterThan, [limit]) => value > *limit,
            (Operator::LessThan, [limit]) => value < *limit,
            (Operator::Between, [from, to]) if from <= to => *from <= value && value <= *to,
            (Operator::Between, [from, to]) => *from <= value || value <= *to,
            _ => params.contains(&value),
        }
    }

    fn texts(&self) -> Vec<String> {
        match &self.params {
            Params::Texts(texts) => texts.clone(),
            Params::Dates(dates) => dates.iter().map(ToString::to_string).collect(),
            Params::Weekdays(days) => days.iter().map(|day| day.to_string().to_lowercase()).collect(),
            Params::Times(times) => {
                times.iter().map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect()
            }
        }
    }
}

/// Named lists of users and addresses.
pub(super) type Groups = BTreeMap<String, Vec<String>>;

/// Whether the actor is one of these; unknown if it is none of them and does not say who is behind it.
fn is_source(request: &PolicyRequest, texts: &[String], groups: &Groups) -> Option<bool> {
    let identity = request.identity.as_ref();
    let names = [
        Some(request.actor.as_str()),
        identity.and_then(|identity| identity.user()),
        identity.and_then(|identity| identity.guid()),
    ];
    let is_named = |text: &String| names.iter().flatten().any(|name| name == text);
    let found =
        texts.iter().any(|text| match text.strip_prefix("group:").and_then(|name| groups.get(name)) {
            Some(members) => members.iter().any(is_named),
            None => is_named(text),
        });
    (found || identity.is_some()).then_some(found)
}

fn read<T>(texts: &[String], parse: impl Fn(&str) -> Option<T>, what: &str) -> Result<Vec<T>, String> {
    texts.iter().map(|text| parse(text).ok_or_else(|| format!("{text:?} is not {what}"))).collect()
}

impl Condition {
    /// Whether it holds, in three-valued logic: `None` when that depends on something the request does not tell.
    pub(super) fn holds(
        &self,
        request: &PolicyRequest,
        now: Option<Moment>,
        groups: &Groups,
    ) -> Option<bool> {
        let each = |one: &Condition| one.holds(request, now, groups);
        match self {
            Condition::Test(test) => test.holds(request, now, groups),
            Condition::Not(one) => each(one).map(bool::not),
            Condition::And(all) => join(all.iter().map(each), false),
            Condition::Or(any) => join(any.iter().map(each), true),
        }
    }

    /// Every group that is named in it.
    pub(super) fn groups(&self) -> Vec<&str> {
        match self {
            Condition::Test(Test { attribute: Attribute::Source, params: Params::Texts(texts), .. }) => {
                texts.iter().filter_map(|text| text.strip_prefix("group:")).collect()
            }
            Condition::Test(_) => Vec::new(),
            Condition::Not(one) => one.groups(),
            Condition::And(several) | Condition::Or(several) => {
                several.iter().flat_map(Condition::groups).collect()
            }
        }
    }

    /// How deep it is nested.
    pub(super) fn depth(&self) -> usize {
        1 + match self {
            Condition::Test(_) => 0,
            Condition::Not(one) => one.depth(),
            Condition::And(several) | Condition::Or(several) => {
                several.iter().map(Condition::depth).max().unwrap_or_default()
            }
        }
    }
}

/// Several answers made one: `decisive` as soon as one is, unknown if one is unknown, else the other.
fn join(answers: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut joined = Some(!decisive);
    for answer in answers {
        match answer {
            Some(value) if value == decisive => return Some(decisive),
            None => joined = None,
            Some(_) => {}
        }
    }
    joined
}
