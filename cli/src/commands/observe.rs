//! `hyperty observe`: an object's state, then every change.

use std::time::Duration;

use hyperty_model::resume::Criteria;
use hyperty_model::{Identity, ObjectUrl};
use hyperty_runtime::syncher::{CloseReason, Observer, ObserverEvent, ObserverState};

use super::invited::invited;
use crate::args::ObserveArgs;
use crate::connect::{Opening, Session, within};
use crate::exit::{Exit, Failure};
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Observes until asked to leave, the target is reached, the time is over, or the object ends.
///
/// # Errors
/// When the object cannot be observed, or ends before the target is reached.
pub(crate) async fn run(args: ObserveArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    for (wished, option) in [(args.backup, "--backup"), (args.take_over, "--take-over")] {
        if wished {
            Session::user_for(&args.living.client, option)?;
        }
    }
    let session = Session::open_with(&Opening {
        durability: args.living.durability.durability,
        // Who invites has to find this hyperty.
        found: args.invited,
        ..Opening::new(&args.living.client, args.living.store.store.as_deref(), args.object.as_ref())
    })
    .await?;
    let _pages = session.administer(&args.living.admin, output).await?;
    let work = within(args.living.client.timeout, observe(&session, &args, output));
    let outcome = match stop.or(work).await {
        // To be stopped is how it usually ends.
        Err(Failure { exit: Exit::Interrupted, .. }) => Ok(()),
        outcome => outcome.map_err(|failure| match &args.object {
            Some(object) => failure.while_doing(object),
            None => failure,
        }),
    };
    session.close_after(outcome).await
}

async fn observe(session: &Session, args: &ObserveArgs, output: &Output) -> Result<(), Failure> {
    let (mut observer, resumed) = match &args.object {
        _ if args.take_over => taken_over(session, args).await?,
        Some(object) if !args.invited => {
            let wish = Wish { store: args.living.store.store.is_some(), backup: args.backup };
            subscribed(session, object, wish, args.living.client.timeout).await?
        }
        _ => match invited(session, args, output).await? {
            Some(observed) => observed,
            None => return Ok(()),
        },
    };
    let goal = Goal { changes: args.count, version: args.until_version };
    tell(&mut observer, resumed, goal, output).await
}

/// Tells the state of an object, then every change, until the observation ends.
///
/// # Errors
/// When it ends by a refusal or a failure.
pub(crate) async fn follow(observer: &mut Observer, output: &Output) -> Result<(), Failure> {
    tell(observer, false, Goal { changes: None, version: None }, output).await
}

async fn tell(observer: &mut Observer, resumed: bool, goal: Goal, output: &Output) -> Result<(), Failure> {
    let url = observer.url().clone();
    let snapshot = observer.snapshot();
    let version = snapshot.version;
    if resumed {
        output.emit(&Event::Resumed { url: &url, version, missed: None });
    }
    output.emit(&Event::snapshot(&url, version, &snapshot.data, &snapshot.children));
    if observer.state() == ObserverState::Disconnected {
        output.emit(&Event::Disconnected);
    }
    Told { url: &url, output, goal }.events(observer, version).await
}

/// Where an observation is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// In the store.
    pub(crate) store: bool,
    /// At the message node, for the user's other devices.
    pub(crate) backup: bool,
}

/// The observation of an object: the one that the store holds, or a new one. Tells whether it is resumed, for which
/// the message node need not be there.
///
/// # Errors
/// When the subscription is refused.
pub(crate) async fn subscribed(
    session: &Session,
    object: &ObjectUrl,
    wish: Wish,
    limit: Option<Duration>,
) -> Result<(Observer, bool), Failure> {
    let observers = session.hyperty.observers();
    if let Some(observer) = observers.into_iter().find(|observer| observer.url() == object) {
        return Ok((observer, true));
    }
    session.reach(limit).await?;
    let subscribe = session.hyperty.subscribe(object).store(wish.store);
    let subscribe = if wish.backup { subscribe.backup(true) } else { subscribe };
    Ok((subscribe.await?, false))
}

/// What an earlier run observes; else what another device of the user does. With that the node need not be there.
///
/// # Errors
/// [`Exit::NotFound`] if there is nothing, or its Reporter cannot be reached; [`Exit::Usage`] if there are several and
/// none was named.
async fn taken_over(session: &Session, args: &ObserveArgs) -> Result<(Observer, bool), Failure> {
    let user = Session::user_for(&args.living.client, "--take-over")?;
    let wanted = |observer: &Observer| args.object.as_ref().is_none_or(|object| observer.url() == object);
    let one = |mut found: Vec<Observer>| {
        found.retain(wanted);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => {
                let urls: Vec<String> = found.iter().map(|observer| observer.url().to_string()).collect();
                Err(Failure::usage(format_args!(
                    "{user} observes several objects: name one of {}",
                    urls.join(", ")
                )))
            }
        }
    };
    if let Some(observer) = one(session.hyperty.observers())? {
        return Ok((observer, true));
    }
    session.reach(args.living.client.timeout).await?;
    let criteria = Criteria::default().identity(Identity::of_user(user));
    let criteria = match &args.object {
        Some(object) => criteria.resources([object.clone()]),
        None => criteria,
    };
    let resumed = session.hyperty.observe_by(criteria).await?;
    let missing: Vec<String> = resumed.missing.iter().map(ToString::to_string).collect();
    match one(resumed.observers)? {
        Some(observer) => Ok((observer, true)),
        None if missing.is_empty() => {
            let what = args.object.as_ref().map_or_else(|| "anything".to_owned(), ToString::to_string);
            Err(Failure::new(Exit::NotFound, format_args!("no device of {user} is known to observe {what}")))
        }
        None => {
            let text = format_args!("the Reporter of {} cannot be reached", missing.join(", "));
            Err(Failure::new(Exit::NotFound, text))
        }
    }
}

/// When there is enough.
struct Goal {
    changes: Option<u64>,
    version: Option<u64>,
}

impl Goal {
    fn is_reached(&self, changes: u64, version: u64) -> bool {
        self.changes.is_some_and(|count| changes >= count) || self.version.is_some_and(|goal| version >= goal)
    }

    fn is_set(&self) -> bool {
        self.changes.is_some() || self.version.is_some()
    }
}

/// Where events are told, and until when.
struct Told<'a> {
    url: &'a ObjectUrl,
    output: &'a Output,
    goal: Goal,
}

impl Told<'_> {
    /// Tells events until there is enough, nobody reads any more, or the observation ends.
    async fn events(&self, observer: &mut Observer, mut version: u64) -> Result<(), Failure> {
        let mut changes = 0;
        let mut ending = None;
        while !self.goal.is_reached(changes, version) {
            let Some(event) = observer.next_event().await else { break };
            let told = match event {
                ObserverEvent::Change(change) => {
                    version = change.version;
                    changes += 1;
                    Event::change(&change).is_none_or(|event| self.output.emit(&event))
                }
                ObserverEvent::Metadata { attribute, value, version: now, .. } => {
                    version = now;
                    changes += 1;
                    self.output.emit(&Event::metadata(attribute, value, now))
                }
                ObserverEvent::Resync { version: now, data, .. } => {
                    version = now;
                    self.output.emit(&Event::Resync { version, data: &data })
                }
                ObserverEvent::Child(child) => self.output.emit(&Event::child(child)),
                ObserverEvent::Disconnected => self.output.emit(&Event::Disconnected),
                ObserverEvent::Resumed { missed } => {
                    self.output.emit(&Event::Resumed { url: self.url, version, missed: Some(missed) })
                }
                end => {
                    ending = Some(tell_end(self.output, self.url, &end));
                    true
                }
            };
            if !told {
                return Ok(());
            }
        }
        match ending {
            Some(failure) if failure.exit != Exit::NotFound || self.goal.is_set() => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Tells the last event of an observation. What it means for who still waits for something: gone, or refused.
pub(crate) fn tell_end(output: &Output, url: &ObjectUrl, end: &ObserverEvent) -> Failure {
    let gone = |text: &str| Failure::new(Exit::NotFound, text);
    let (reason, failure) = match end {
        ObserverEvent::Deleted => {
            output.emit(&Event::Deleted { url });
            return gone("the object was deleted");
        }
        ObserverEvent::Closed { reason } => match reason {
            CloseReason::Removed => {
                let text = "the reporter removed this observer";
                (text.to_owned(), Failure::new(Exit::NotAuthorised, text))
            }
            CloseReason::Refused { code, reason } => {
                (reason.clone(), Failure::new(Exit::of(*code), format_args!("refused with {code}: {reason}")))
            }
            CloseReason::Unsubscribed => ("unsubscribed".to_owned(), gone("unsubscribed")),
            _ => ("stopped".to_owned(), Failure::error("the runtime stopped")),
        },
        _ => ("ended".to_owned(), Failure::error("the observation ended")),
    };
    output.emit(&Event::Closed { reason });
    failure
}
