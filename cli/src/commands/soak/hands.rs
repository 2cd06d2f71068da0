//! Three runtimes that share an object: its owner removes one and invites it again, gives the object to another, is
//! killed and has its place taken by another hyperty of its user; and all see the same after each step.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_model::{Ids, ObjectUrl, Position, SeededIds};
use hyperty_runtime::syncher::{
    Accept, Criteria, DelegateError, Observer, ObserverState, ReadError, RemoveError, Reporter,
};
use hyperty_runtime::{Hyperty, Runtime};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::court::Phase;
use super::disk::Disk;
use super::host::some;
use super::reporter::{AGAIN, start_as};
use super::tally::Count;
use super::{DOMAIN, LOOK, Soak};

/// How many runtimes there are.
const MEMBERS: usize = 3;

/// How long a step may take while the node is restarted again and again.
const STEP_MAX: Duration = Duration::from_secs(120);

/// How long one side of a hand-over may hear later than the other.
const LATER_MAX: Duration = Duration::from_secs(45);

/// The length of a text that makes an object larger than a message.
const LARGE: usize = 400_000;

/// A rest between two steps, at most.
const REST_MAX: Duration = Duration::from_millis(400);

/// One runtime, and its copy of the object unless it owns it.
struct Member {
    name: String,
    disk: Disk,
    runtime: Runtime,
    hyperty: Hyperty,
    copy: Option<Observer>,
}

/// The three, and the object.
struct Group {
    soak: Arc<Soak>,
    ids: Arc<SeededIds>,
    name: String,
    members: Vec<Member>,
    owner: usize,
    board: Reporter,
    /// Takeovers so far: each is by a hyperty of another name.
    heirs: u32,
}

/// What was not as it must be, in words.
type Wrong = String;

/// Goes on for ever, resting in a pause.
pub(super) async fn pass_on(soak: Arc<Soak>, number: u32, ids: Arc<SeededIds>) {
    let name = format!("group-{number}");
    let outcome = async {
        let mut group = Group::begin(&soak, ids, &name).await?;
        loop {
            group.step().await?;
            if soak.court.phase() == Phase::Pause {
                soak.court.looked(name.clone(), Ok(()));
                soak.court.reached(Phase::Work).await;
            }
            sleep(some(&group.ids, REST_MAX)).await;
        }
    };
    let ended: Result<(), Wrong> = outcome.await;
    if let Err(wrong) = ended {
        soak.tally.wrong(&format!("{name}: {wrong}"));
    }
}

impl Group {
    async fn begin(soak: &Arc<Soak>, ids: Arc<SeededIds>, name: &str) -> Result<Group, Wrong> {
        let mut members = Vec::new();
        for at in 0..MEMBERS {
            let (name, disk) = (format!("{name}-{at}"), Disk::memory());
            members.push(member(soak, &name, "own", disk).await?);
        }
        let schema = members[0].runtime.schema(SCHEMA).map_err(|error| error.to_string())?;
        let board = patiently("created", || {
            let create =
                members[0].hyperty.create(schema.clone()).name(name).data(json!({"topic": "", "n": 0}));
            create.store(true).accept(Accept::All).into_future()
        })
        .await?;
        let mut group =
            Group { soak: Arc::clone(soak), ids, name: name.to_owned(), members, owner: 0, board, heirs: 0 };
        for at in 1..MEMBERS {
            group.observe(at).await?;
        }
        Ok(group)
    }

    /// One thing, and then all must see the same.
    async fn step(&mut self) -> Result<(), Wrong> {
        self.write().await?;
        let other = (self.owner + 1 + self.below(2)) % MEMBERS;
        match self.below(8) {
            0 => self.grow().await?,
            1 | 2 => self.remove_and_invite(other).await?,
            3 | 4 => self.give(other).await?,
            5 => self.succeed().await?,
            _ => {}
        }
        self.agree().await
    }

    fn below(&self, bound: u128) -> usize {
        usize::try_from(self.ids.random() % bound).unwrap_or_default()
    }

    fn url(&self) -> ObjectUrl {
        self.board.url().clone()
    }

    async fn observe(&mut self, at: usize) -> Result<(), Wrong> {
        let (url, hyperty) = (self.url(), self.members[at].hyperty.clone());
        let copy = patiently("observed", || hyperty.subscribe(&url).store(true).into_future()).await?;
        self.members[at].copy = Some(copy);
        Ok(())
    }

    /// Some changes, the last of which is committed.
    async fn write(&mut self) -> Result<(), Wrong> {
        for _ in 0..=self.below(5) {
            self.soak.tally.add(Count::Written);
            drop(self.board.update(|data| data["n"] = json!(data["n"].as_u64().unwrap_or_default() + 1)));
        }
        timeout(STEP_MAX, self.board.set("topic", format!("{}", self.below(1_000))))
            .await
            .map_err(|_| "a change has no answer".to_owned())?
            .map(drop)
            .map_err(|error| format!("a change is refused: {error}"))
    }

    /// Larger than a message for a moment.
    async fn grow(&mut self) -> Result<(), Wrong> {
        self.soak.tally.add(Count::BigValues);
        drop(self.board.set("text", "large ".repeat(LARGE / 6)));
        self.agree().await?;
        drop(self.board.remove("text"));
        Ok(())
    }

    /// Nothing later reaches one who was removed, and it may not read, until it is invited.
    async fn remove_and_invite(&mut self, at: usize) -> Result<(), Wrong> {
        let (url, hyperty) = (self.url(), self.members[at].hyperty.clone());
        let begun = Instant::now();
        while let Err(error) = self.board.remove_observer(hyperty.url()).await {
            match error {
                RemoveError::Refused { .. } | RemoveError::Timeout if begun.elapsed() < STEP_MAX => {
                    sleep(AGAIN).await;
                }
                error => return Err(format!("{} is not removed: {error}", hyperty.url())),
            }
        }
        self.soak.tally.add(Count::Removed);
        let last = self.board.position();
        self.write().await?;
        let copy = self.members[at].copy.take().ok_or("one who does not observe was removed")?;
        until("a removed observer has not heard of it", || copy.state() == ObserverState::Closed).await?;
        if copy.position() > last {
            return Err(format!("{} after it was removed at {last}", copy.position()));
        }
        loop {
            match hyperty.read(&url).await {
                Ok(_) => return Err("a removed observer may read".to_owned()),
                Err(ReadError::Refused { code, .. }) if code.0 == 401 || code.0 == 403 => break,
                Err(_) if begun.elapsed() < STEP_MAX => sleep(AGAIN).await,
                Err(error) => return Err(format!("reading has no end: {error}")),
            }
        }
        let board = self.board.clone();
        let answers = patiently("invited", || board.invite([hyperty.url().clone()]).into_future()).await?;
        self.soak.tally.add(Count::Invited);
        let mut invitations = hyperty.invitations();
        let invited = timeout(STEP_MAX, invitations.next()).await.ok().flatten();
        let invitation = invited.ok_or("an invitation has not arrived")?;
        match invitation.accept().store(true).await {
            Ok(copy) => self.members[at].copy = Some(copy),
            // It holds for the next try as well.
            Err(_) => self.observe(at).await?,
        }
        drop(answers);
        Ok(())
    }

    /// The object goes to another, and its former owner observes it.
    async fn give(&mut self, to: usize) -> Result<(), Wrong> {
        let (from, taker) = (self.owner, self.members[to].hyperty.clone());
        let (before, data) = (self.board.position(), self.board.data());
        let mut offers = taker.delegations();
        let (board, url) = (self.board.clone(), self.url());
        let giving = board.delegate(taker.url());
        let taking = async {
            loop {
                let Some(offer) = offers.next().await else { std::future::pending().await };
                match offer.accept().observers(Accept::All).await {
                    Ok(board) => return board,
                    Err(error) => tracing::debug!(%url, %error, "not taken over"),
                }
            }
        };
        tokio::pin!(giving, taking);
        let (mut given, mut taken) = (None, None);
        let mut end = Instant::now() + STEP_MAX;
        while given.is_none() || taken.is_none() {
            tokio::select! {
                biased;
                outcome = &mut giving, if given.is_none() => {
                    end = Instant::now() + LATER_MAX;
                    // Then it is surely not the other's.
                    let never = matches!(outcome, Err(DelegateError::Declined(_) | DelegateError::Expired(_) | DelegateError::Refused { .. }));
                    given = Some(outcome);
                    if never { break }
                }
                board = &mut taking, if taken.is_none() => taken = Some(board),
                () = sleep_until(end) => break,
            }
        }
        let found = || taker.reporters().into_iter().find(|board| *board.url() == url);
        let Some(board) = taken.or_else(found) else {
            return match given {
                Some(Err(error)) => {
                    tracing::debug!(%url, %error, "not given away");
                    Ok(())
                }
                other => Err(format!("given away ({other:?}), and nobody has it")),
            };
        };
        self.soak.tally.add(Count::Delegated);
        let after = Position { epoch: before.epoch + 1, version: before.version + 1 };
        if board.position() != after || board.data() != data {
            return Err(format!(
                "given at {before}, taken at {} with {}",
                board.position(),
                brief(&board.data())
            ));
        }
        (self.owner, self.board, self.members[to].copy) = (to, board, None);
        match given {
            Some(Ok(copy)) => self.members[from].copy = Some(copy),
            _ => self.observe(from).await?,
        }
        Ok(())
    }

    /// The owner's runtime is killed, and another hyperty of its user takes the object over.
    async fn succeed(&mut self) -> Result<(), Wrong> {
        let (before, data, url) = (self.board.position(), self.board.data(), self.url());
        let former = self.members.remove(self.owner);
        former.runtime.abort();
        self.soak.tally.add(Count::RuntimeCrashes);
        self.heirs += 1;
        let Member { name, disk, runtime, hyperty, copy } = former;
        drop((runtime, hyperty, copy));
        let heir = member(&self.soak, &name, &format!("heir-{}", self.heirs), disk).await?;
        let hyperty = heir.hyperty.clone();
        self.members.insert(self.owner, heir);
        let board = patiently("taken over", || {
            let (hyperty, url) = (hyperty.clone(), url.clone());
            async move {
                let resumed = hyperty.resume_by(Criteria::default().resources([url.clone()])).await;
                let resumed = resumed.map_err(|error| error.to_string())?;
                let found = resumed.reporters.into_iter().find(|board| *board.url() == url);
                found.ok_or_else(|| format!("{:?} missing", resumed.missing))
            }
        })
        .await?;
        board.accept(Accept::All);
        self.soak.tally.add(Count::TakenOver);
        if board.position().epoch <= before.epoch || board.data() != data {
            let (at, found) = (board.position(), brief(&board.data()));
            return Err(format!("was {} at {before}, is {found} at {at}", brief(&data)));
        }
        self.board = board;
        Ok(())
    }

    /// All copies come to what the owner has.
    async fn agree(&self) -> Result<(), Wrong> {
        for (at, member) in self.members.iter().enumerate().filter(|(at, _)| *at != self.owner) {
            let copy = member.copy.as_ref().ok_or_else(|| format!("{at} has no copy"))?;
            let is_equal = || copy.position() == self.board.position() && copy.data() == self.board.data();
            if until("a copy is not the owner's", is_equal).await.is_err() {
                let (at, owner, state) = (copy.position(), self.board.position(), copy.state());
                return Err(format!("{} is at {at} ({state:?}), {} at {owner}", member.name, self.name));
            }
            self.soak.tally.add(Count::Agreed);
        }
        Ok(())
    }
}

async fn member(soak: &Soak, name: &str, hyperty: &str, mut disk: Disk) -> Result<Member, Wrong> {
    let tables = disk.open().map_err(|error| error.to_string())?;
    let user = format!("user://{DOMAIN}/{name}");
    let (runtime, hyperty) = start_as(soak, name, tables, hyperty, Some(&user)).await?;
    Ok(Member { name: name.to_owned(), disk, runtime, hyperty, copy: None })
}

/// Tries again what fails for want of the node.
async fn patiently<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, Wrong> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if begun.elapsed() > STEP_MAX => return Err(format!("not {what}: {error}")),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) -> Result<(), Wrong> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > STEP_MAX {
            return Err(what.to_owned());
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The beginning of some data.
fn brief(data: &Value) -> String {
    data.to_string().chars().take(80).collect()
}
