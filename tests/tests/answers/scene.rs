//! Two runtimes and what is between them, before a request is made.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{Link, World};
use hyperty_model::{Clock, Timestamp};
use hyperty_runtime::{Hyperty, Runtime, RuntimeBuilder};
use hyperty_storage::{DiskFaults, SimulatedDisk};
use hyperty_syncher::{
    Accept, Child, Criteria, Delegation, Invitation, Observer, Query, Reporter, ReporterEvent,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::ask::{Ask, OFFER};
use crate::failures::{Failure, Seams, Who};

/// A disk answers after so long.
const LATENCY: Duration = Duration::from_millis(2);

/// A hyperty that is granted an object and never asks for it.
const ELSEWHERE: &str = "hyperty://example.com/elsewhere";

/// Several parts (protocol 5.5.2), each in a message of its own.
const LARGE: usize = 300_000;

/// A clock that goes with the time of the test, so that offers end.
struct Running(Instant);

impl Clock for Running {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// A runtime with a hyperty, over a disk.
pub(crate) struct Side {
    name: &'static str,
    disk: SimulatedDisk,
    pub(crate) runtime: Runtime,
    pub(crate) app: Hyperty,
    seams: Seams,
}

impl Side {
    async fn new(world: &World, name: &'static str, seed: u64) -> Side {
        let disk = SimulatedDisk::new(seed);
        let tables = Arc::new(disk.open().unwrap());
        tokio::spawn(tables.run(LATENCY));
        let seams = Seams::default();
        let (policy, clock) = (seams.clone(), Arc::new(Running(Instant::now())));
        let choose = |builder: RuntimeBuilder| builder.policy(policy).clock(clock);
        let runtime = world.runtime_with(name, &tables, choose).await;
        runtime.bus().add_interceptor(Arc::new(seams.clone()));
        runtime.schema(SCHEMA).unwrap();
        let app = runtime.deploy("app").user(&format!("user://example.com/{name}")).await.unwrap();
        Side { name, disk, runtime, app, seams }
    }
}

/// Alice's objects, and what bob has of them.
pub(crate) struct Scene {
    world: World,
    pub(crate) alice: Side,
    pub(crate) bob: Side,
    /// Bob observes it and has a child in it.
    board: Reporter,
    copy: Observer,
    child: Child,
    /// Who wants this one is decided by alice's application.
    asked: Reporter,
    /// This one is larger than a message, and everybody may have it.
    large: Option<Reporter>,
    /// Bob is invited to `asked`.
    invitation: Mutex<Option<Invitation>>,
    /// Bob is offered `asked`.
    delegation: Mutex<Option<Delegation>>,
}

pub(crate) type Asked = Pin<Box<dyn Future<Output = String> + Send>>;

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
    pub(crate) async fn new(ask: Ask, seed: u64) -> Scene {
        let world = World::new(seed);
        let alice = Side::new(&world, "alice", seed).await;
        let bob = Side::new(&world, "bob", seed + 1).await;
        let create = |name: &str, accept| {
            let schema = alice.runtime.schema(SCHEMA).unwrap();
            alice.app.create(schema).name(name).data(json!({"topic": "a"})).store(true).accept(accept)
        };
        let board = create("board", Accept::All).await.unwrap();
        let asked = create("asked", Accept::Ask).authorise([elsewhere()]).await.unwrap();
        let copy = bob.app.subscribe(board.url()).store(true).await.unwrap();
        let child = copy.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
        let mut large = None;
        if matches!(ask, Ask::ReadLarge | Ask::SubscribeLarge) {
            let data = json!({"topic": "x".repeat(LARGE)});
            large = Some(create("large", Accept::All).data(data).await.unwrap());
        }
        let invitation = Mutex::new(None);
        if ask == Ask::AcceptInvitation {
            asked.invite([bob.app.url().clone()]).await.unwrap();
            *invitation.lock() = bob.app.invitations().next().await;
        }
        let delegation = Mutex::new(None);
        if ask == Ask::AcceptDelegation {
            let (asked, to) = (asked.clone(), bob.app.url().clone());
            tokio::spawn(async move { asked.delegate(&to).await });
            *delegation.lock() = bob.app.delegations().next().await;
        }
        // Whatever follows from that is done.
        sleep(Duration::from_secs(5)).await;
        Scene { world, alice, bob, board, copy, child, asked, large, invitation, delegation }
    }

    pub(crate) fn ask(&self, ask: Ask) -> Asked {
        let Scene { alice, bob, board, copy, child, asked, .. } = self;
        let create = || {
            let schema = alice.runtime.schema(SCHEMA).unwrap();
            alice.app.create(schema).name("new").data(json!({"topic": "b"})).accept(Accept::All)
        };
        let note = json!({"n": 2});
        let (app, of_alice, of_bob) = (bob.app.clone(), alice.app.clone(), bob.app.url().clone());
        let (board, copy, asked, large) = (board.clone(), copy.clone(), asked.clone(), self.large.clone());
        match ask {
            Ask::Deploy => said(alice.runtime.deploy("another")),
            Ask::Create => said(create().store(true)),
            Ask::CreateUnstored => said(create().store(false)),
            Ask::Change => said(board.set("topic", "b")),
            Ask::Delete => said(async move { board.delete().await }),
            Ask::AddOwnChild => said(board.children("notes").unwrap().add(note)),
            Ask::Invite => said(asked.invite([of_bob])),
            Ask::InviteAnswer => Box::pin(last_word(asked, of_bob)),
            Ask::Revoke => said(async move { asked.revoke(&elsewhere()).await }),
            Ask::RemoveObserver => said(async move { board.remove_observer(&of_bob).await }),
            Ask::Delegate => said(async move { asked.delegate(&of_bob).await }),
            Ask::Resume => said(async move { of_alice.resume().await }),
            Ask::ResumeBy => {
                let criteria = Criteria::default().resources([board.url().clone()]);
                said(async move { of_alice.resume_by(criteria).await })
            }
            Ask::Subscribe => said(app.subscribe(asked.url()).store(true)),
            Ask::Read => said(async move { app.read(asked.url()).await }),
            Ask::ReadLarge => said(async move { app.read(large.unwrap().url()).await }),
            Ask::SubscribeLarge => said(app.subscribe(large.unwrap().url()).store(true)),
            Ask::Unsubscribe => said(async move { copy.unsubscribe().await }),
            Ask::AddChild => said(copy.children("notes").unwrap().add(note)),
            Ask::ChangeChild => said(child.set("n", 3)),
            Ask::DeleteChild => said(child.delete()),
            Ask::AcceptInvitation => said(self.invitation.lock().take().unwrap().accept()),
            Ask::AcceptDelegation => said(self.delegation.lock().take().unwrap().accept()),
            Ask::Request => said(async move { copy.request("rename", json!("b")).await }),
            Ask::Discover => said(async move { app.discover(Query::of_name("board")).await }),
        }
    }

    fn side(&self, ask: Ask, who: Who) -> &Side {
        if ask.is_of_observer() == (who == Who::Asker) { &self.bob } else { &self.alice }
    }

    pub(crate) fn fail(&self, ask: Ask, failure: Failure) {
        let side = |who| self.side(ask, who);
        let fault = |who, of: fn(&SimulatedDisk) -> DiskFaults| {
            let disk = &side(who).disk;
            disk.set_faults(of(disk));
        };
        match failure {
            Failure::Nothing | Failure::QuestionDropped | Failure::QuestionKept | Failure::Cancelled => {}
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
            Failure::Service(..) => [&self.alice, &self.bob].iter().for_each(|side| side.seams.fail(failure)),
            Failure::PolicyHangs(who) | Failure::PolicyPanics(who) => side(who).seams.fail(failure),
        }
    }

    /// All that can be mended is.
    pub(crate) fn mend(&self, failure: Failure) {
        if failure == Failure::NodeStops {
            self.world.start_node();
        }
        for side in [&self.alice, &self.bob] {
            self.world.heal(side.name);
            side.disk.set_faults(DiskFaults::default());
            side.seams.mend();
        }
    }

    /// Decides what alice and bob are asked, as the failure says.
    pub(crate) fn decide(&self, failure: Failure) {
        tokio::spawn(decide(self.asked.clone(), failure));
        tokio::spawn(serve(self.board.clone(), failure));
        if self.invitation.lock().is_none() {
            tokio::spawn(reply(self.bob.app.clone(), failure));
        }
        if self.delegation.lock().is_none() {
            tokio::spawn(take_over(self.bob.app.clone(), failure));
        }
    }

    /// The streams that were there go on: a change reaches bob, if both of them are as well as before.
    pub(crate) async fn goes_on(&self, ask: Ask, failure: Failure) -> bool {
        let is_ended = matches!(ask, Ask::Delete | Ask::Unsubscribe | Ask::RemoveObserver);
        let is_broken = matches!(failure, Failure::Aborted(_) | Failure::DiskFails(_));
        if is_ended || is_broken {
            return true;
        }
        self.board.set("topic", "goes on").await.is_ok() && {
            sleep(Duration::from_secs(60)).await;
            self.copy.position() == self.board.position() && self.copy.data() == self.board.data()
        }
    }
}

fn elsewhere() -> hyperty_model::Url {
    ELSEWHERE.parse().unwrap()
}

/// Invites, and reads until the last word.
async fn last_word(asked: Reporter, who: hyperty_model::HypertyUrl) -> String {
    let mut answers = match asked.invite([who]).until(OFFER).await {
        Ok(answers) => answers,
        Err(error) => return error.to_string(),
    };
    let mut last = "none".to_owned();
    while let Some(answer) = answers.next().await {
        last = if answer.code.is_success() { "yes".to_owned() } else { answer.code.to_string() };
    }
    last
}

/// What alice's application does with questions.
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

/// What alice's application does with requests.
async fn serve(board: Reporter, failure: Failure) {
    let mut requests = board.requests();
    let mut kept = Vec::new();
    while let Some(request) = requests.next().await {
        match failure {
            Failure::QuestionKept => kept.push(request),
            Failure::QuestionDropped => drop(request),
            _ => drop(request.answer(json!("done"))),
        }
    }
}

/// What bob's application does with invitations.
async fn reply(app: Hyperty, failure: Failure) {
    let mut invitations = app.invitations();
    let (mut kept, mut copies) = (Vec::new(), Vec::new());
    while let Some(invitation) = invitations.next().await {
        match failure {
            Failure::QuestionKept => kept.push(invitation),
            Failure::QuestionDropped => drop(invitation),
            _ => copies.extend(invitation.accept().await.ok()),
        }
    }
}

/// What bob's application does with objects that it is offered.
async fn take_over(app: Hyperty, failure: Failure) {
    let mut delegations = app.delegations();
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    while let Some(delegation) = delegations.next().await {
        match failure {
            Failure::QuestionKept => kept.push(delegation),
            Failure::QuestionDropped => drop(delegation),
            _ => taken.extend(delegation.accept().await.ok()),
        }
    }
}
