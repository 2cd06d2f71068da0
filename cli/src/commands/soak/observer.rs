//! A runtime that observes everything, adds children, and comes back in one way or another.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::reference::{Followed, Follower, Invariant, Violation, children_of};
use hyperty_model::{Ids, ObjectUrl, Position, SeededIds};
use hyperty_runtime::Hyperty;
use hyperty_runtime::syncher::{ChildOp, Observer, ObserverEvent, ObserverState};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::court::Phase;
use super::disk::Disk;
use super::host::{pause, some};
use super::reporter::{AGAIN, OBJECTS, start};
use super::tally::Count;
use super::{LOOK, Soak, kids};

/// The mean time from a start to a crash or an end in order.
const LIFE: Duration = Duration::from_secs(10);

/// The mean time between two operations on children.
const BETWEEN_CHILDREN: Duration = Duration::from_millis(400);

/// Observes for ever, with restarts in between. Half of them store what they observe.
pub(super) async fn observe(soak: Arc<Soak>, number: u32, ids: Arc<SeededIds>) {
    let name = format!("observer-{number}");
    let store = number.is_multiple_of(2);
    let mut disk = if store { Disk::File(soak.folder.join(format!("{name}.redb"))) } else { Disk::memory() };
    loop {
        let tables = match disk.open() {
            Ok(tables) => tables,
            Err(error) => return soak.tally.lost(&format!("{name}: {error}")),
        };
        let (runtime, hyperty) = match start(&soak, &name, tables).await {
            Ok(started) => started,
            Err(error) => return soak.tally.lost(&format!("{name}: {error}")),
        };
        tracing::debug!(name, hyperty = %hyperty.url(), "started");
        let reporters = soak.court.reporters();
        let mut following = JoinSet::new();
        for url in soak.court.all(reporters * OBJECTS).await {
            following.spawn(follow(Arc::clone(&soak), Arc::clone(&ids), hyperty.clone(), url, store));
        }
        // Who stores nothing would have lost its unanswered children on the way: it stays.
        match store {
            true => pause(&soak, &ids, LIFE).await,
            false => std::future::pending().await,
        }
        tracing::debug!(name, "ends");
        following.shutdown().await;
        for url in soak.court.all(0).await {
            soak.court.check(&url, |case| {
                case.reference.children_uncertain(hyperty.url().as_str());
                Ok(())
            });
        }
        if ids.random() & 1 == 0 {
            runtime.abort();
            soak.tally.add(Count::RuntimeCrashes);
        } else {
            if let Err(error) = runtime.shutdown().await {
                soak.tally.lost(&format!("{name} did not leave in order: {error}"));
            }
            soak.tally.add(Count::RuntimeRestarts);
        }
        drop((runtime, hyperty));
        sleep(some(&ids, AGAIN)).await;
    }
}

/// Follows one object for as long as the runtime lives.
async fn follow(soak: Arc<Soak>, ids: Arc<SeededIds>, hyperty: Hyperty, url: ObjectUrl, store: bool) {
    let who = hyperty.url().to_string();
    let mut resumed = hyperty.resumed().observers.iter().find(|observer| *observer.url() == url).cloned();
    loop {
        let (observer, back) = match resumed.take() {
            Some(observer) => (observer, true),
            None => match hyperty.subscribe(&url).store(store).await {
                Ok(observer) => (observer, false),
                Err(error) => {
                    tracing::debug!(%url, %error, "not subscribed");
                    sleep(AGAIN).await;
                    continue;
                }
            },
        };
        let Some(mut following) = Following::begin(&soak, &ids, &who, &url, observer, back) else { continue };
        following.run().await;
    }
}

/// One observation, told and judged.
pub(super) struct Following {
    soak: Arc<Soak>,
    ids: Arc<SeededIds>,
    who: String,
    url: ObjectUrl,
    observer: Observer,
    follower: Follower,
    children: JoinSet<()>,
}

impl Following {
    /// From the first copy on; `None` if that is wrong.
    pub(super) fn begin(
        soak: &Arc<Soak>,
        ids: &Arc<SeededIds>,
        who: &str,
        url: &ObjectUrl,
        mut observer: Observer,
        back: bool,
    ) -> Option<Following> {
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        let fits = soak.court.check(url, |case| match back && case.reference.observes(who) {
            true => case.reference.came_back(who, at, &snapshot.data),
            false => case.reference.joined(who, at, &snapshot.data),
        });
        fits.then(|| Following {
            soak: Arc::clone(soak),
            ids: Arc::clone(ids),
            who: who.to_owned(),
            url: url.clone(),
            follower: Follower::new(who, who, at, snapshot.data),
            observer,
            children: JoinSet::new(),
        })
    }

    /// Until the observation ends, or is wrong.
    async fn run(&mut self) {
        loop {
            let paused = self.soak.court.phase() == Phase::Pause;
            let due = sleep(if paused { LOOK } else { some(&self.ids, 2 * BETWEEN_CHILDREN) });
            tokio::pin!(due);
            loop {
                tokio::select! {
                    biased;
                    event = self.observer.next_event() => match event {
                        Some(event) => if !self.take(event) { return },
                        None => return,
                    },
                    Some(_) = self.children.join_next() => {}
                    () = &mut due => break,
                }
            }
            if self.soak.court.phase() == Phase::Pause { self.look() } else { self.act() }
        }
    }

    /// So many changes, or until the observation ends or is wrong.
    pub(super) async fn some_events(&mut self, many: u32) {
        for _ in 0..many {
            let Some(event) = self.observer.next_event().await else { return };
            if !self.take(event) {
                return;
            }
        }
    }

    /// Takes an event; whether there may be more.
    fn take(&mut self, event: ObserverEvent) -> bool {
        let (tally, before) = (&self.soak.tally, self.follower.position());
        let mut again = false;
        match &event {
            ObserverEvent::Change(change) => {
                tally.add(Count::Deliveries);
                let epoch = change.update().and_then(|update| update.epoch).unwrap_or(before.epoch);
                again = Position { epoch, version: change.version } <= before;
            }
            ObserverEvent::Resync { .. } => tally.add(Count::Resyncs),
            ObserverEvent::Child(child) => {
                tracing::debug!(who = self.who, url = %self.url, op = child.op.as_str(), id = child.id, version = child.version, "child told");
                tally.add(Count::Children);
            }
            _ => {}
        }
        let Some(case) = self.soak.court.case(&self.url) else { return false };
        let mut case = case.lock();
        if let ObserverEvent::Child(child) = &event
            && child.op == ChildOp::Delete
        {
            // What its writer sent to everybody and the Reporter's side has not taken yet is not in the whole state that
            // a repair gives: it goes, and comes back when the writer sends it again. Only what was taken must stay.
            case.reference.children_uncertain(child.reporter.as_str());
        }
        let taken = self.follower.take(event, &mut case.reference);
        drop(case);
        match taken {
            Ok(followed) => followed == Followed::On,
            Err(violation) => {
                tally.violated(&violation, again);
                false
            }
        }
    }

    fn act(&mut self) {
        let Ok(notes) = self.observer.children("notes") else { return };
        if let Some(begun) = kids::act(&self.soak.court, &self.url, &self.who, &notes, &*self.ids) {
            self.children.spawn(begun.end());
        }
    }

    /// Tells whether it is settled: it has all there is, the children too, and knows that it is live.
    fn look(&self) {
        let (court, url, who) = (&self.soak.court, &self.url, &self.who);
        let Ok(notes) = self.observer.children("notes") else { return };
        let held = children_of(&notes);
        let Some(case) = court.case(url) else { return };
        let mut case = case.lock();
        let of_the_reporter = case.children.clone();
        let judge = &mut case.reference;
        let settled = judge
            .holds_children(who, &held)
            .and_then(|()| judge.settled(who, self.observer.position(), &self.observer.data()))
            .and_then(|()| judge.settled(who, self.follower.position(), self.follower.data()))
            .and_then(|()| judge.settled_children(who, &held, &of_the_reporter))
            .and_then(|()| match self.observer.state() {
                ObserverState::Live => Ok(()),
                other => {
                    let (invariant, object) = (Invariant::I11, url.to_string());
                    Err(Violation { invariant, object, who: who.clone(), detail: format!("is {other:?}") })
                }
            });
        drop(case);
        court.looked(format!("{who} of {url}"), settled);
    }
}
