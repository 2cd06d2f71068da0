//! One hand-over of an object between two runtimes (protocol 5.11), with a third that observes: something is done to it at
//! one of its messages, and in the end there is one owner, nothing that was acknowledged is lost, observers have followed
//! it, and no version was made twice (INV-DLG-1 to INV-DLG-5, INV-DLG-7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::UpdateBody;
use hyperty_model::{Message, MessageType};
use hyperty_storage::Role;
use hyperty_syncher::{Commit, DelegateError, Observer, ObserverEvent, Reporter};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::spy::{REGISTRY, gate, registered, stored};
use crate::support::{Party, topic};

/// Longer than an offer stands and everything is tried again; time is paused, so it costs nothing.
pub(crate) const AFTERWARDS: Duration = Duration::from_secs(400);

/// Which way a hand-over goes if nothing is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// The object is the other's.
    Given,
    /// The other cannot host it, and gives it back (5.11.5). What is done is done from when that shows.
    Returned,
}

/// Somebody of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Giving,
    Taking,
}

/// Counts down the messages of a runtime, from when the part of the hand-over has begun that is looked at.
#[derive(Clone)]
pub(crate) struct Countdown {
    begun: Arc<AtomicBool>,
    left: Arc<AtomicU64>,
}

impl Countdown {
    /// One that begins at once.
    pub(crate) fn of(messages: u64) -> Countdown {
        Countdown { begun: Arc::new(AtomicBool::new(true)), left: Arc::new(AtomicU64::new(messages)) }
    }

    /// Whether it is at its end: this one is the message after so many.
    pub(crate) fn is_over(&self) -> bool {
        if !self.begun.load(Ordering::SeqCst) {
            return false;
        }
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

/// What arrives from others of an object: the content of each version of each epoch, and in whose name each epoch is.
#[derive(Default)]
struct Contents {
    known: Mutex<BTreeMap<(u64, u64), Value>>,
    owners: Mutex<BTreeMap<u64, String>>,
    conflicts: Mutex<Vec<(Value, Value)>>,
}

impl Interceptor for Contents {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        if direction == Direction::Incoming
            && message.kind() == MessageType::Update
            && let Ok(body) = message.decode::<UpdateBody>()
            && let (Some(at), Some(source)) = (body.position(), &body.source)
        {
            let content: Value = serde_json::from_slice(message.body().raw()).expect("a body is JSON");
            let mut known = self.known.lock();
            let before = known.entry((at.epoch, at.version)).or_insert_with(|| content.clone());
            if *before != content {
                self.conflicts.lock().push((before.clone(), content));
            }
            let mut owners = self.owners.lock();
            let owner = owners.entry(at.epoch).or_insert_with(|| source.to_string());
            if owner != source.as_str() {
                self.conflicts.lock().push((json!(owner), json!(source)));
            }
        }
        Verdict::Pass(message)
    }
}

pub(crate) struct HandOver {
    /// What is tried, for whoever reads a failure.
    pub(crate) what: String,
    pub(crate) world: World,
    pub(crate) alice: Party,
    pub(crate) bob: Party,
    carol: Party,
    board: Reporter,
    copy: Observer,
    course: Course,
    begun: Arc<AtomicBool>,
    contents: Arc<Contents>,
    taken: Arc<Mutex<Option<Reporter>>>,
    crashed: Vec<Side>,
    /// The task of who takes, the one of who gives, and what is written meanwhile.
    under_way: Option<UnderWay>,
}

struct UnderWay {
    taking: JoinHandle<()>,
    giving: JoinHandle<Result<Observer, DelegateError>>,
    written: Commit,
}

impl HandOver {
    /// Everybody is there, and nothing is offered yet.
    pub(crate) async fn prepared(course: Course, seed: u64, what: String) -> HandOver {
        let world = World::new(seed);
        let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
        let carol = Party::new(&world, "carol").await;
        let board = alice.create(topic("before")).await;
        let copy = carol.observe(&board).await;
        board.set("n", 3).await.unwrap();
        let contents = Arc::new(Contents::default());
        for party in [&alice, &bob, &carol] {
            party.runtime.bus().add_interceptor(Arc::clone(&contents) as _);
        }
        let begun = Arc::new(AtomicBool::new(course == Course::Given));
        let (taken, crashed, under_way) = (Arc::default(), Vec::new(), None);
        let hand_over = HandOver {
            what,
            world,
            alice,
            bob,
            carol,
            board,
            copy,
            course,
            begun,
            contents,
            taken,
            crashed,
            under_way,
        };
        hand_over.refuse();
        hand_over
    }

    /// Where it is to come back, the registry refuses the one who takes it.
    fn refuse(&self) {
        if self.course == Course::Returned {
            let begun = Arc::clone(&self.begun);
            gate(self.bob.runtime.bus(), move |direction, message| {
                let registers = direction == Direction::Outgoing
                    && message.to().as_str() == REGISTRY
                    && message.kind() != MessageType::Read;
                begun.fetch_or(registers, Ordering::SeqCst);
                !registers
            });
        }
    }

    pub(crate) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Giving => &self.alice,
            Side::Taking => &self.bob,
        }
    }

    pub(crate) fn countdown(&self, messages: u64) -> Countdown {
        Countdown { begun: Arc::clone(&self.begun), left: Arc::new(AtomicU64::new(messages)) }
    }

    /// It is offered, and whoever it is offered to takes it.
    pub(crate) fn begin(&mut self) {
        let mut offers = self.bob.hyperty.delegations();
        let (kept, to) = (Arc::clone(&self.taken), self.bob.hyperty.url().clone());
        let taking = tokio::spawn(async move {
            while let Some(offer) = offers.next().await {
                *kept.lock() = offer.accept().await.ok();
            }
        });
        let board = self.board.clone();
        let giving = tokio::spawn(async move { board.delegate(&to).await });
        // What is written meanwhile is either kept or told to be lost.
        let written = self.board.set("m", 1);
        self.under_way = Some(UnderWay { taking, giving, written });
    }

    /// A runtime stops hard and starts again.
    pub(crate) async fn crash(self, side: Side) -> HandOver {
        let HandOver { what, world, alice, bob, carol, board, copy, course, begun, contents, taken, .. } =
            self;
        let (mut crashed, under_way) = (self.crashed, self.under_way);
        crashed.push(side);
        let (alice, bob) = match side {
            Side::Giving => (alice.crash().await, bob),
            Side::Taking => {
                taken.lock().take();
                (alice, bob.crash().await)
            }
        };
        let hand_over = HandOver {
            what,
            world,
            alice,
            bob,
            carol,
            board,
            copy,
            course,
            begun,
            contents,
            taken,
            crashed,
            under_way,
        };
        hand_over.party(side).runtime.bus().add_interceptor(Arc::clone(&hand_over.contents) as _);
        if side == Side::Taking {
            hand_over.refuse();
        }
        hand_over
    }

    /// What has become of it long afterwards.
    pub(crate) async fn judged(mut self) {
        let what = std::mem::take(&mut self.what);
        let UnderWay { taking, mut giving, written } = self.under_way.take().expect("it has begun");
        let written = timeout(AFTERWARDS, written).await;
        assert!(written.is_ok() || self.crashed.contains(&Side::Giving), "INV-MSG-1: an answer, {what}");
        let is_written = written.is_ok_and(|written| written.is_ok());
        let given = timeout(AFTERWARDS, &mut giving).await.map(|given| given.expect("no panic"));
        assert!(given.is_ok() || self.crashed.contains(&Side::Giving), "INV-MSG-1: an end, {what}");
        giving.abort();
        sleep(AFTERWARDS).await;
        taking.abort();

        let (hers, his) = (open(&self.alice), open(&self.bob));
        assert_eq!(hers.len() + his.len(), 1, "{what}: {hers:?} {his:?}");
        if self.crashed.is_empty() {
            match &given {
                // Who could not say in the domain whose it is in time may get it back, in an epoch of its own (5.11.5).
                Ok(Ok(_)) => assert!(his.len() == 1 || hers[0].position().epoch > 1, "{what}: it was given"),
                Ok(Err(DelegateError::Timeout)) | Err(_) => {}
                // INV-DLG-5: nothing has changed.
                Ok(Err(error)) => assert_eq!(hers.len(), 1, "{what}: {error}"),
            }
        }
        let comes_back = self.course == Course::Returned && self.begun.load(Ordering::SeqCst);
        if comes_back && !self.crashed.contains(&Side::Taking) {
            assert_eq!(hers.iter().map(|it| it.position().epoch).collect::<Vec<_>>(), [2], "{what}");
        }
        let owner = hers.first().or(his.first()).expect("one");
        assert_eq!(owner.with_data(|data| data["n"].clone()), json!(3), "{what}");
        if is_written {
            assert_eq!(owner.with_data(|data| data["m"].clone()), json!(1), "{what}");
        }
        timeout(AFTERWARDS, owner.set("topic", "after")).await.expect("an answer").expect("it is taken");
        let mut copies = vec![self.copy.clone()];
        if !his.is_empty() {
            copies.extend(self.alice.hyperty.observers());
            assert_eq!(copies.len(), 2, "{what}: the former Reporter observes");
        }
        for _ in 0..600 {
            if copies.iter().all(|copy| copy.data() == owner.data() && copy.position() == owner.position()) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        for copy in &copies {
            assert_eq!((copy.data(), copy.position()), (owner.data(), owner.position()), "{what}");
        }
        let live = (200, Some("live".to_owned()));
        assert_eq!(registered(&self.carol, owner.url()).await, live, "{what}");
        if his.is_empty() {
            assert_eq!(stored(&self.bob, Role::Reporter).len(), 0, "{what}: nothing is left where it was");
        }
        let conflicts = std::mem::take(&mut *self.contents.conflicts.lock());
        assert!(
            conflicts.is_empty(),
            "INV-DLG-1: two owners, or contents of one version, {what}: {conflicts:?}"
        );
        streams(self.copy, &what).await;
    }
}

fn open(party: &Party) -> Vec<Reporter> {
    party.hyperty.reporters().into_iter().filter(|reporter| !reporter.is_closed()).collect()
}

/// INV-DLG-3: who observed all the while was told of every version in its order, and its stream has not ended.
async fn streams(mut copy: Observer, what: &str) {
    let (end, mut at) = (copy.version(), None);
    while at != Some(end) {
        let event = timeout(AFTERWARDS, copy.next_event()).await.expect("an event in time");
        let next = match event.expect("it goes on") {
            ObserverEvent::Change(change) => change.version,
            ObserverEvent::Metadata { version, .. } => version,
            ObserverEvent::Resync { version, .. } => {
                assert!(Some(version) >= at, "{what}: back from {at:?} to {version}");
                at = Some(version);
                continue;
            }
            end @ (ObserverEvent::Closed { .. } | ObserverEvent::Deleted) => panic!("{what}: {end:?}"),
            _ => continue,
        };
        assert!(at.is_none_or(|at| next == at + 1), "{what}: {next} after {at:?}");
        at = Some(next);
    }
}
