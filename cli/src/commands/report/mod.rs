//! `hyperty report`: an object that is changed as stdin says.

mod input;
mod lines;
mod pump;
mod receive;

use std::rc::Rc;

use hyperty_model::{ObjectUrl, Url};
use hyperty_runtime::syncher::{Reporter, ReporterEvent};
use serde_json::Value;

use super::observe::follow;
use crate::args::ReportArgs;
use crate::connect::{Opening, Session, json_argument};
use crate::exit::{Exit, Failure};
use crate::output::{Event, Output};
use crate::stop::Stop;
use pump::{Asked, End, Pump};

/// Requests that no line has answered: more than a person, or a script, has before it in the seconds there are.
const ASKED_MAX: usize = 1_024;

/// Reports until asked to leave or, if so wished, until stdin ends.
///
/// # Errors
/// When the object cannot be created or resumed, a line was rejected before the end that was wished for, or the store
/// failed.
pub(crate) async fn run(args: ReportArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let document =
        std::fs::read_to_string(&args.schema).map_err(|error| Failure::usage_of(&args.schema, error))?;
    let initial = args.initial.as_deref().map(|text| json_argument("--initial", text)).transpose()?;
    for (wished, option) in [(args.backup, "--backup"), (args.take_over, "--take-over")] {
        if wished {
            Session::user_for(&args.living.client, option)?;
        }
    }
    let session = Session::open_with(&Opening {
        durability: args.living.durability.durability,
        // Who offers an object has to find this hyperty.
        found: args.delegated,
        ..Opening::new(&args.living.client, args.living.store.store.as_deref(), None)
    })
    .await?;
    let _pages = session.administer(&args.living.admin, output).await?;
    let outcome = match stop.or(object(&session, &args, &document, initial, output)).await {
        Ok(reporter) => report(&reporter, &args, output, stop).await,
        Err(failure) => Err(failure),
    };
    let outcome = match outcome {
        // To be stopped is how it usually ends.
        Err(Failure { exit: Exit::Interrupted, .. }) => Ok(()),
        outcome => outcome,
    };
    session.close_after(outcome).await
}

/// The object: the one in the store, or a new one.
async fn object(
    session: &Session,
    args: &ReportArgs,
    document: &str,
    initial: Option<Value>,
    output: &Output,
) -> Result<Reporter, Failure> {
    let schema = session.runtime.schema(document).map_err(|error| Failure::usage_of(&args.schema, error))?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&schema));
    for reporter in session.hyperty.reporters() {
        // All that the store reports is served, to the same people.
        reporter.accept(args.accept.clone());
    }
    if let Some(reporter) = stored(session, &schema, &name)? {
        if initial.is_some() {
            tracing::warn!("{} is resumed with its own data: --initial is ignored", reporter.url());
        }
        output.emit(&Event::Resumed { url: reporter.url(), version: reporter.version(), missed: None });
        return Ok(reporter);
    }
    session.reach(args.living.client.timeout).await?;
    if args.delegated {
        return receive::offered(session, args, &schema, output).await;
    }
    if args.take_over {
        return receive::taken_over(session, args, &schema, &name, output).await;
    }
    if let Some(url) = given_away(session, &schema, &name) {
        // Who starts the same command again means that object, not a second one.
        return Err(Failure::usage(format_args!(
            "{url} of that name is reported by another hyperty: observe it"
        )));
    }
    let create = session.hyperty.create(schema).name(name).store(args.living.store.store.is_some());
    let create = create.accept(args.accept.clone());
    let create = if args.backup { create.backup(true) } else { create };
    let reporter = match initial {
        Some(data) => create.data(data).await?,
        None => create.await?,
    };
    output.emit(&Event::Created { url: reporter.url() });
    Ok(reporter)
}

/// The last part of the schema's URL, which is made from its id or title.
fn name_of(schema: &Url) -> String {
    schema.path().rsplit('/').next().unwrap_or_default().to_owned()
}

fn stored(session: &Session, schema: &Url, name: &str) -> Result<Option<Reporter>, Failure> {
    let mut found = session.hyperty.reporters();
    found.retain(|reporter| {
        let metadata = reporter.metadata();
        metadata.schema == *schema && metadata.name == name
    });
    if found.len() > 1 {
        let urls: Vec<String> = found.iter().map(|reporter| reporter.url().to_string()).collect();
        let text =
            format!("the store has several objects named {name:?} of this schema: {}", urls.join(", "));
        return Err(Failure::usage(text));
    }
    Ok(found.pop())
}

/// The object of that name and schema that this hyperty observes.
fn given_away(session: &Session, schema: &Url, name: &str) -> Option<ObjectUrl> {
    let observers = session.hyperty.observers();
    let same = observers.iter().find(|observer| {
        let metadata = observer.metadata();
        metadata.schema == *schema && metadata.name == name
    });
    same.map(|observer| observer.url().clone())
}

async fn report(reporter: &Reporter, args: &ReportArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let asked = Rc::new(Asked::default());
    let mut pump = Pump::new(reporter.clone(), output, Rc::clone(&asked));
    let exit_at_eof = args.exit_at_eof;
    let served = tell_events(reporter, output);
    let requests = async {
        match args.requests {
            true => tell_requests(reporter, output, &asked).await,
            false => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        () = stop.requested() => End::Stopped,
        () = tell_backups(reporter, output) => End::Stopped,
        end = pump.run(lines::of_stdin()?, exit_at_eof) => end?,
        () = served => End::Deposed,
        () = requests => End::Stopped,
    };
    match end {
        End::Stopped => pump.settle().await,
        End::Deleted => Ok(()),
        End::Delegated(_) if exit_at_eof => Ok(()),
        End::Delegated(mut observer) => stop.or(follow(&mut observer, output)).await,
        End::Deposed => {
            output.emit(&Event::Deposed { url: reporter.url() });
            Err(Failure::new(Exit::NotAuthorised, "another hyperty of the user has taken the object over"))
        }
        End::Eof if pump.rejected() > 0 => {
            Err(Failure::error(format_args!("{} lines were rejected", pump.rejected())))
        }
        End::Eof => Ok(()),
    }
}

/// Tells how far the backup is, each time it is further; nothing if there is none.
async fn tell_backups(reporter: &Reporter, output: &Output) {
    let mut known = None;
    while let Some(position) = reporter.backed_up_beyond(known).await {
        known = Some(position);
        output.emit(&Event::Backup { epoch: position.epoch, version: position.version });
    }
    // What has ended, others tell.
    std::future::pending::<()>().await;
}

/// Tells what observers ask for; lines answer it.
async fn tell_requests(reporter: &Reporter, output: &Output, asked: &Asked) {
    let mut requests = reporter.requests();
    let mut number = 0;
    while let Some(request) = requests.next().await {
        number += 1;
        let (from, method, params) = (request.from(), request.method(), request.params());
        output.emit(&Event::Request { request: number, from, method, params });
        let mut asked = asked.borrow_mut();
        asked.insert(number, request);
        // The oldest are answered by their time long before there are so many.
        if asked.len() > ASKED_MAX {
            asked.pop_first();
        }
    }
    std::future::pending::<()>().await;
}

/// Tells what others do with the object. Ends when it is another hyperty's; what its own lines end, they tell.
async fn tell_events(reporter: &Reporter, output: &Output) {
    let mut events = reporter.events();
    while let Some(event) = events.next().await {
        match event {
            ReporterEvent::Joined { hyperty, .. } => tracing::info!(%hyperty, "observes"),
            ReporterEvent::Left { hyperty } => tracing::info!(%hyperty, "observes no longer"),
            ReporterEvent::Child(child) => {
                output.emit(&Event::child(child));
            }
            ReporterEvent::InviteAnswer(answer) => pump::people::tell(output, &answer),
            ReporterEvent::Deposed { .. } => return,
            ReporterEvent::Lagged => tracing::warn!("some operations on children were not told"),
            // What --accept does not decide is refused when it is dropped.
            other => drop(other),
        }
    }
    // The pump hears of the deletion first: it asked for it.
    std::future::pending::<()>().await;
}
