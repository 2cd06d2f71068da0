//! I7: one final answer for each request, in its time, whatever fails meanwhile. Every kind of request meets every
//! failure, on either side, at several moments; each of them has a world of its own.
//!
//! A quick run tries two moments for each kind of request and failure, the other levels try all.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::level::{self, Level};
use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::reference::{Answers, Violation};
use hyperty_conformance::world::{Link, World};
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::{HypertyUrl, Message, MessageType};
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::{DiskFaults, SimulatedDisk};
use hyperty_syncher::{Accept, Child, Observer, Reporter, ReporterEvent};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{sleep, timeout};

/// A disk answers after so long.
const LATENCY: Duration = Duration::from_millis(2);
/// Longer than anything that was sent may still be under way once all is well again.
const AFTERMATH: Duration = Duration::from_secs(90);
/// What a wait for an answer may take beside its timer.
const SLACK: Duration = Duration::from_secs(1);

/// Who of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever made the request.
    Asker,
    /// Who is to answer it in the end.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Nothing,
    /// What is sent is lost, and nobody is told.
    Silent(Who),
    /// The connection ends, and there is no other.
    Cut(Who),
    NodeStops,
    DiskFreezes(Who),
    DiskFails(Who),
    Aborted(Who),
    /// The application drops the question.
    QuestionDropped,
    /// It keeps the question and never decides.
    QuestionKept,
}

const FAILURES: [Failure; 14] = [
    Failure::Nothing,
    Failure::Silent(Who::Asker),
    Failure::Silent(Who::Other),
    Failure::Cut(Who::Asker),
    Failure::Cut(Who::Other),
    Failure::NodeStops,
    Failure::DiskFreezes(Who::Asker),
    Failure::DiskFreezes(Who::Other),
    Failure::DiskFails(Who::Asker),
    Failure::DiskFails(Who::Other),
    Failure::Aborted(Who::Asker),
    Failure::Aborted(Who::Other),
    Failure::QuestionDropped,
    Failure::QuestionKept,
];

/// When it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before the request is made.
    Before,
    /// Once the tasks had so many turns since.
    Turns(u32),
    /// So many milliseconds later: disks are slow, connections are not.
    Millis(u64),
}

const MOMENTS: [Moment; 8] = [
    Moment::Before,
    Moment::Turns(1),
    Moment::Turns(4),
    Moment::Turns(8),
    Moment::Turns(16),
    Moment::Millis(1),
    Moment::Millis(3),
    Moment::Millis(5),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Deploy,
    Create,
    CreateUnstored,
    Change,
    Delete,
    AddOwnChild,
    Subscribe,
    Read,
    Unsubscribe,
    AddChild,
    ChangeChild,
    DeleteChild,
}

impl Ask {
    /// Whether bob asks and alice answers; else it is the other way round.
    fn is_of_observer(self) -> bool {
        use Ask::{AddChild, ChangeChild, DeleteChild, Read, Subscribe, Unsubscribe};
        matches!(self, Subscribe | Read | Unsubscribe | AddChild | ChangeChild | DeleteChild)
    }

    /// Whether it has no timer, so that it is answered once the own disk goes on: nobody knows before whether it is
    /// kept.
    fn waits_for_the_disk(self) -> bool {
        matches!(self, Ask::Deploy | Ask::Change)
    }

    /// Whether the hyperty that there is sends it in its own name.
    fn is_counted(self) -> bool {
        !matches!(self, Ask::Deploy | Ask::Change)
    }

    /// How long whoever asks may have to wait (protocol 0.2).
    fn deadline(self) -> Duration {
        let seconds = match self {
            // An address, then what is stored for it.
            Ask::Deploy => 15,
            // A provisional answer starts the wait anew.
            Ask::Subscribe | Ask::Create | Ask::CreateUnstored => 30,
            Ask::Read | Ask::Unsubscribe | Ask::Change => 15,
            Ask::Delete => 30,
            Ask::AddOwnChild | Ask::AddChild | Ask::ChangeChild | Ask::DeleteChild => 3,
        };
        Duration::from_secs(seconds) + SLACK
    }
}

/// A runtime with a hyperty, over a disk.
struct Side {
    name: &'static str,
    disk: SimulatedDisk,
    runtime: Runtime,
    app: Hyperty,
}

impl Side {
    async fn new(world: &World, name: &'static str, seed: u64) -> Side {
        let disk = SimulatedDisk::new(seed);
        let tables = Arc::new(disk.open().unwrap());
        tokio::spawn(tables.run(LATENCY));
        let runtime = world.runtime(name, &tables).await;
        runtime.schema(SCHEMA).unwrap();
        let app = runtime.deploy("app").user(&format!("user://example.com/{name}")).await.unwrap();
        Side { name, disk, runtime, app }
    }
}

/// Counts the final answers that reach one hyperty. What is sent again may be answered again.
struct Wire {
    hyperty: HypertyUrl,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    answers: Answers,
    /// By the id of the request.
    times: BTreeMap<String, Times>,
    broken: Option<Violation>,
}

/// How often a request was seen on its way out, how often it arrived, how often it was answered.
#[derive(Default)]
struct Times {
    sent: u32,
    arrived: u32,
    answered: u32,
}

/// A bus that a [`Wire`] looks at.
struct Tap {
    wire: Arc<Wire>,
    /// The one of the hyperty.
    is_home: bool,
}

impl Wire {
    fn of(side: &Side, other: &Side) -> Arc<Wire> {
        let wire = Arc::new(Wire { hyperty: side.app.url().clone(), counted: Mutex::default() });
        for (side, is_home) in [(side, true), (other, false)] {
            side.runtime.bus().add_interceptor(Arc::new(Tap { wire: Arc::clone(&wire), is_home }));
        }
        wire
    }

    fn note(&self, message: &Message, is_home: bool) {
        let Counted { answers, times, broken } = &mut *self.counted.lock();
        let id = message.id().to_string();
        let times = times.entry(id.clone()).or_default();
        let result = if message.kind() == MessageType::Response {
            let code = message.code();
            let request = format!("{id}, time {}", times.answered + 1);
            if code.is_provisional() {
                answers.provisional(&request)
            } else {
                times.answered += 1;
                answers.answered(&request, &code.to_string())
            }
        } else {
            let before = times.sent.max(times.arrived);
            *(if is_home { &mut times.sent } else { &mut times.arrived }) += 1;
            let now = times.sent.max(times.arrived);
            if now > before { answers.asked(&format!("{id}, time {now}")) } else { Ok(()) }
        };
        if let Err(violation) = result {
            broken.get_or_insert(violation);
        }
    }
}

impl Interceptor for Tap {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let me = self.wire.hyperty.as_url();
        let is_counted = match message.kind() {
            MessageType::Response => self.is_home && message.to() == me,
            kind => {
                let is_first = self.is_home == (direction == Direction::Outgoing);
                kind.is_request() && is_first && message.from() == me
            }
        };
        if is_counted {
            self.wire.note(&message, self.is_home);
        }
        Verdict::Pass(message)
    }
}

/// Alice's objects, and what bob has of them.
struct Scene {
    world: World,
    alice: Side,
    bob: Side,
    /// Bob observes it and has a child in it.
    board: Reporter,
    copy: Observer,
    child: Child,
    /// Who wants this one is decided by alice's application.
    asked: Reporter,
}

type Asked = Pin<Box<dyn Future<Output = String> + Send>>;

fn said<T: Send + 'static, E: std::fmt::Display + 'static>(
    future: impl IntoFuture<Output = Result<T, E>, IntoFuture: Send + 'static>,
) -> Asked {
    let future = future.into_future();
    Box::pin(async move {
        match future.await {
            Ok(_) => "yes".to_owned(),
            Err(error) => error.to_string(),
        }
    })
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let world = World::new(seed);
        let alice = Side::new(&world, "alice", seed).await;
        let bob = Side::new(&world, "bob", seed + 1).await;
        let create = |name: &str, accept| {
            let schema = alice.runtime.schema(SCHEMA).unwrap();
            alice.app.create(schema).name(name).data(json!({"topic": "a"})).store(true).accept(accept)
        };
        let board = create("board", Accept::All).await.unwrap();
        let asked = create("asked", Accept::Ask).await.unwrap();
        let copy = bob.app.subscribe(board.url()).store(true).await.unwrap();
        let child = copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
        // Whatever follows from that is done.
        sleep(Duration::from_secs(5)).await;
        Scene { world, alice, bob, board, copy, child, asked }
    }

    fn ask(&self, ask: Ask) -> Asked {
        let Scene { alice, bob, board, copy, child, asked, .. } = self;
        let create = || {
            let schema = alice.runtime.schema(SCHEMA).unwrap();
            alice.app.create(schema).name("new").data(json!({"topic": "b"})).accept(Accept::All)
        };
        let note = json!({"n": 2});
        match ask {
            Ask::Deploy => said(alice.runtime.deploy("another")),
            Ask::Create => said(create().store(true)),
            Ask::CreateUnstored => said(create().store(false)),
            Ask::Change => said(board.set("topic", "b")),
            Ask::Delete => {
                let board = board.clone();
                said(async move { board.delete().await })
            }
            Ask::AddOwnChild => said(board.children("notes").unwrap().add(note)),
            Ask::Subscribe => said(bob.app.subscribe(asked.url()).store(true)),
            Ask::Read => {
                let (app, url) = (bob.app.clone(), asked.url().clone());
                said(async move { app.read(&url).await })
            }
            Ask::Unsubscribe => {
                let copy = copy.clone();
                said(async move { copy.unsubscribe().await })
            }
            Ask::AddChild => said(copy.children("notes").unwrap().add(note)),
            Ask::ChangeChild => said(child.set("n", 3)),
            Ask::DeleteChild => said(child.delete()),
        }
    }

    fn side(&self, ask: Ask, who: Who) -> &Side {
        if ask.is_of_observer() == (who == Who::Asker) { &self.bob } else { &self.alice }
    }

    fn fail(&self, ask: Ask, failure: Failure) {
        let side = |who| self.side(ask, who);
        let fault = |who, of: fn(&SimulatedDisk) -> DiskFaults| {
            let disk = &side(who).disk;
            disk.set_faults(of(disk));
        };
        match failure {
            Failure::Nothing | Failure::QuestionDropped | Failure::QuestionKept => {}
            Failure::Silent(who) => self.world.set_link(side(who).name, Link::Silent),
            Failure::Cut(who) => self.world.cut(side(who).name),
            Failure::NodeStops => self.world.stop_node(),
            Failure::DiskFreezes(who) => fault(who, |disk| DiskFaults {
                freeze_at_sync: Some(disk.syncs() + 1),
                ..DiskFaults::default()
            }),
            Failure::DiskFails(who) => fault(who, |disk| DiskFaults {
                fail_at_operation: Some(disk.operations() + 1),
                ..DiskFaults::default()
            }),
            Failure::Aborted(who) => side(who).runtime.abort(),
        }
    }

    /// All that can be mended is.
    fn mend(&self, failure: Failure) {
        if failure == Failure::NodeStops {
            self.world.start_node();
        }
        for side in [&self.alice, &self.bob] {
            self.world.heal(side.name);
            side.disk.set_faults(DiskFaults::default());
        }
    }
}

/// Decides what alice is asked, as `failure` says.
async fn decide(asked: Reporter, failure: Failure) {
    let mut events = asked.events();
    let mut kept = Vec::new();
    while let Some(event) = events.next().await {
        match (event, failure) {
            (event, Failure::QuestionKept) => kept.push(event),
            (_, Failure::QuestionDropped) => {}
            (ReporterEvent::Subscription(request), _) => request.accept(),
            (ReporterEvent::Read(request), _) => request.accept(),
            _ => {}
        }
    }
}

/// One request that meets one failure; how it was answered.
async fn play(ask: Ask, failure: Failure, moment: Moment) -> Result<String, Violation> {
    let scene = Scene::new(level::seed()).await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let wires = [Wire::of(alice, bob), Wire::of(bob, alice)];
    tokio::spawn(decide(scene.asked.clone(), failure));
    let request = format!("{ask:?}, {failure:?} at {moment:?}");
    let mut answers = Answers::new();
    if moment == Moment::Before {
        scene.fail(ask, failure);
    }
    answers.asked(&request)?;
    let mut waiting = tokio::spawn(scene.ask(ask));
    match moment {
        Moment::Before => {}
        Moment::Turns(turns) => {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
        Moment::Millis(millis) => sleep(Duration::from_millis(millis)).await,
    }
    if moment != Moment::Before {
        scene.fail(ask, failure);
    }
    let mut how = timeout(ask.deadline(), &mut waiting).await;
    scene.mend(failure);
    if how.is_err() && failure == Failure::DiskFreezes(Who::Asker) && ask.waits_for_the_disk() {
        how = timeout(ask.deadline(), &mut waiting).await;
    }
    let how = how.map(|how| how.expect("no request panics")).unwrap_or_default();
    if !how.is_empty() {
        answers.answered(&request, &how)?;
    }
    sleep(AFTERMATH).await;
    for wire in &wires {
        if let Some(violation) = wire.counted.lock().broken.take() {
            return Err(Violation { detail: format!("{request}: {}", violation.detail), ..violation });
        }
    }
    if failure == Failure::Nothing && ask.is_counted() {
        let counted = wires[usize::from(ask.is_of_observer())].counted.lock();
        assert!(counted.times.values().any(|times| times.sent > 0), "{request}: nothing was counted");
        counted.answers.finished()?;
    }
    answers.finished().map(|()| how)
}

/// A row of the table: a request meets every failure.
async fn row(ask: Ask) {
    let mut broken = Vec::new();
    for (number, failure) in FAILURES.into_iter().enumerate() {
        let picked = 1 + (number + ask as usize) % (MOMENTS.len() - 1);
        let is_quick = Level::of_run() == Level::Quick;
        for (index, moment) in MOMENTS.into_iter().enumerate() {
            if is_quick && index != 0 && index != picked {
                continue;
            }
            match play(ask, failure, moment).await {
                Ok(how) if failure == Failure::Nothing => assert_eq!(how, "yes", "{ask:?}"),
                Ok(how) => println!("{ask:?}, {failure:?} at {moment:?}: {how}"),
                Err(violation) => broken.push(violation.to_string()),
            }
        }
    }
    assert!(broken.is_empty(), "HYPERTY_SEED={}\n{}", level::seed(), broken.join("\n"));
}

macro_rules! rows {
    ($($name:ident: $ask:ident,)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            row(Ask::$ask).await;
        }
    )*};
}

rows! {
    a_deployment_is_answered_once_i7: Deploy,
    a_creation_is_answered_once_i7: Create,
    a_creation_without_a_store_is_answered_once_i7: CreateUnstored,
    a_change_is_answered_once_i7: Change,
    a_deletion_is_answered_once_i7: Delete,
    a_child_of_the_reporters_own_is_answered_once_i7: AddOwnChild,
    a_subscription_is_answered_once_i7: Subscribe,
    a_read_is_answered_once_i7: Read,
    an_unsubscription_is_answered_once_i7: Unsubscribe,
    a_new_child_is_answered_once_i7: AddChild,
    a_change_of_a_child_is_answered_once_i7: ChangeChild,
    a_deletion_of_a_child_is_answered_once_i7: DeleteChild,
}
