//! What a line of stdin asks for.

use std::time::Duration;

use hyperty_model::change::Change;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::{HypertyUrl, StatusCode, Url};
use serde_json::{Map, Value};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// One change.
    Change(Change),
    /// The whole data.
    Whole(Value),
    /// The end of the object.
    Delete,
    /// The end of an observer.
    Remove(HypertyUrl),
    /// Who may observe, and is asked whether they want to.
    Invite(Invite),
    /// An invitation that is taken back.
    Revoke(Url),
    /// Who is to report from then on.
    Delegate(HypertyUrl),
    /// A look at who observes.
    Observers,
    /// The answer to what an observer asked for.
    Answer(Answer),
}

/// Who is invited, and to what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Invite {
    /// Whom.
    pub(crate) who: Vec<Url>,
    /// Whether they may write children.
    pub(crate) children: bool,
    /// For how long.
    pub(crate) until: Option<Duration>,
    /// Whether they are only told.
    pub(crate) announce: bool,
}

/// The answer to a request that was printed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Its number.
    pub(crate) request: u64,
    /// What came of it, or the code and why it was refused.
    pub(crate) outcome: Result<Value, (StatusCode, String)>,
}

impl Input {
    /// Reads a line; `None` for an empty one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Option<Input>, String> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
        let Value::Object(mut members) = value else {
            return Err("a line is a JSON object: a change, {\"data\":…} or {\"delete\":true}".to_owned());
        };
        if !members.contains_key("attribute") {
            if let Some(input) = about_observers(&members)? {
                return Ok(Some(input));
            }
            if let Some(input) = whole_or_delete(&mut members)? {
                return Ok(Some(input));
            }
        }
        let update: UpdateBody =
            serde_json::from_value(Value::Object(members)).map_err(|error| format!("no change: {error}"))?;
        match update.kind {
            UpdateKind::Change(change) => Ok(Some(Input::Change(change))),
            UpdateKind::Metadata { .. } => Err("metadata is not changed by lines".to_owned()),
            _ => Err("no change: it lacks `attribute`, or its operation is none".to_owned()),
        }
    }
}

/// What concerns observers, not the data.
fn about_observers(members: &Map<String, Value>) -> Result<Option<Input>, String> {
    if members.contains_key("invite") {
        return invite(members).map(|invite| Some(Input::Invite(invite)));
    }
    if let Some(who) = members.get("revoke") {
        let who = url(who).filter(|_| members.len() == 1);
        return Ok(Some(Input::Revoke(who.ok_or("`revoke` stands alone, and is a URL")?)));
    }
    if let Some(to) = members.get("delegate") {
        let to = to.as_str().and_then(|to| HypertyUrl::parse(to).ok()).filter(|_| members.len() == 1);
        return Ok(Some(Input::Delegate(to.ok_or("`delegate` stands alone, and is the URL of a hyperty")?)));
    }
    if let Some(who) = members.get("remove") {
        let who = who.as_str().and_then(|who| HypertyUrl::parse(who).ok());
        let alone = members.len() == 1;
        let who = who.filter(|_| alone).ok_or("`remove` stands alone, and is the URL of an observer")?;
        return Ok(Some(Input::Remove(who)));
    }
    if let Some(wanted) = members.get("observers") {
        let right = *wanted == Value::Bool(true) && members.len() == 1;
        return if right {
            Ok(Some(Input::Observers))
        } else {
            Err("`observers` stands alone, and is true".into())
        };
    }
    let Some(request) = members.get("answer") else { return Ok(None) };
    let request = request.as_u64().ok_or("`answer` is the number of a request")?;
    let outcome = match members.get("code") {
        None => Ok(members.get("value").cloned().unwrap_or(Value::Null)),
        Some(code) => {
            let code = code.as_u64().and_then(|code| u16::try_from(code).ok());
            let code = code.filter(|code| (300..600).contains(code)).ok_or("`code` is from 300 to 599")?;
            let why = members.get("reason").and_then(Value::as_str).unwrap_or("refused");
            Err((StatusCode(code), why.to_owned()))
        }
    };
    Ok(Some(Input::Answer(Answer { request, outcome })))
}

fn invite(members: &Map<String, Value>) -> Result<Invite, String> {
    let mut invite = Invite { who: Vec::new(), children: true, until: None, announce: false };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("invite", Value::Array(list)) => invite.who = list.iter().filter_map(url).collect(),
            ("invite", one) => invite.who.extend(url(one)),
            ("children", Value::Bool(allowed)) => invite.children = *allowed,
            ("announce", Value::Bool(only)) => invite.announce = *only,
            ("until", Value::String(time)) => {
                let time = humantime::parse_duration(time).map_err(|error| format!("`until`: {error}"))?;
                invite.until = Some(time);
            }
            (other, _) => return Err(format!("an invitation has no such `{other}`")),
        }
    }
    let asked = members.get("invite").and_then(Value::as_array).map_or(1, Vec::len);
    if invite.who.is_empty() || invite.who.len() != asked {
        return Err("`invite` is a URL, or a list of them".to_owned());
    }
    Ok(invite)
}

fn url(value: &Value) -> Option<Url> {
    value.as_str().and_then(|text| Url::parse(text).ok())
}

fn whole_or_delete(members: &mut Map<String, Value>) -> Result<Option<Input>, String> {
    match (members.remove("data"), members.remove("delete")) {
        (Some(data @ Value::Object(_)), None) => Ok(Some(Input::Whole(data))),
        (Some(_), None) => Err("`data` is a JSON object".to_owned()),
        (None, Some(Value::Bool(true))) => Ok(Some(Input::Delete)),
        (None, None) => Ok(None),
        _ => Err("`delete` stands alone, and is true".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::ChangeOp;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_of_a_line() {
        let parse = |line: Value| Input::parse(&line.to_string()).unwrap().unwrap();
        let change = |path: &str, op| Input::Change(Change::new(path, op));
        assert_eq!(parse(json!({"attribute": "a", "value": null})), change("a", ChangeOp::Set(Value::Null)));
        assert_eq!(parse(json!({"attribute": "a.b"})), change("a.b", ChangeOp::Delete));
        let add = json!({"attribute": "l.0", "attributeType": "array", "operation": "add", "value": [1]});
        assert_eq!(parse(add), change("l.0", ChangeOp::Insert(vec![json!(1)])));
        assert_eq!(parse(json!({"attribute": "data", "value": 1})), change("data", ChangeOp::Set(json!(1))));
        assert_eq!(parse(json!({"data": {"a": 1}})), Input::Whole(json!({"a": 1})));
        assert_eq!(parse(json!({"delete": true})), Input::Delete);
        let bob = HypertyUrl::parse("hyperty://example.com/bob").unwrap();
        assert_eq!(parse(json!({"remove": "hyperty://example.com/bob"})), Input::Remove(bob.clone()));
        assert_eq!(parse(json!({"delegate": "hyperty://example.com/bob"})), Input::Delegate(bob.clone()));
        let bob = Url::from(bob);
        assert_eq!(parse(json!({"revoke": "hyperty://example.com/bob"})), Input::Revoke(bob.clone()));
        let invite = Invite { who: vec![bob], children: true, until: None, announce: false };
        assert_eq!(parse(json!({"invite": "hyperty://example.com/bob"})), Input::Invite(invite.clone()));
        let narrow = Invite { children: false, until: Some(Duration::from_secs(3600)), ..invite };
        let line = json!({"invite": ["hyperty://example.com/bob"], "children": false, "until": "1h"});
        assert_eq!(parse(line), Input::Invite(narrow));
        assert_eq!(parse(json!({"observers": true})), Input::Observers);
        let answer = |request, outcome| Input::Answer(Answer { request, outcome });
        assert_eq!(parse(json!({"answer": 1, "value": 2})), answer(1, Ok(json!(2))));
        let refused = (StatusCode(422), "no".to_owned());
        assert_eq!(parse(json!({"answer": 1, "code": 422, "reason": "no"})), answer(1, Err(refused)));
        assert_eq!(Input::parse(" \t"), Ok(None));
    }

    #[test]
    fn what_is_no_line() {
        for line in [
            "{",
            "[]",
            "7",
            "{}",
            r#"{"value":1}"#,
            r#"{"data":[]}"#,
            r#"{"data":{},"delete":true}"#,
            r#"{"delete":false}"#,
            r#"{"attribute":7}"#,
            r#"{"remove":"comm://example.com/1"}"#,
            r#"{"observers":1}"#,
            r#"{"invite":[]}"#,
            r#"{"invite":["bob"]}"#,
            r#"{"invite":"hyperty://example.com/bob","until":"soon"}"#,
            r#"{"invite":"hyperty://example.com/bob","for":"1h"}"#,
            r#"{"revoke":"hyperty://example.com/bob","children":false}"#,
            r#"{"delegate":"user://example.com/bob"}"#,
            r#"{"answer":"1"}"#,
            r#"{"answer":1,"code":200}"#,
            r#"{"attribute":"a","attributeType":"array","operation":"turn"}"#,
            r#"{"attribute":"name","attributeType":"metadata","value":"x"}"#,
        ] {
            assert!(Input::parse(line).is_err(), "{line}");
        }
    }
}
