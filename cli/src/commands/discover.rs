//! `hyperty discover`: what a domain's registry knows.

use hyperty_model::Url;
use hyperty_runtime::syncher::{Discoveries, Discovery, Query};

use crate::args::DiscoverArgs;
use crate::connect::{ONE_SHOT_WAIT, Session, within};
use crate::exit::{Exit, Failure};
use crate::output::{Event, FoundLine, Output};
use crate::stop::Stop;

/// Searches once, or keeps telling.
///
/// # Errors
/// [`Exit::NotFound`] if nothing is found; when the registry refuses or cannot be reached.
pub(crate) async fn run(args: DiscoverArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let query = query(&args);
    let session = Session::open(&args.client, None, None).await?;
    let limit =
        if args.watch { args.client.timeout } else { Some(args.client.timeout.unwrap_or(ONE_SHOT_WAIT)) };
    let work = async {
        session.reach(limit).await?;
        if args.watch {
            return tell(session.hyperty.watch(query), args.count, output).await;
        }
        let found = session.hyperty.discover(query).await?;
        if found.is_empty() {
            return Err(Failure::new(Exit::NotFound, "nothing found"));
        }
        let mut lines = found.into_iter().map(|found| Event::Found(Box::new(FoundLine::of(found))));
        // Who reads no more has seen enough.
        let _ = lines.all(|line| output.emit(&line));
        Ok(())
    };
    let outcome = match stop.or(within(limit, work)).await {
        // To be stopped is how a watch usually ends.
        Err(Failure { exit: Exit::Interrupted, .. }) if args.watch => Ok(()),
        outcome => outcome,
    };
    session.close_after(outcome).await
}

fn query(args: &DiscoverArgs) -> Query {
    let mut query = match args.what.as_deref() {
        None => Query::of_scheme(hyperty_model::discovery::OBJECTS),
        Some(user) if user.starts_with("user://") => Query::of_user(user),
        Some(guid) if guid.starts_with("user-guid://") => Query::of_guid(guid),
        Some(other) => match Url::parse(other) {
            Ok(url) => Query::of_url(url),
            Err(_) => Query::of_name(other),
        },
    };
    if let Some(scheme) = &args.scheme {
        query.scheme = Some(scheme.clone());
    }
    query = if args.objects { query.objects() } else { query };
    query = if args.hyperties { query.hyperties() } else { query };
    query = query.resources(&args.resource).data_schemes(&args.data_scheme);
    query.criteria.schema.clone_from(&args.schema);
    query.criteria.reporter.clone_from(&args.reporter);
    query.criteria.status = args.status;
    query
}

/// Tells events until there were enough, or nobody reads any more.
async fn tell(mut events: Discoveries, count: Option<u64>, output: &Output) -> Result<(), Failure> {
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        let Some(event) = events.next().await else { break };
        let read = match event {
            Discovery::Found(found) => output.emit(&Event::Found(Box::new(FoundLine::of(*found)))),
            Discovery::Live(url) => output.emit(&Event::Status { url: &url, status: "live" }),
            Discovery::Disconnected(url) => output.emit(&Event::Status { url: &url, status: "disconnected" }),
            Discovery::Gone(url) => output.emit(&Event::Status { url: &url, status: "gone" }),
            Discovery::Refused(error) => return Err(error.into()),
            _ => true,
        };
        if !read {
            break;
        }
        told += 1;
    }
    Ok(())
}
