//! Subscriptions, reads and their decisions; ends of subscriptions.

use std::time::Duration;

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_model::{Identity, Position, Snapshot};
use hyperty_syncher::{
    DelegateError, Observer, ObserverState, ReadError, Reporter, ReporterEvent, RequestError, SubscribeError,
    TakeOverError,
};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::board::{Board, Watch};
use crate::command::{Admission, Verdict};
use crate::hands::Given;
use crate::member::user_of;
use crate::system::{NAMES, System, broken};

/// Whatever is asked for is answered within this, if only by an own deadline.
const ANSWER: Duration = Duration::from_secs(120);

/// A request under way.
pub(crate) struct Pending {
    pub(crate) who: usize,
    pub(crate) board: usize,
    /// Its deletion had not been acknowledged when it was asked.
    pub(crate) was_there: bool,
    pub(crate) request: Request,
}

impl Pending {
    /// Whether it is an offer of this object that may come to something.
    fn gives(&self, board: usize) -> bool {
        self.board == board && matches!(self.request, Request::Give { can_be: true, .. })
    }
}

pub(crate) enum Request {
    Subscribe {
        /// It may have reported the object when it asked.
        was_owner: bool,
        task: JoinHandle<Result<Observer, SubscribeError>>,
    },
    Read(JoinHandle<Result<Snapshot, ReadError>>),
    /// An action that was asked for, by its number.
    Action(u64, JoinHandle<Result<Value, RequestError>>),
    /// The Reporter gives its object away; whether that can come to something.
    Give {
        to: String,
        can_be: bool,
        task: JoinHandle<Result<Observer, DelegateError>>,
    },
    /// Who was offered an object takes it.
    Take(JoinHandle<Result<Reporter, TakeOverError>>),
}

impl System {
    pub(crate) async fn subscribe(
        &mut self,
        who: usize,
        number: usize,
        verdict: Verdict,
        wait: bool,
    ) -> Result<(), Violation> {
        if self.is_subscribing(who, number) {
            return Ok(());
        }
        // It may not have heard that what it offered is another's.
        let gives = self.boards[number].seats[who].unsure || self.is_given_by(who, number);
        let board = &mut self.boards[number];
        board.verdict = verdict;
        let was_there = !board.reference.is_deleted();
        let subscribe =
            self.members[who].as_ref().map(|member| member.hyperty.subscribe(&board.url).store(true));
        let subscribe = subscribe.expect("there is a runtime between steps");
        let was_owner = board.may_report(who) || gives;
        let request = Request::Subscribe { was_owner, task: tokio::spawn(subscribe.into_future()) };
        self.pending.push(Pending { who, board: number, was_there, request });
        if wait { self.finish_pending().await } else { Ok(()) }
    }

    /// Whether a subscription of this party has no answer yet.
    pub(crate) fn is_subscribing(&self, who: usize, number: usize) -> bool {
        let pending = |pending: &Pending| {
            pending.who == who
                && pending.board == number
                && matches!(pending.request, Request::Subscribe { .. })
        };
        self.pending.iter().any(pending)
    }

    pub(crate) async fn subscribe_nowhere(&mut self, who: usize) -> Result<(), Violation> {
        let member = self.member(who);
        let nowhere = "comm://example.com/never-made".parse().expect("the URL of an object");
        match member.hyperty.subscribe(&nowhere).store(true).await {
            Ok(_) => Err(broken(Invariant::I3, &member.who(), "observes what was never made".to_owned())),
            Err(_) => Ok(()),
        }
    }

    pub(crate) async fn read(
        &mut self,
        who: usize,
        number: usize,
        verdict: Verdict,
    ) -> Result<(), Violation> {
        let board = &mut self.boards[number];
        board.verdict = verdict;
        let was_there = !board.reference.is_deleted();
        let (hyperty, url) = (self.member(who).hyperty.clone(), self.boards[number].url.clone());
        let request = Request::Read(tokio::spawn(async move { hyperty.read(&url).await }));
        self.pending.push(Pending { who, board: number, was_there, request });
        Ok(())
    }

    pub(crate) async fn admit(&mut self, number: usize, admission: Admission) -> Result<(), Violation> {
        // Who asked before is decided by what held before.
        self.finish_pending().await?;
        for who in admission.whom() {
            let name = self.member(who).who();
            // The rule of an application lets nobody in who was removed.
            if !self.boards[number].seats[who].banned {
                self.boards[number].reference.granted(&name);
            }
        }
        self.boards[number].admission = admission;
        self.boards[number].admit();
        Ok(())
    }

    pub(crate) async fn unsubscribe(&mut self, who: usize, number: usize) -> Result<(), Violation> {
        self.finish_pending().await?;
        let (name, keeps) = (self.member(who).who(), self.member(who).keeps());
        let board = &mut self.boards[number];
        let Some(watch) = board.seats[who].watch.take() else { return Ok(()) };
        board.reference.children_uncertain(&name);
        let Watch { mut observer, mut follower } = watch;
        // Without a connection the Reporter's side is not told; here it has ended all the same.
        let ended = observer.unsubscribe().await;
        // Where it had ended with its object or by a removal, unread, there was nothing to end: as for whoever read of
        // that, a disk that hangs or fails does not keep it.
        let had_ended = board.reference.is_deleting() || !board.reference.serves(&name);
        board.seats[who].unsure = ended.is_err() || had_ended && !keeps;
        board.reference.unsubscribed(&name);
        while let Some(event) = observer.next_event().now_or_never().flatten() {
            follower.take(event, &mut board.reference)?;
        }
        match observer.next_event().now_or_never() {
            Some(None) => Ok(()),
            other => Err(broken(Invariant::I4, &name, format!("{other:?} after it has unsubscribed"))),
        }
    }

    /// Waits for what is under way; applications decide meanwhile.
    pub(crate) async fn finish_pending(&mut self) -> Result<(), Violation> {
        let mut pause = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        while !self.pending.is_empty() {
            if waited > ANSWER {
                let Pending { who, board, .. } = &self.pending[0];
                let detail = format!("a request about board {board} has no answer");
                return Err(broken(Invariant::I7, NAMES[*who], detail));
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(1));
            self.read_invitations();
            self.read_offers();
            self.decide()?;
            self.take_answers()?;
        }
        Ok(())
    }

    /// What has become of requests.
    pub(crate) fn take_answers(&mut self) -> Result<(), Violation> {
        let mut waiting: Vec<Pending> = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let Pending { who, board, was_there, mut request } = pending;
            let done = match &mut request {
                Request::Subscribe { was_owner, task } => {
                    task.now_or_never().map(|joined| match joined.expect("subscribing does not panic") {
                        Err(SubscribeError::OwnObject(_)) if *was_owner => Ok(()),
                        answer => self.subscribed(who, board, was_there, answer),
                    })
                }
                Request::Read(task) => task.now_or_never().map(|joined| {
                    let answer = joined.expect("reading does not panic");
                    self.was_read(who, board, was_there, answer)
                }),
                Request::Action(number, task) => task.now_or_never().map(|joined| {
                    let answer = joined.expect("asking for an action does not panic");
                    self.was_done(who, board, *number, answer)
                }),
                Request::Give { to, can_be, task } => task.now_or_never().map(|joined| {
                    let answer = joined.expect("giving does not panic");
                    let is_first = !waiting.iter().any(|before| before.gives(board));
                    self.was_given(who, board, Given { to, can_be: *can_be, is_first }, answer)
                }),
                Request::Take(task) => task.now_or_never().map(|joined| {
                    let answer = joined.expect("taking does not panic");
                    self.was_taken(who, board, answer)
                }),
            };
            match done {
                Some(result) => result?,
                None => waiting.push(Pending { who, board, was_there, request }),
            }
        }
        self.pending.splice(0..0, waiting);
        Ok(())
    }

    fn subscribed(
        &mut self,
        who: usize,
        number: usize,
        was_there: bool,
        answer: Result<Observer, SubscribeError>,
    ) -> Result<(), Violation> {
        let name = self.member(who).who();
        let board = &mut self.boards[number];
        let mut observer = match answer {
            Ok(observer) => observer,
            Err(SubscribeError::OwnObject(_)) if board.may_report(who) => return Ok(()),
            Err(error @ (SubscribeError::Refused { .. } | SubscribeError::Timeout)) => {
                board.seats[who].refusal = Some(error);
                board.reference.unanswered(&name);
                board.seats[who].unsure |= board.seats[who].watch.is_none();
                if board.reference.may(&name) {
                    // Its Reporter may have let it in, and reads of that later.
                    board.reference.granted(&name);
                }
                return Ok(());
            }
            Err(error) => {
                return Err(broken(Invariant::I7, &name, format!("subscribing fails with {error}")));
            }
        };
        if observer.state() == ObserverState::Closed {
            // It became its Reporter meanwhile, or it ended otherwise; there is nothing to follow.
            board.seats[who].unsure |= board.seats[who].watch.is_none() && !board.may_report(who);
            return Ok(());
        }
        if who == board.owner && board.reporter.is_some() {
            return Err(broken(Invariant::I4, &name, "observes its own object".to_owned()));
        }
        if was_there && board.reference.is_deleted() {
            board.seats[who].unsure = true;
            return Ok(());
        }
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        // Of an application that reads no events an earlier observation may have ended unread: this is another one.
        let former = board.seats[who].watch.take_if(|watch| watch.observer.state() == ObserverState::Closed);
        if let Some(Watch { mut observer, mut follower }) = former {
            while let Some(event) = observer.next_event().now_or_never().flatten() {
                follower.take(event, &mut board.reference)?;
            }
            board.reference.children_uncertain(&name);
        }
        if board.seats[who].watch.is_some() {
            return board.reference.holds(&name, at, &snapshot.data);
        }
        board.reference.joined(&name, at, &snapshot.data)?;
        board.reference.granted(&name);
        board.seats[who].by_invitation = false;
        board.seat(who, &name, observer);
        Ok(())
    }

    fn was_read(
        &mut self,
        who: usize,
        number: usize,
        was_there: bool,
        answer: Result<Snapshot, ReadError>,
    ) -> Result<(), Violation> {
        let name = self.member(who).who();
        let board = &mut self.boards[number];
        let Ok(Snapshot { epoch, version, data, .. }) = answer else { return Ok(()) };
        let at = Position { epoch, version };
        let is_former = board.formers.iter().any(|former| former.who == who);
        if is_former || who == board.owner && board.is_being_taken() {
            return Ok(()); // it reads what it has itself
        }
        if who == board.owner {
            board.reference.granted(&name);
        }
        if was_there && board.reference.is_deleted() {
            return Ok(());
        }
        board.reference.read(&name, at, &data)
    }

    /// The Reporters' applications decide what they are asked.
    pub(crate) fn decide(&mut self) -> Result<(), Violation> {
        for board in &mut self.boards {
            let asleep = self.members[board.owner].as_ref().is_none_or(|member| member.dozes);
            if !asleep {
                board.decide()?;
            }
        }
        Ok(())
    }
}

impl Board {
    pub(crate) fn decide(&mut self) -> Result<(), Violation> {
        let Some(reporter) = &self.reporter else { return Ok(()) };
        let mut events = reporter.events();
        while let Some(Some(event)) = events.next().now_or_never() {
            match event {
                ReporterEvent::Subscription(request) => match self.verdict_on(request.identity()) {
                    Verdict::Accept => {
                        self.reference.granted(request.hyperty().as_str());
                        request.accept();
                    }
                    Verdict::Refuse => request.reject("not now"),
                    Verdict::Silence => self.undecided.push(request),
                },
                ReporterEvent::Read(request) => match self.verdict_on(request.identity()) {
                    Verdict::Accept => {
                        self.reference.granted(request.reader().as_str());
                        request.accept();
                    }
                    Verdict::Refuse => request.reject(),
                    Verdict::Silence => self.undecided_reads.push(request),
                },
                ReporterEvent::Joined { hyperty, .. } if !self.reference.may_be_let_in(hyperty.as_str()) => {
                    let detail = format!("{hyperty} is said to observe, nobody let it in");
                    return Err(broken(Invariant::I4, &self.owner_who, detail));
                }
                ReporterEvent::Deposed { .. } => {
                    let owner = self.owner_who.clone();
                    self.reference.deposed(&owner)?;
                    self.reporter = None;
                    return Ok(());
                }
                _ => {}
            }
        }
        self.perform()
    }

    fn verdict_on(&self, identity: Option<&Identity>) -> Verdict {
        match self.admission {
            Admission::All => Verdict::Accept,
            Admission::Nobody => Verdict::Refuse,
            Admission::Ask => self.verdict,
            Admission::Only(who) => {
                let user = user_of(NAMES[who]);
                let is_it = identity.is_some_and(|identity| identity.user() == Some(user.as_str()));
                if is_it { Verdict::Accept } else { Verdict::Refuse }
            }
        }
    }
}
