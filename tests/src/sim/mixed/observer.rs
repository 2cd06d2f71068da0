//! The Observer of a mixed run: follows the object event by event, adds children, reads, leaves and comes back.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyperty_model::{ObjectUrl, Position, Snapshot};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{Observer, ObserverEvent, ObserverState, ReadError};
use tokio::time::sleep;

use super::children::Kids;
use super::judge::{Judge, Phase};
use super::reporter::{AGAIN, LOOK};
use crate::reference::{ChildSeen, Followed, Follower, Invariant, Violation, children_of};
use crate::sim::Seat;

/// The mean time between two things that an observer does.
const BETWEEN_ACTIONS: Duration = Duration::from_secs(6);

/// What an observer is told beside its hyperty.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) judge: Arc<Judge>,
    pub(super) board: String,
}

type Reading = BoxFuture<'static, Result<Snapshot, ReadError>>;

struct Watching {
    seat: Seat,
    judge: Arc<Judge>,
    who: String,
    party: String,
    hyperty: Hyperty,
    url: ObjectUrl,
    observer: Observer,
    follower: Follower,
    kids: Kids,
    reads: FuturesUnordered<Reading>,
}

/// The program.
pub(super) async fn watch(hyperty: Hyperty, seat: Seat, role: Role) {
    let judge = &role.judge;
    judge.reached(Phase::Work).await;
    let url = judge.found(&role.board).await;
    let who = hyperty.url().to_string();
    seat.note(format!("{who} observes {url}"));
    judge.of(&url, |judge| judge.children_uncertain(&who));
    let mut resumed = hyperty.resumed().observers.iter().find(|observer| *observer.url() == url).cloned();
    while judge.phase() < Phase::Leave {
        let begun = match resumed.take() {
            Some(observer) => Some((observer, true)),
            None => {
                let lost = judge.of(&url, |judge| judge.observes(&who)) == Some(true);
                if lost && seat.start > 1 {
                    let detail = "its subscription did not come back".to_owned();
                    let (invariant, object) = (Invariant::I6, url.to_string());
                    return seat.sim.violated(Violation { invariant, object, who, detail });
                }
                subscribe(&hyperty, &seat, &url).await.map(|observer| (observer, false))
            }
        };
        let Some((observer, back)) = begun else { continue };
        let followed = match Watching::begin(&hyperty, &seat, judge, &url, observer, back) {
            Ok(mut watching) => watching.follow().await,
            Err(violation) => Err(violation),
        };
        if let Err(violation) = followed {
            return seat.sim.violated(violation);
        }
    }
    judge.one_done();
}

async fn subscribe(hyperty: &Hyperty, seat: &Seat, url: &ObjectUrl) -> Option<Observer> {
    match hyperty.subscribe(url).store(true).await {
        Ok(observer) => Some(observer),
        Err(error) => {
            seat.note(format!("not subscribed: {error}"));
            sleep(AGAIN).await;
            None
        }
    }
}

impl Watching {
    fn begin(
        hyperty: &Hyperty,
        seat: &Seat,
        judge: &Arc<Judge>,
        url: &ObjectUrl,
        mut observer: Observer,
        back: bool,
    ) -> Result<Watching, Violation> {
        let who = hyperty.url().to_string();
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        judge.check(url, |judge| match back && judge.observes(&who) {
            true => judge.came_back(&who, at, &snapshot.data),
            // A subscription that was kept before its application heard of it.
            false => judge.joined(&who, at, &snapshot.data),
        })?;
        Ok(Watching {
            seat: seat.clone(),
            judge: Arc::clone(judge),
            party: format!("{} {url}", seat.name),
            hyperty: hyperty.clone(),
            url: url.clone(),
            follower: Follower::new(&who, &who, at, snapshot.data),
            kids: Kids::new(judge, url, &who),
            reads: FuturesUnordered::new(),
            observer,
            who,
        })
    }

    /// Follows the object until the observation ends.
    async fn follow(&mut self) -> Result<(), Violation> {
        let judge = Arc::clone(&self.judge);
        loop {
            let pause = match judge.phase() {
                Phase::Settle => LOOK,
                _ => self.seat.rng.around(BETWEEN_ACTIONS),
            };
            let pause = sleep(pause);
            tokio::pin!(pause);
            let phase = judge.phase();
            loop {
                tokio::select! {
                    biased;
                    event = self.observer.next_event() => match event {
                        Some(event) => {
                            if self.take(event)? {
                                return Ok(());
                            }
                        }
                        None => return Ok(()),
                    },
                    Some(outcome) = self.kids.under_way.next() => self.kids.done(outcome)?,
                    Some(read) = self.reads.next() => self.read(read)?,
                    () = judge.reached(Phase::Settle), if phase < Phase::Settle => break,
                    () = judge.reached(Phase::Leave), if phase == Phase::Settle => break,
                    () = &mut pause => break,
                }
            }
            let left = match judge.phase() {
                Phase::Work if phase == Phase::Work => self.act().await?,
                Phase::Settle => self.look()?,
                Phase::Leave | Phase::Delete => self.leave().await,
                _ => false,
            };
            if left {
                return Ok(());
            }
        }
    }

    /// Takes an event; whether it was the last.
    fn take(&mut self, event: ObserverEvent) -> Result<bool, Violation> {
        let (who, url) = (&self.who, &self.url);
        self.judge.delivered();
        let follower = &mut self.follower;
        let followed = self.judge.of(url, |judge| {
            let taken = follower.take(event.clone(), judge);
            match (&taken, &event) {
                (Err(violation), ObserverEvent::Child(child)) if is_flicker(violation) => {
                    judge.child_uncertain(&format!("{}/{}", child.name, child.id));
                    follower.take(event, judge)
                }
                _ => taken,
            }
        });
        let followed = followed.unwrap_or(Ok(Followed::On))?;
        let (at, data) = (self.observer.position(), self.observer.data());
        self.judge.check(url, |judge| judge.holds(who, at, &data))?;
        let held = self.held()?;
        self.judge.check(url, |judge| {
            let mut checked = judge.holds_children(who, &held);
            for seen in &held {
                if checked.as_ref().is_err_and(is_flicker) {
                    judge.child_uncertain(&seen.id);
                    checked = judge.holds_children(who, &held);
                }
            }
            checked
        })?;
        Ok(followed != Followed::On)
    }

    fn held(&self) -> Result<Vec<ChildSeen>, Violation> {
        let notes = self.observer.children("notes");
        notes
            .map(|notes| children_of(&notes))
            .map_err(|error| super::odd(&self.url, &self.who, &error.to_string()))
    }

    /// Does something; whether it has left the object.
    async fn act(&mut self) -> Result<bool, Violation> {
        match self.seat.rng.below(20) {
            0..=9 => {
                if let Ok(notes) = self.observer.children("notes") {
                    self.kids.act(&self.seat.rng, &notes)?;
                }
            }
            10..=12 => {
                let (hyperty, url) = (self.hyperty.clone(), self.url.clone());
                self.reads.push(Box::pin(async move { hyperty.read(&url).await }));
            }
            13 => return Ok(self.leave().await),
            _ => {}
        }
        Ok(false)
    }

    fn read(&self, read: Result<Snapshot, ReadError>) -> Result<(), Violation> {
        let Ok(snapshot) = read else { return Ok(()) };
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        self.judge.check(&self.url, |judge| judge.read(&self.who, at, &snapshot.data))
    }

    async fn leave(&mut self) -> bool {
        // However it ends, the observation has ended here; after a crash meanwhile it may be back.
        self.judge.of(&self.url, |judge| {
            judge.unsubscribed(&self.who);
            judge.children_uncertain(&self.who);
        });
        let ended = self.observer.unsubscribe().await;
        self.seat.note(format!("{} has left: {ended:?}", self.who));
        true
    }

    fn look(&mut self) -> Result<bool, Violation> {
        let state = self.observer.state();
        let (at, data, held) = (self.observer.position(), self.observer.data(), self.held()?);
        let reporters = self.judge.children(&self.url);
        let settled = self.judge.check(&self.url, |judge| {
            judge.settled(&self.who, at, &data)?;
            judge.settled_children(&self.who, &held, &reporters)
        });
        let settled = settled.and(match state {
            ObserverState::Live => Ok(()),
            other => Err(self.unsettled(format!("is {other:?}"))),
        });
        self.judge.settled(&self.party, settled);
        Ok(false)
    }

    fn unsettled(&self, detail: String) -> Violation {
        let (object, who) = (self.url.to_string(), self.who.clone());
        Violation { invariant: Invariant::I11, object, who, detail }
    }
}

/// Whether a child went and came again, or the other way round. An observer that repairs itself takes the children that
/// the Reporter's side has: what a third party's creation or deletion was ahead of is undone until it has arrived
/// there, too. Children have no common version that would tell.
fn is_flicker(violation: &Violation) -> bool {
    matches!(violation.invariant, Invariant::I3 | Invariant::I9) && violation.detail.contains("deleted")
}

/// One who is not allowed, and tries.
pub(super) async fn stranger(hyperty: Hyperty, seat: Seat, role: Role) {
    let judge = &role.judge;
    judge.reached(Phase::Work).await;
    let url = judge.found(&role.board).await;
    let who = hyperty.url().to_string();
    judge.of(&url, |judge| judge.refused(&who));
    while judge.phase() < Phase::Settle {
        sleep(seat.rng.around(4 * BETWEEN_ACTIONS)).await;
        let checked = if seat.rng.chance(0.5) {
            hyperty.subscribe(&url).store(true).await.ok().map(|mut observer| observer.snapshot())
        } else {
            hyperty.read(&url).await.ok()
        };
        if let Some(snapshot) = checked {
            let at = Position { epoch: snapshot.epoch, version: snapshot.version };
            seat.check(judge.check(&url, |judge| judge.joined(&who, at, &snapshot.data)));
        }
    }
}
