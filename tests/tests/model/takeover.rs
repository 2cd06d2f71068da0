//! The other device of a user takes objects over, and resumes by criteria.

use std::time::Duration;

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_conformance::world::Link;
use hyperty_model::{Identity, ObjectUrl, Position, StatusCode};
use hyperty_syncher::{Criteria, Observer, ResumeError, Resumed};

use crate::command::{Loss, PARTIES};
use crate::machine::is_told;
use crate::member::{sibling, user_of};
use crate::system::{NAMES, System, broken};

/// After this long without its runtime an object is nobody's: a lost connection is noticed, and its session given up.
const GIVEN_UP: Duration = Duration::from_secs(130);

/// Who is connected is known to the node within this.
const KNOWN: Duration = Duration::from_secs(2);

impl System {
    pub(crate) async fn take_over(&mut self, number: usize, loss: Loss) -> Result<(), Violation> {
        self.finish_pending().await?;
        let board = &self.boards[number];
        if board.reference.is_deleting() {
            return Ok(());
        }
        let owner = board.owner;
        let Some(heir) = sibling(owner) else { return self.take_from_another(number).await };
        if board.is_between() && board.reference.has_heirs() {
            return Ok(());
        }
        let mut dead = None;
        match loss {
            Loss::Nothing => self.pause(KNOWN).await?,
            Loss::Cut => {
                self.world.set_link(NAMES[owner], Link::Cut);
                self.pause(GIVEN_UP).await?;
            }
            Loss::Dead => {
                self.leave(owner, self.member(owner).keeps());
                dead = Some(self.members[owner].take().expect("there is a runtime between steps").crash());
                tokio::time::sleep(GIVEN_UP).await;
            }
        }
        let disk = match &dead {
            Some((_, disk)) => disk.snapshot(),
            None => self.member(owner).tables.inner().snapshot(),
        };
        let is_live = dead.is_none() && self.is_connected(owner);
        let url = self.boards[number].url.clone();
        let copied = self.shelf.put(&disk, &url);
        if copied {
            self.inherit(number, heir, is_live).await?;
        }
        if let Some((name, disk)) = dead {
            self.start(owner, name, disk).await?;
        }
        Ok(())
    }

    /// Takes over from the copy that is on the shelf.
    pub(crate) async fn inherit(
        &mut self,
        number: usize,
        heir: usize,
        is_live: bool,
    ) -> Result<(), Violation> {
        let (name, hyperty) = (self.member(heir).who(), self.member(heir).hyperty.clone());
        let board = &mut self.boards[number];
        let url = board.url.clone();
        board.reference.taking_over(&name, false);
        // What the former Reporter had under way may be in its copy or not.
        let former = board.owner_who.clone();
        board.reference.children_uncertain(&former);
        self.shelf.show(Some(&url));
        let answer = hyperty.resume_by(of_user(heir).resources([url.clone()])).await;
        self.shelf.show(None);
        let mut reporters = answer.iter().flat_map(|resumed| &resumed.reporters);
        let taken = reporters.find(|reporter| *reporter.url() == url).cloned();
        // A former Reporter that has not heard goes on with what it has.
        let was_own = self.boards[number].formers.iter().any(|former| former.who == heir);
        let latest = self.boards[number].reference.latest();
        let taken = taken.filter(|reporter| !was_own || reporter.position().epoch > latest.epoch);
        let asked = self.world.node().filter(|_| self.world.link_of(NAMES[heir]) == Link::Up);
        let registered = asked.and_then(|node| node.registration(url.as_url()));
        if is_told() {
            eprintln!("  {name} takes {url}: {answer:?}, registered: {registered:?}");
        }
        let board = &mut self.boards[number];
        match taken {
            Some(_) if is_live => {
                return Err(broken(
                    Invariant::I5,
                    &name,
                    format!("takes {url} over, which is live elsewhere"),
                ));
            }
            Some(reporter) => {
                board.taken_by = Some(heir);
                board.hand_to(heir, &name, reporter)?;
                self.shelf.forget(&url);
            }
            None if is_refusal(&answer)
                || registered.is_some_and(|it| it.epoch <= board.reference.latest().epoch) =>
            {
                board.reference.take_over_failed(&name);
                self.shelf.forget(&url);
            }
            // The registry may have said yes, and what came after failed.
            None => board.taken_by = Some(heir),
        }
        Ok(())
    }

    /// Somebody else's objects are nobody's to take (INV-RES-4).
    async fn take_from_another(&mut self, number: usize) -> Result<(), Violation> {
        let thief = PARTIES - 1;
        let (name, url) = (self.member(thief).who(), self.boards[number].url.clone());
        let owner = self.boards[number].owner;
        let disk = self.member(owner).tables.inner().snapshot();
        self.shelf.put(&disk, &url);
        self.shelf.show(Some(&url));
        let hyperty = self.member(thief).hyperty.clone();
        let own = hyperty.resume_by(of_user(thief).resources([url.clone()])).await;
        let forged = hyperty.resume_by(of_user(owner).resources([url.clone()])).await;
        self.shelf.show(None);
        self.shelf.forget(&url);
        if let Ok(forged) = forged {
            let detail = format!("resumes as another user: {forged:?}");
            return Err(broken(Invariant::I5, &name, detail));
        }
        let Ok(resumed) = own else { return Ok(()) };
        let is_missed = resumed.missing.contains(&url) && !self.shelf.lists_observed(&url);
        if !resumed.reporters.is_empty() || is_missed {
            return Err(broken(Invariant::I5, &name, format!("takes {url}, which is another user's")));
        }
        Ok(())
    }

    /// Resumes what is the user's.
    pub(crate) async fn resume_by(&mut self, who: usize, others: bool) -> Result<(), Violation> {
        self.finish_pending().await?;
        let name = self.member(who).who();
        let criteria = match others {
            true => of_user(who),
            false => Criteria::default().schema(self.member(who).schema.clone()),
        };
        let mut listed = Vec::new();
        if let Some(other) = sibling(who) {
            let disk = self.member(other).tables.inner().snapshot();
            listed = self.shelf.list_observed(&disk);
            // The Reporter's side lets in whose user observes already (5.10.2 step 6).
            let also = self.member(other).who();
            for board in self.boards.iter_mut().filter(|board| board.reference.observes(&also)) {
                board.reference.maybe_granted(&name);
            }
        }
        let hyperty = self.member(who).hyperty.clone();
        match hyperty.resume_by(criteria).await {
            Ok(resumed) => self.resumed_by(who, &name, resumed, &listed),
            Err(ResumeError::Refused { .. } | ResumeError::Timeout) => {
                for board in &mut self.boards {
                    board.seats[who].unsure |= board.seats[who].watch.is_none();
                }
                Ok(())
            }
            Err(error) => Err(broken(Invariant::I7, &name, format!("resuming fails with {error}"))),
        }
    }

    /// `listed` is what the user's other device observed.
    fn resumed_by(
        &mut self,
        who: usize,
        name: &str,
        resumed: Resumed,
        listed: &[ObjectUrl],
    ) -> Result<(), Violation> {
        for reporter in &resumed.reporters {
            let board = self.boards.iter().find(|board| board.url == *reporter.url());
            let reports = |board: &crate::board::Board| {
                board.owner == who || board.is_between() || board.formers.iter().any(|it| it.who == who)
            };
            if !board.is_some_and(reports) {
                let detail = format!("resumes {} as its Reporter", reporter.url());
                return Err(broken(Invariant::I5, name, detail));
            }
        }
        for url in &resumed.missing {
            let of_user = |board: &crate::board::Board| user_of(NAMES[board.owner]) == user_of(NAMES[who]);
            let is_own = self.boards.iter().any(|board| board.url == *url && of_user(board));
            if !is_own && !listed.contains(url) {
                return Err(broken(Invariant::I4, name, format!("is told of {url}, another user's")));
            }
        }
        resumed.observers.into_iter().try_for_each(|observer| self.observes_again(who, name, observer))
    }

    fn observes_again(&mut self, who: usize, name: &str, mut observer: Observer) -> Result<(), Violation> {
        let Some(board) = self.boards.iter_mut().find(|board| board.url == *observer.url()) else {
            let detail = format!("resumes {}, which was never made", observer.url());
            return Err(broken(Invariant::I8, name, detail));
        };
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        if board.seats[who].watch.is_some() {
            return board.reference.holds(name, at, &snapshot.data);
        }
        if board.reference.is_deleted() {
            board.seats[who].unsure = true;
            return Ok(());
        }
        board.reference.joined(name, at, &snapshot.data)?;
        board.reference.granted(name);
        board.seat(who, name, observer);
        Ok(())
    }

    /// Objects that nobody reports, as a takeover was cut off in the middle, are taken over again.
    pub(crate) async fn inherit_again(&mut self) -> Result<(), Violation> {
        for number in 0..self.boards.len() {
            let board = &self.boards[number];
            if board.reporter.is_none()
                && !board.reference.is_deleting()
                && let Some(heir) = board.taken_by
            {
                self.inherit(number, heir, false).await?;
            }
        }
        Ok(())
    }
}

impl System {
    /// Whether a party is connected, and nothing stands between it and the node.
    fn is_connected(&self, who: usize) -> bool {
        let member = self.member(who);
        let up = self.world.node().is_some() && self.world.link_of(member.name) == Link::Up;
        up && member.runtime.connected().now_or_never().is_some()
    }
}

fn of_user(who: usize) -> Criteria {
    Criteria::default().identity(Identity::of_user(&user_of(NAMES[who])))
}

/// Whether nothing was begun.
fn is_refusal(answer: &Result<Resumed, ResumeError>) -> bool {
    let refused =
        |code: StatusCode| matches!(code, StatusCode::CONFLICT | StatusCode::FORBIDDEN | StatusCode::GONE);
    matches!(answer, Err(ResumeError::Refused { code, .. }) if refused(*code))
}
