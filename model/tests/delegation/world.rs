//! Two sides, their disks, and what is on the way between them.

use std::collections::{BTreeMap, BTreeSet};

use hyperty_model::delegation::{Claim, GiveBack, Giver, Taker};

type Offer = u8;
type Side = char;
pub(crate) type Giving = Giver<Offer, Side>;
type Taking = Option<Taker<Offer, Side>>;

const A: Side = 'a';
pub(crate) const B: Side = 'b';

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Note {
    Offer(Offer),
    /// Requests and their answers carry the number of the asker's life: an answer to another request is none.
    Claim(Offer, u8),
    Granted(Offer, u8, u64),
    Refused(Offer, u8),
    GiveBack(Offer, u64),
    Returned(Offer),
    Kept(Offer),
    Confirm(Offer),
}

/// What one side keeps: what it knows, what is on its disk, and what is on the way there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept<T> {
    memory: Option<T>,
    disk: T,
    writing: Option<T>,
}

impl<T: Clone> Kept<T> {
    fn new(state: T) -> Kept<T> {
        Kept { memory: Some(state.clone()), disk: state, writing: None }
    }

    fn crash(&mut self, written: bool) {
        if let Some(writing) = self.writing.take().filter(|_| written) {
            self.disk = writing;
        }
        self.memory = None;
    }
}

/// Which rule is broken on purpose, to see that the exploration would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    Nothing,
    /// The grant is sent before it is durable that it was given.
    GrantsEarly,
    /// The claim is sent before it is durable.
    ClaimsEarly,
    /// The taker acts before it is durable that it owns.
    ActsEarly,
    /// It is given back although it may own it on disk.
    ReturnsLate,
    /// Whoever was restarted takes what it had given for its own.
    ForgetsGift,
    /// An answer to a former claim is taken for one to the present.
    AnyAnswer,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    a: Kept<Giving>,
    b: Kept<Taking>,
    net: BTreeSet<Note>,
    faults: u8,
    offers: u8,
    /// How often the taking side began anew.
    life: u8,
    /// Who acted at each epoch.
    acted: BTreeMap<u64, Side>,
    broken: Broken,
}

impl World {
    pub(crate) fn new(faults: u8, offers: u8, broken: Broken) -> World {
        World {
            a: Kept::new(Giver::Owner { epoch: 0 }),
            b: Kept::new(None),
            net: BTreeSet::new(),
            faults,
            offers,
            life: 0,
            acted: BTreeMap::new(),
            broken,
        }
    }

    fn acting(&self) -> Vec<(Side, u64)> {
        let a = self.a.memory.as_ref().and_then(Giver::acts_at).map(|epoch| (A, epoch));
        let b = self.b.memory.as_ref().and_then(|b| {
            let b = b.as_ref()?;
            let early = match b {
                Taker::Writing { epoch, .. } if self.broken == Broken::ActsEarly => Some(*epoch),
                _ => None,
            };
            b.acts_at().or(early)
        });
        a.into_iter().chain(b.map(|epoch| (B, epoch))).collect()
    }

    /// Never two at one time, and never two at one epoch.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let acting = self.acting();
        if acting.len() > 1 {
            return Err(format!("both act: {acting:?}"));
        }
        for (side, epoch) in acting {
            if *self.acted.entry(epoch).or_insert(side) != side {
                return Err(format!("two owners at epoch {epoch}"));
            }
            let before = epoch.checked_sub(1).and_then(|before| self.acted.get(&before));
            if side == A && before == Some(&B) {
                return Err(format!("what {B} published at the epoch before {epoch} is lost"));
            }
            if self.acted.keys().any(|later| *later > epoch) {
                return Err(format!("{side} acts at epoch {epoch}, which is over"));
            }
        }
        Ok(())
    }

    /// Everything that can happen next.
    pub(crate) fn next(&self) -> Vec<World> {
        let mut next = Vec::new();
        let mut step = |act: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            act(&mut world);
            if world != *self {
                next.push(world);
            }
        };
        for note in &self.net {
            step(&|world| world.deliver(note, true));
            if self.faults > 0 {
                step(&|world| {
                    world.faults -= 1;
                    world.net.remove(note);
                });
                // Doubled: it arrives, and stays under way.
                step(&|world| {
                    world.faults -= 1;
                    world.deliver(note, false);
                });
            }
        }
        if self.faults > 0 {
            for written in [false, true] {
                step(&|world| {
                    world.faults -= u8::from(world.a.memory.is_some());
                    world.a.crash(written);
                });
                step(&|world| {
                    world.faults -= u8::from(world.b.memory.is_some());
                    world.b.crash(written);
                });
            }
            // The offer expires or the Reporter does not stop in time.
            step(&|world| {
                world.faults -= 1;
                world.abort();
            });
            // It cannot be hosted.
            step(&|world| {
                world.faults -= 1;
                world.cannot_host();
            });
        }
        if self.offers > 0 {
            step(&|world| world.offer());
        }
        step(&World::go_on_a);
        step(&World::go_on_b);
        step(&World::restart_a);
        step(&World::restart_b);
        step(&World::finish_a);
        step(&World::finish_b);
        next
    }

    pub(crate) fn offer(&mut self) {
        let offer = self.offers;
        if self.a.memory.as_mut().is_some_and(|a| a.offer(offer)) {
            self.offers -= 1;
            self.net.insert(Note::Offer(offer));
        }
    }

    pub(crate) fn abort(&mut self) {
        if let Some(a) = &mut self.a.memory
            && let Some(offer) = a.current().copied()
        {
            a.abort(&offer);
        }
    }

    fn cannot_host(&mut self) {
        let broken = self.broken == Broken::ReturnsLate;
        let Some(Some(b)) = &mut self.b.memory else { return };
        let late = match b {
            Taker::Writing { offer, giver, epoch } if broken => {
                Some(Taker::Returning { offer: *offer, giver: *giver, epoch: *epoch })
            }
            _ => None,
        };
        if let Some(late) = late {
            *b = late;
        } else if b.give_back() {
            self.b.writing = Some(Some(b.to_write()));
        }
    }

    /// The Reporter has stopped: the commit is written.
    fn go_on_a(&mut self) {
        let Some(a) = &mut self.a.memory else { return };
        let Some(offer) = a.current().copied() else { return };
        if a.commit(&offer) {
            self.a.writing = Some(a.to_write());
            if self.broken == Broken::GrantsEarly
                && let Giver::Committing { epoch, .. } = a
            {
                self.net.insert(Note::Granted(offer, self.life, *epoch));
            }
        }
    }

    /// Whatever the taking side has to do or to say again.
    fn go_on_b(&mut self) {
        let idle = self.b.writing.is_none();
        let Some(Some(b)) = &mut self.b.memory else { return };
        match b {
            Taker::Requested { offer, .. } if idle || self.broken == Broken::ClaimsEarly => {
                self.net.insert(Note::Claim(*offer, self.life));
            }
            Taker::Hosting { .. } if idle => {
                b.host();
                self.b.writing = Some(Some(b.to_write()));
            }
            Taker::Returning { offer, epoch, .. } if idle => {
                self.net.insert(Note::GiveBack(*offer, *epoch));
            }
            Taker::Owner { offer, .. } => {
                self.net.insert(Note::Confirm(*offer));
            }
            _ => {}
        }
    }

    fn restart_a(&mut self) {
        if self.a.memory.is_none() {
            let found = self.a.disk.clone();
            let found = match found {
                Giver::Given { epoch, .. } if self.broken == Broken::ForgetsGift => {
                    Giver::Owner { epoch: epoch - 1 }
                }
                found => found.restarted().0,
            };
            self.a = Kept::new(found);
        }
    }

    fn restart_b(&mut self) {
        if self.b.memory.is_none() {
            self.b = Kept::new(self.b.disk.clone());
            self.life += 1;
        }
    }

    fn finish_a(&mut self) {
        if let Some(writing) = self.a.writing.take() {
            self.a.disk = writing;
            if let Some(a) = &mut self.a.memory {
                a.written();
            }
        }
    }

    fn finish_b(&mut self) {
        if let Some(writing) = self.b.writing.take() {
            self.b.disk = writing;
            if let Some(Some(b)) = &mut self.b.memory {
                b.written();
            }
        }
    }

    fn deliver(&mut self, note: &Note, once: bool) {
        if once {
            self.net.remove(note);
        }
        match note {
            Note::Claim(..) | Note::GiveBack(..) | Note::Confirm(_) => self.deliver_to_a(note),
            _ => self.deliver_to_b(note),
        }
    }

    fn deliver_to_a(&mut self, note: &Note) {
        let Some(a) = &mut self.a.memory else { return };
        match note {
            Note::Claim(offer, life) => match a.claim(offer, &B) {
                Claim::Freeze | Claim::Wait => {}
                Claim::Granted { epoch } => drop(self.net.insert(Note::Granted(*offer, *life, epoch))),
                Claim::Taken | Claim::Unknown => drop(self.net.insert(Note::Refused(*offer, *life))),
            },
            Note::GiveBack(offer, epoch) => match a.give_back(offer, *epoch, false) {
                GiveBack::Reclaim { .. } => self.a.writing = Some(a.to_write()),
                GiveBack::Wait => {}
                GiveBack::Done | GiveBack::Unknown => drop(self.net.insert(Note::Returned(*offer))),
                GiveBack::TooLate => drop(self.net.insert(Note::Kept(*offer))),
            },
            Note::Confirm(offer) => {
                if a.confirm(offer) {
                    self.a.writing = Some(a.to_write());
                }
            }
            _ => unreachable!(),
        }
    }

    fn deliver_to_b(&mut self, note: &Note) {
        let Some(b) = &mut self.b.memory else { return };
        match (note, &mut *b) {
            (Note::Offer(offer), None) => {
                *b = Some(Taker::Requested { offer: *offer, giver: A });
                self.b.writing = Some(b.clone());
                self.life += 1;
            }
            (Note::Granted(offer, life, epoch), Some(taker))
                if *life == self.life || self.broken == Broken::AnyAnswer =>
            {
                taker.granted(offer, *epoch);
            }
            (Note::Refused(offer, life), Some(taker))
                if *life == self.life && taker.may_be_refused(offer) =>
            {
                *b = None;
                self.b.writing = Some(None);
            }
            (Note::Returned(offer), Some(Taker::Returning { offer: own, .. })) if own == offer => {
                *b = None;
                self.b.writing = Some(None);
            }
            (Note::Kept(offer), Some(taker)) if taker.offer() == offer => drop(taker.keep()),
            _ => {}
        }
    }

    /// No more faults: everybody goes on until nothing changes. Then exactly one must act.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        (self.faults, self.offers) = (0, 0);
        for _ in 0..64 {
            for act in [World::restart_a, World::restart_b, World::finish_a, World::finish_b] {
                act(self);
                self.check()?;
            }
            // An offer that nobody accepts expires; one that is claimed does not.
            if matches!(self.a.memory, Some(Giver::Offered { .. }))
                && !matches!(self.b.memory, Some(Some(Taker::Requested { .. })))
                && !self.net.iter().any(|note| matches!(note, Note::Offer(_) | Note::Claim(..)))
            {
                self.abort();
            }
            for act in [World::go_on_a, World::go_on_b] {
                act(self);
                self.check()?;
            }
            for note in self.net.clone() {
                self.deliver(&note, true);
                self.check()?;
            }
        }
        match self.acting().len() {
            1 => Ok(()),
            _ => Err(format!("nobody acts in the end: {self:?}")),
        }
    }
}
