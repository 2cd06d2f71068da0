//! Objects that somebody else reported before.

use hyperty_model::discovery::Query;
use hyperty_model::resume::Criteria;
use hyperty_model::{Identity, Url};
use hyperty_runtime::syncher::{Found, Reporter};
use serde_json::{Map, Value};

use crate::args::ReportArgs;
use crate::connect::Session;
use crate::exit::{Exit, Failure};
use crate::output::{Event, NoticeLine, Output};

/// Waits until an object of this schema, and of the name if one is given, is offered; takes it.
///
/// # Errors
/// When it was not given in the end.
pub(super) async fn offered(
    session: &Session,
    args: &ReportArgs,
    schema: &Url,
    output: &Output,
) -> Result<Reporter, Failure> {
    session.tell_waiting(&args.living.client, output);
    let mut offers = session.hyperty.delegations();
    while let Some(offer) = offers.next().await {
        let metadata = offer.metadata();
        let wanted = args.name.as_ref().is_none_or(|name| *name == metadata.name);
        if metadata.schema != *schema || !wanted {
            tracing::warn!("{} of {} is not what is waited for: declined", metadata.url, metadata.schema);
            offer.reject("another object is waited for");
            continue;
        }
        output.emit(&Event::Offered(NoticeLine::of(metadata, offer.identity())));
        let taking = offer.accept().store(args.living.store.store.is_some()).observers(args.accept.clone());
        let taking = if args.backup { taking.backup(true) } else { taking };
        let reporter = taking.await?;
        output.emit(&Event::Resumed { url: reporter.url(), version: reporter.version(), missed: None });
        return Ok(reporter);
    }
    Err(Failure::error("the runtime stopped"))
}

/// Goes on with what another hyperty of the same user reported last.
///
/// # Errors
/// [`Exit::NotFound`] if there is no such object, or nobody who can be reached has its data; [`Exit::NotAuthorised`] if
/// it is another user's; [`Exit::Error`] while it is live elsewhere.
pub(super) async fn taken_over(
    session: &Session,
    args: &ReportArgs,
    schema: &Url,
    name: &str,
    output: &Output,
) -> Result<Reporter, Failure> {
    let user = Session::user_for(&args.living.client, "--take-over")?;
    let named = Map::from_iter([("name".to_owned(), Value::from(name))]);
    let criteria = Criteria::default().schema(schema.clone()).like(named).identity(Identity::of_user(user));
    let resumed = session.hyperty.resume_by(criteria).await?;
    let missing: Vec<String> = resumed.missing.iter().map(ToString::to_string).collect();
    let mut reporters = resumed.reporters;
    match (reporters.pop(), reporters.is_empty(), missing.is_empty()) {
        (Some(reporter), true, _) => {
            reporter.accept(args.accept.clone());
            output.emit(&Event::Resumed { url: reporter.url(), version: reporter.version(), missed: None });
            Ok(reporter)
        }
        (Some(_), false, _) => Err(Failure::usage(format_args!("{user} has several objects named {name:?}"))),
        (None, _, false) => {
            let text = format!("nobody who can be reached has the data of {}", missing.join(", "));
            Err(Failure::new(Exit::NotFound, text))
        }
        (None, _, true) => Err(not_there(session, user, schema, name).await),
    }
}

/// Why there is nothing to take over: a runtime that was lost holds its objects for a while, as it may come back.
async fn not_there(session: &Session, user: &str, schema: &Url, name: &str) -> Failure {
    let query = Query::of_user(user).objects().schema(schema.clone());
    let found = session.hyperty.discover(query).await.unwrap_or_default();
    match found.iter().find(|found| found.is_live() && found.name.as_deref() == Some(name)) {
        Some(Found { url, runtime, .. }) => {
            let wherever = runtime.as_ref().map_or_else(String::new, |runtime| format!(" in {runtime}"));
            Failure::error(format_args!(
                "{url} is live{wherever}: stop it there, or try again in a minute if it was lost"
            ))
        }
        None => Failure::new(Exit::NotFound, format_args!("{user} has no object named {name:?}")),
    }
}
