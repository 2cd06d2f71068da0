//! The Observer of a mixed run: follows the object event by event, adds children, reads, leaves and comes back.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyperty_model::{ObjectUrl, Position, Snapshot};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{
    Delegation, Delegations, Invitations, Observer, ObserverEvent, ObserverState, ReadError, Reporter,
};
use tokio::time::sleep;

use super::children::Kids;
use super::judge::{Judge, Phase};
use super::party::{Entry, Party, Stand};
use super::procedures::Procedure;
use super::reporter::{AGAIN, Doing, LOOK};
use super::{action, delegate, invite, other_device};
use crate::reference::{ChildSeen, Followed, Follower, Invariant, Violation, children_of};
use crate::sim::Seat;

/// The mean time between two things that an observer does.
const BETWEEN_ACTIONS: Duration = Duration::from_secs(6);

/// How often one who may not observe tries at least.
const UNINVITED: Duration = Duration::from_secs(8);

/// An answer, and whether its asker could have been let in when it asked.
type Reading = BoxFuture<'static, (bool, Result<Snapshot, ReadError>)>;

/// What the application of one who does not report the object is asked, and has accepted.
struct Desk {
    invitations: Invitations,
    offers: Delegations,
    /// An offer that was accepted.
    taking: FuturesUnordered<delegate::Taking>,
    /// An object of the user's other device.
    inheriting: FuturesUnordered<other_device::Inheriting>,
    undecided: Option<Delegation>,
}

struct Watching<'a> {
    party: &'a Party,
    judge: Arc<Judge>,
    who: &'a str,
    url: &'a ObjectUrl,
    observer: Observer,
    follower: Follower,
    kids: Kids,
    reads: FuturesUnordered<Reading>,
    actions: FuturesUnordered<Doing>,
}

/// What ended an observation, or the time without one.
enum Next {
    /// Nothing more is to be followed.
    Ended,
    Observes(Observer),
    Reports(Reporter),
}

/// Observes until everybody leaves, or the object is this party's own.
pub(super) async fn watch(
    party: &Party,
    url: &ObjectUrl,
    begun: Option<(Observer, Entry)>,
) -> Result<Stand, Violation> {
    let judge = &party.role.judge;
    party.seat.note(format!("{} observes {url}", party.who));
    let mut desk = Desk {
        invitations: party.hyperty.invitations(),
        offers: party.hyperty.delegations(),
        taking: FuturesUnordered::new(),
        inheriting: FuturesUnordered::new(),
        undecided: None,
    };
    let (mut begun, mut wait) = (begun, Duration::ZERO);
    while judge.phase() < Phase::Leave {
        let next = match begun.take() {
            Some((observer, entry)) => {
                let next = Watching::begin(party, url, observer, entry)?.follow(&mut desk).await?;
                // What it had under way on its children is not followed any more.
                judge.of(url, |judge| judge.children_uncertain(&party.who));
                wait = Duration::ZERO;
                next
            }
            None => {
                let next = outside(party, url, &mut desk, wait).await?;
                let may = judge.of(url, |judge| judge.may(&party.who)) == Some(true);
                wait = if may && !judge.is_restricted(&party.who) {
                    AGAIN
                } else {
                    UNINVITED * (1 + party.seat.rng.below(3) as u32)
                };
                next
            }
        };
        match next {
            Next::Ended => {}
            Next::Observes(observer) => begun = Some((observer, Entry::New)),
            Next::Reports(board) => return Ok(Stand::Reports(board)),
        }
    }
    Ok(Stand::Left)
}

/// Waits for an invitation, an object of its own or its time to subscribe; whichever comes first.
async fn outside(party: &Party, url: &ObjectUrl, desk: &mut Desk, wait: Duration) -> Result<Next, Violation> {
    let judge = &party.role.judge;
    let phase = judge.phase();
    let pause = sleep(if phase < Phase::Settle { wait } else { wait.min(LOOK) });
    tokio::pin!(pause);
    loop {
        tokio::select! {
            biased;
            Some((from, taken)) = desk.taking.next() => {
                return Ok(delegate::taken(party, &from, taken)?.map_or(Next::Ended, Next::Reports));
            }
            Some(taken) = desk.inheriting.next() => return Ok(taken?.map_or(Next::Ended, Next::Reports)),
            Some(offer) = desk.offers.next() => desk.decide(party, offer),
            Some(invitation) = desk.invitations.next() => {
                return Ok(invite::decide(party, invitation).await.map_or(Next::Ended, Next::Observes));
            }
            () = judge.reached(Phase::Settle), if phase < Phase::Settle => return Ok(Next::Ended),
            () = judge.reached(Phase::Leave) => return Ok(Next::Ended),
            () = &mut pause => break,
        }
    }
    if !(desk.taking.is_empty() && desk.inheriting.is_empty()) {
        // It may be its own soon.
        return Ok(Next::Ended);
    }
    if let Some(board) = party.hyperty.reporters().into_iter().find(|board| board.url() == url) {
        let from = judge.of(url, |judge| judge.owner().to_owned()).unwrap_or_default();
        delegate::owns(party, &from, &board)?;
        return Ok(Next::Reports(board));
    }
    // Whether its invitation holds still is for the Reporter's side to say.
    if phase >= Phase::Settle && judge.is_restricted(&party.who) {
        judge.settled(&party.name(url), Ok(()));
        sleep(LOOK).await;
        return Ok(Next::Ended);
    }
    let could = judge.of(url, |judge| {
        judge.asks(&party.who);
        judge.may_be_let_in(&party.who)
    });
    let subscribed = party.hyperty.subscribe(url).store(true).await;
    let can = judge.of(url, |judge| judge.may_be_let_in(&party.who));
    match subscribed {
        Ok(observer) if could == Some(true) && can != Some(true) => {
            let_in_too_late(party, &observer).await;
            Ok(Next::Ended)
        }
        Ok(observer) => Ok(Next::Observes(observer)),
        Err(error) => {
            party.seat.note(format!("not subscribed: {error}"));
            Ok(Next::Ended)
        }
    }
}

/// It was removed, or its invitation taken back, while the answer was on its way.
pub(super) async fn let_in_too_late(party: &Party, observer: &Observer) {
    let left = observer.unsubscribe().await;
    party.seat.note(format!("{} was let in and sent away: {left:?}", party.who));
}

impl Desk {
    fn decide(&mut self, party: &Party, offer: Delegation) {
        self.taking.extend(delegate::decide(party, offer, &mut self.undecided));
    }
}

impl<'a> Watching<'a> {
    fn begin(
        party: &'a Party,
        url: &'a ObjectUrl,
        mut observer: Observer,
        entry: Entry,
    ) -> Result<Watching<'a>, Violation> {
        let (judge, who) = (&party.role.judge, party.who.as_str());
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        let is_removing = judge.is_removing(who);
        judge.check(url, |judge| {
            match entry == Entry::Back && (judge.observes(who) || judge.is_unheard(who)) {
                true => judge.came_back(who, at, &snapshot.data),
                // A subscription that was kept before its application heard of it.
                false => judge.joined(who, at, &snapshot.data),
            }
        })?;
        if entry == Entry::New {
            judge.let_in(who);
        }
        if is_removing {
            // The removal may come after it.
            judge.of(url, |judge| judge.removing(who));
        }
        Ok(Watching {
            party,
            judge: Arc::clone(judge),
            url,
            follower: Follower::new(who, who, at, snapshot.data),
            kids: Kids::new(judge, url, who),
            reads: FuturesUnordered::new(),
            actions: FuturesUnordered::new(),
            observer,
            who,
        })
    }

    /// Follows the object until the observation ends.
    async fn follow(mut self, desk: &mut Desk) -> Result<Next, Violation> {
        let judge = Arc::clone(&self.judge);
        loop {
            let pause = match judge.phase() {
                Phase::Settle => LOOK,
                _ => self.party.seat.rng.around(BETWEEN_ACTIONS),
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
                                return Ok(Next::Ended);
                            }
                        }
                        None => return Ok(Next::Ended),
                    },
                    Some(outcome) = self.kids.under_way.next() => self.kids.done(outcome)?,
                    Some(read) = self.reads.next() => self.read(read)?,
                    Some(done) = self.actions.next() => done?,
                    Some((from, taken)) = desk.taking.next() => {
                        if let Some(board) = delegate::taken(self.party, &from, taken)? {
                            return Ok(Next::Reports(board));
                        }
                    }
                    Some(taken) = desk.inheriting.next() => {
                        if let Some(board) = taken? {
                            return Ok(Next::Reports(board));
                        }
                    }
                    Some(offer) = desk.offers.next() => desk.decide(self.party, offer),
                    () = judge.reached(Phase::Settle), if phase < Phase::Settle => break,
                    () = judge.reached(Phase::Leave), if phase == Phase::Settle => break,
                    () = &mut pause => break,
                }
            }
            let left = match judge.phase() {
                Phase::Work if phase == Phase::Work => self.act(desk).await?,
                Phase::Settle => self.look(desk)?,
                Phase::Leave | Phase::Delete => self.leave().await,
                _ => false,
            };
            if left {
                return Ok(Next::Ended);
            }
        }
    }

    /// Takes an event; whether it was the last.
    fn take(&mut self, event: ObserverEvent) -> Result<bool, Violation> {
        let (who, url) = (self.who, self.url);
        self.judge.delivered();
        let follower = &mut self.follower;
        let followed = self.judge.of(url, |judge| follower.take(event, judge));
        let followed = followed.unwrap_or(Ok(Followed::On))?;
        let (at, data) = (self.observer.position(), self.observer.data());
        self.judge.check(url, |judge| judge.holds(who, at, &data))?;
        let held = self.held()?;
        self.judge.check(url, |judge| judge.holds_children(who, &held))?;
        Ok(followed != Followed::On)
    }

    fn held(&self) -> Result<Vec<ChildSeen>, Violation> {
        let notes = self.observer.children("notes");
        notes
            .map(|notes| children_of(&notes))
            .map_err(|error| self.party.odd(self.url, Invariant::I1, error.to_string()))
    }

    /// Does something; whether it has left the object.
    async fn act(&mut self, desk: &mut Desk) -> Result<bool, Violation> {
        let rng = &self.party.seat.rng;
        match self.party.role.weights.draw(rng, &Procedure::OBSERVERS) {
            Some(Procedure::Child) => {
                if let Ok(notes) = self.observer.children("notes") {
                    self.kids.act(rng, &notes)?;
                }
            }
            Some(Procedure::Read) => {
                let (hyperty, url) = (self.party.hyperty.clone(), self.url.clone());
                let could = self.judge.of(&url, |judge| judge.may_be_let_in(self.who)) == Some(true);
                self.reads.push(Box::pin(async move { (could, hyperty.read(&url).await) }));
            }
            Some(Procedure::Action) => self.actions.push(action::ask(self.party, &self.observer)),
            Some(Procedure::Leave) => return Ok(self.leave().await),
            Some(Procedure::OtherDevice) if desk.inheriting.is_empty() && desk.taking.is_empty() => {
                desk.inheriting.extend(other_device::begin(self.party, self.url));
            }
            _ => {}
        }
        Ok(false)
    }

    fn read(&self, (could, read): (bool, Result<Snapshot, ReadError>)) -> Result<(), Violation> {
        let Ok(snapshot) = read else { return Ok(()) };
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        self.judge.check(self.url, |judge| match could && !judge.may_be_let_in(self.who) {
            // It was answered before its asker was sent away.
            true => Ok(()),
            false => judge.read(self.who, at, &snapshot.data),
        })
    }

    async fn leave(&mut self) -> bool {
        // However it ends, the observation has ended here; after a crash meanwhile it may be back.
        self.judge.of(self.url, |judge| {
            judge.unsubscribed(self.who);
            judge.children_uncertain(self.who);
        });
        let ended = self.observer.unsubscribe().await;
        self.party.seat.note(format!("{} has left: {ended:?}", self.who));
        true
    }

    fn look(&mut self, desk: &Desk) -> Result<bool, Violation> {
        let state = self.observer.state();
        let (at, data, held) = (self.observer.position(), self.observer.data(), self.held()?);
        let reporters = self.judge.children(self.url);
        let unsettled = |detail: &str| Err(self.party.odd(self.url, Invariant::I11, detail));
        let settled = self.judge.check(self.url, |judge| {
            if judge.is_unheard(self.who) {
                return unsettled("has not heard that it was removed");
            }
            judge.settled(self.who, at, &data)?;
            judge.settled_children(self.who, &held, &reporters)
        });
        let settled = settled.and(match state {
            ObserverState::Live if !(desk.taking.is_empty() && desk.inheriting.is_empty()) => {
                unsettled("an object that it takes over has no end")
            }
            ObserverState::Live if !self.actions.is_empty() => {
                unsettled("an action that it asked for has no end")
            }
            ObserverState::Live => Ok(()),
            other => unsettled(&format!("is {other:?}")),
        });
        self.judge.settled(&self.party.name(self.url), settled);
        Ok(false)
    }
}

/// One who is not allowed, and tries.
pub(super) async fn stranger(hyperty: Hyperty, seat: Seat, judge: Arc<Judge>) {
    judge.reached(Phase::Work).await;
    let url = judge.found("board-0").await;
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
