//! `hyperty child`: the parts of an object that its observers write.

use std::path::Path;

use hyperty_runtime::syncher::{
    Accept, Child, ChildEvent, ChildrenHandle, Observer, ObserverEvent, Reporter, ReporterEvent,
};

use super::observe::{Wish, subscribed, tell_end};
use crate::args::{ChildArgs, ChildCommand};
use crate::connect::{ONE_SHOT_WAIT, Session, json_argument, within};
use crate::exit::{Exit, Failure};
use crate::output::{ChildLine, Event, Output};
use crate::stop::Stop;

/// Runs one of the commands.
///
/// # Errors
/// When the object cannot be observed, or the operation is refused.
pub(crate) async fn run(command: ChildCommand, output: &Output, stop: &Stop) -> Result<(), Failure> {
    match command {
        ChildCommand::Add { of, data, store } => {
            let data = json_argument("the child's data", &data)?;
            let task = Task { of, store: store.store.as_deref(), output, stop };
            let add = async |object: &mut Object| {
                let child = object.children(&task.of.name)?.add(data).await?;
                task.tell(&child, "create")
            };
            task.once(add).await
        }
        ChildCommand::Set { of, id, path, value, store } => {
            let value = json_argument("the value", &value)?;
            let task = Task { of, store: Some(&store), output, stop };
            let set = async |object: &mut Object| {
                let child = own(&object.children(&task.of.name)?, &id)?;
                child.set(path.as_str(), value).await?;
                task.tell(&child, "update")
            };
            task.once(set).await
        }
        ChildCommand::Delete { of, id, store } => {
            let task = Task { of, store: Some(&store), output, stop };
            let delete = async |object: &mut Object| {
                let child = own(&object.children(&task.of.name)?, &id)?;
                let last = child.view()?;
                child.delete().await?;
                task.output.emit(&Event::Child(ChildLine::of(last, Some("delete"))));
                Ok(())
            };
            task.once(delete).await
        }
        ChildCommand::List { of, store } => {
            let task = Task { of, store: store.store.as_deref(), output, stop };
            task.once(async |object: &mut Object| task.list(object)).await
        }
        ChildCommand::Watch { of, count, store } => {
            let task = Task { of, store: store.store.as_deref(), output, stop };
            task.watch(count).await
        }
    }
}

/// What all of them need.
struct Task<'a> {
    of: ChildArgs,
    store: Option<&'a Path>,
    output: &'a Output,
    stop: &'a Stop,
}

/// An object whose children one works with, be it one's own or somebody else's.
enum Object {
    Reported(Reporter),
    Observed(Box<Observer>),
}

impl Object {
    fn children(&self, name: &str) -> Result<ChildrenHandle, Failure> {
        let children = match self {
            Object::Reported(reporter) => reporter.children(name),
            Object::Observed(observer) => observer.children(name),
        };
        children.map_err(|error| Failure::new(Exit::NotFound, error))
    }
}

impl Task<'_> {
    /// Does one thing with the object, and leaves the subscription as it was.
    async fn once(&self, work: impl AsyncFnOnce(&mut Object) -> Result<(), Failure>) -> Result<(), Failure> {
        let session = Session::open(&self.of.client, self.store, Some(&self.of.object)).await?;
        let limit = self.of.client.timeout.unwrap_or(ONE_SHOT_WAIT);
        let work = async {
            session.reach(Some(limit)).await?;
            let (mut object, resumed) = self.object(&session).await?;
            let outcome = work(&mut object).await;
            if let (Object::Observed(observer), false) = (&object, resumed)
                && let Err(error) = observer.unsubscribe().await
            {
                tracing::info!(%error, "the subscription ends with the session");
            }
            outcome
        };
        let outcome = self.stop.or(within(Some(limit), work)).await;
        session.close_after(outcome.map_err(|failure| failure.while_doing(&self.of.object))).await
    }

    async fn object(&self, session: &Session) -> Result<(Object, bool), Failure> {
        let reporters = session.hyperty.reporters();
        // Their own command decides who is let in.
        reporters.iter().for_each(|reporter| reporter.accept(Accept::None));
        if let Some(reporter) = reporters.into_iter().find(|reporter| *reporter.url() == self.of.object) {
            return Ok((Object::Reported(reporter), true));
        }
        let limit = self.of.client.timeout;
        let (observer, resumed) = subscribed(session, &self.of.object, Wish::default(), limit).await?;
        Ok((Object::Observed(Box::new(observer)), resumed))
    }

    fn tell(&self, child: &Child, op: &'static str) -> Result<(), Failure> {
        self.output.emit(&Event::Child(ChildLine::of(child.view()?, Some(op))));
        Ok(())
    }

    fn list(&self, object: &Object) -> Result<(), Failure> {
        for child in object.children(&self.of.name)?.list() {
            if !self.output.emit(&Event::Child(ChildLine::of(child, None))) {
                break;
            }
        }
        Ok(())
    }

    async fn watch(&self, count: Option<u64>) -> Result<(), Failure> {
        let session = Session::open(&self.of.client, self.store, Some(&self.of.object)).await?;
        let work = within(self.of.client.timeout, async {
            let (mut object, _) = self.object(&session).await?;
            if let Object::Observed(observer) = &mut object {
                // What comes from here on is told one by one.
                observer.snapshot();
            }
            self.list(&object)?;
            match object {
                Object::Reported(reporter) => self.watch_reported(&reporter, count).await,
                Object::Observed(observer) => self.watch_observed(*observer, count).await,
            }
        });
        let outcome = match self.stop.or(work).await {
            Err(Failure { exit: Exit::Interrupted, .. }) => Ok(()),
            outcome => outcome.map_err(|failure| failure.while_doing(&self.of.object)),
        };
        session.close_after(outcome).await
    }

    async fn watch_observed(&self, mut observer: Observer, count: Option<u64>) -> Result<(), Failure> {
        let mut seen = 0;
        while count.is_none_or(|count| seen < count) {
            match observer.next_event().await {
                Some(ObserverEvent::Child(child)) => {
                    if !self.tell_event(child, &mut seen) {
                        return Ok(());
                    }
                }
                // The children are what they are now, not what the events led to.
                Some(ObserverEvent::Resync { .. }) => {
                    self.list(&Object::Observed(Box::new(observer.clone())))?
                }
                Some(end @ (ObserverEvent::Deleted | ObserverEvent::Closed { .. })) => {
                    return Err(tell_end(self.output, &self.of.object, &end));
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn watch_reported(&self, reporter: &Reporter, count: Option<u64>) -> Result<(), Failure> {
        let (mut events, mut seen) = (reporter.events(), 0);
        while count.is_none_or(|count| seen < count) {
            match events.next().await {
                Some(ReporterEvent::Child(child)) => {
                    if !self.tell_event(child, &mut seen) {
                        return Ok(());
                    }
                }
                Some(ReporterEvent::Lagged) => self.list(&Object::Reported(reporter.clone()))?,
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Tells an operation if it is of the wanted name; false if nobody reads any more.
    fn tell_event(&self, child: ChildEvent, seen: &mut u64) -> bool {
        if child.name.as_str() != self.of.name {
            return true;
        }
        *seen += 1;
        self.output.emit(&Event::child(child))
    }
}

fn own(children: &ChildrenHandle, id: &str) -> Result<Child, Failure> {
    let own = children.mine().into_iter().find(|child| child.id() == id);
    own.ok_or_else(|| match children.get(id) {
        Some(_) => Failure::new(Exit::NotAuthorised, format_args!("{id} belongs to another hyperty")),
        None => Failure::new(Exit::NotFound, format_args!("no child {id}")),
    })
}
