//! `hyperty policy`: check a file of rules, and see what it says to a request before it is in force.

mod source;
mod verdict;

use std::io::BufRead;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, ObjectUrl, Timestamp, Url};
use hyperty_runtime::policy::{Decision, Point, PolicyRequest};
use serde::Deserialize;

use self::source::{Against, Source, open};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

/// `hyperty policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read a file of rules as a runtime would; leaves with 2 and says where if it cannot be taken
    Check {
        /// The rules: JSON if its name ends with .json, Cedar if with .cedar and the command is built with the
        /// feature cedar, else TOML
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say what rules decide, which of them decides, and why the others do not
    #[command(long_about = TEST, after_long_help = TEST_EXAMPLES)]
    Test(Box<TestArgs>),
}

const TEST: &str = "\
Say what rules decide, which of them decides, and why the others do not.

Without --point, requests are read from stdin, one JSON object a line, with the same members as the options:
  {\"point\":\"subscribe\",\"actor\":\"hyperty://…\",\"user\":\"user://…\",\"object\":\"comm://…\",\"time\":\"2026-11-22T09:30:00Z\"}

Leaves with 0 if the rules permit, with 3 if they deny, with 4 if none decides: then the protocol's own rule applies,
and where that says so the application is asked. For requests from stdin with 0, or with 2 if a line makes no sense.";

const TEST_EXAMPLES: &str = "\
Example:
  hyperty policy test rules.toml --point subscribe --user user://example.com/bob --object comm://example.com/1";

/// `hyperty policy test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The rules
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What is to be decided: create, invite, subscribe, read, delete, child, resume, discover, delegate-out, delegate-in
    #[arg(long, value_name = "POINT", value_parser = point)]
    pub point: Option<Point>,
    /// Who wants to do it [default: a hyperty of the user's domain that no rule names]
    #[arg(long, value_name = "URL")]
    pub actor: Option<Url>,
    /// The user behind it
    #[arg(long, value_name = "URL")]
    pub user: Option<String>,
    /// The object
    #[arg(long, value_name = "URL")]
    pub object: Option<ObjectUrl>,
    /// The object's schema
    #[arg(long, value_name = "URL")]
    pub schema: Option<Url>,
    /// The name of the children, at the point child
    #[arg(long, value_name = "NAME", value_parser = children)]
    pub children: Option<ChildrenName>,
    /// Who takes over, at the point delegate-out
    #[arg(long, value_name = "URL")]
    pub target: Option<HypertyUrl>,
    /// Who reports the object
    #[arg(long, value_name = "URL")]
    pub reporter: Option<HypertyUrl>,
    /// The user behind the Reporter
    #[arg(long, value_name = "URL")]
    pub reporter_user: Option<String>,
    /// When, in UTC, such as 2026-11-22T09:30:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<Timestamp>,
}

/// A request as a line of stdin has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    point: Point,
    actor: Option<Url>,
    user: Option<String>,
    object: Option<ObjectUrl>,
    schema: Option<Url>,
    children: Option<ChildrenName>,
    target: Option<HypertyUrl>,
    reporter: Option<HypertyUrl>,
    reporter_user: Option<String>,
    time: Option<Timestamp>,
}

/// Does what is asked.
///
/// # Errors
/// [`Exit::Usage`] for rules or requests that make no sense; [`Exit::NotAuthorised`] and [`Exit::NotFound`] as the
/// verdict on a single request.
pub(crate) fn run(command: PolicyCommand, output: &Output) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check { file } => {
            let rules = open(&file, Against::Schema)?;
            let (count, algorithm) = (rules.count(), rules.algorithm());
            match output.format() {
                Format::Text => output.line(&format!("{}: sound, {count} rules", file.display())),
                Format::Ndjson => output.json(&serde_json::json!({
                    "event": "checked", "rules": count, "algorithm": algorithm,
                })),
            };
            Ok(())
        }
        PolicyCommand::Test(args) => test(*args, output),
    }
}

fn test(args: TestArgs, output: &Output) -> Result<(), Failure> {
    let rules = open(&args.file, Against::Nothing)?;
    let Some(point) = args.point else { return test_lines(&rules, output) };
    let TestArgs { actor, user, object, schema, children, target, reporter, reporter_user, time, .. } = args;
    let asked = Asked { point, actor, user, object, schema, children, target, reporter, reporter_user, time };
    match tell(&rules, asked, output)? {
        Decision::Permit => Ok(()),
        Decision::Deny(reason) => Err(Failure::new(Exit::NotAuthorised, format_args!("denied: {reason}"))),
        Decision::NotApplicable => Err(Failure::new(Exit::NotFound, "no rule decides")),
    }
}

fn test_lines(rules: &Source, output: &Output) -> Result<(), Failure> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(Failure::error)?;
        if line.trim().is_empty() {
            continue;
        }
        let malformed = |error| Failure::usage(format_args!("line {}: {error}", number + 1));
        let asked: Asked = serde_json::from_str(&line).map_err(malformed)?;
        tell(rules, asked, output)?;
    }
    Ok(())
}

fn tell(rules: &Source, asked: Asked, output: &Output) -> Result<Decision, Failure> {
    let now = asked.time.unwrap_or_else(|| hyperty_model::Clock::now(&hyperty_model::SystemClock));
    let request = request(asked)?;
    let (decision, verdict) = rules.explain(&request, now);
    match output.format() {
        Format::Text => verdict::show(&verdict).lines().for_each(|line| {
            output.line(line);
        }),
        Format::Ndjson => {
            output.json(&verdict);
        }
    }
    Ok(decision)
}

fn request(asked: Asked) -> Result<PolicyRequest, Failure> {
    let identity = |user: Option<String>| user.as_deref().map(Identity::of_user);
    let actor = match asked.actor {
        Some(actor) => actor,
        None => {
            let user = asked.user.as_deref().and_then(|user| Url::parse(user).ok());
            let domain = user.as_ref().and_then(Url::domain).unwrap_or("localhost");
            Url::parse(&format!("hyperty://{domain}/somebody")).map_err(Failure::usage)?
        }
    };
    Ok(PolicyRequest {
        identity: identity(asked.user),
        object: asked.object,
        schema: asked.schema,
        children: asked.children,
        target: asked.target,
        reporter: asked.reporter,
        reporter_user: identity(asked.reporter_user),
        ..PolicyRequest::new(asked.point, actor)
    })
}

fn point(text: &str) -> Result<Point, String> {
    let found = Point::ALL.into_iter().find(|point| point.as_str() == text);
    found.ok_or_else(|| format!("one of {}", Point::ALL.map(Point::as_str).join(", ")))
}

fn children(text: &str) -> Result<ChildrenName, String> {
    ChildrenName::new(text).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use hyperty_runtime::policy::rules::RuleSet;

    use super::verdict::Verdict;
    use super::*;

    fn told(rules: &str, line: &str) -> Verdict {
        let rules = Source::Rules(RuleSet::from_toml(rules).unwrap());
        let asked: Asked = serde_json::from_str(line).unwrap();
        let now = asked.time.unwrap_or_default();
        rules.explain(&request(asked).unwrap(), now).1
    }

    const RULES: &str = r#"
        [[rule]]
        name = "not at night"
        decision = false
        reason = "closed"
        condition = { attribute = "time", operator = "between", params = ["22:00", "06:00"] }
        [[rule]]
        name = "bob may look"
        decision = true
        points = ["subscribe"]
        condition = { attribute = "source", operator = "equals", params = "user://example.com/bob" }
        [[rule]]
        name = "alice's are open"
        decision = true
        scope = "identity"
        target = "user://example.com/alice"
    "#;

    #[test]
    fn each_rule_says_why() {
        let bob = r#"{"point":"subscribe","user":"user://example.com/bob","reporterUser":"user://example.com/carol",
            "time":"2026-11-22T09:30:00Z"}"#;
        let verdict = told(RULES, bob);
        assert_eq!((verdict.decision, verdict.by.as_deref()), ("permit", Some("bob may look")));
        let why: Vec<_> = verdict.rules.iter().map(|line| &*line.why).collect();
        assert_eq!(
            why,
            [
                "does not apply: its condition does not hold",
                "decides",
                "does not apply: the object of another user",
            ]
        );
        let night = told(RULES, &bob.replace("09:30", "23:30"));
        assert_eq!((night.decision, night.reason.as_deref()), ("deny", Some("closed")));
        assert_eq!(night.rules[1].why, "applies, but another stands before it");
        let nobody = told(RULES, r#"{"point":"read","time":"2026-11-22T09:30:00Z"}"#);
        assert_eq!((nobody.decision, nobody.by), ("not-applicable", None));
        assert_eq!(nobody.rules[1].why, "not looked at: it is for other points");
        assert!(nobody.rules[2].why.contains("what allows needs to know"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "subscribes", "Read"] {
            assert!(point(text).is_err(), "{text:?}");
        }
        assert_eq!(point("delegate-in"), Ok(Point::DelegateIn));
        assert!(time("noon").is_err());
        assert!(serde_json::from_str::<Asked>(r#"{"point":"read","uesr":"x"}"#).is_err());
    }
}
