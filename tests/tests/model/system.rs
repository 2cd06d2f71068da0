//! The system that is judged, and what is done to it.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::reference::{Baseline, Invariant, Violation};
use hyperty_conformance::world::World;
use hyperty_storage::MemoryTables;
use hyperty_syncher::CreateError;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::board::Board;
use crate::command::{Admission, Command, Creation, PARTIES};
use crate::machine::is_told;
use crate::member::Member;
use crate::shelf::Shelf;
use crate::subscribe::Pending;

pub(crate) const NAMES: [&str; PARTIES] = ["alice", "bob", "carol", "tablet"];

/// No single step takes longer, whatever is broken.
pub(crate) const STEP: Duration = Duration::from_secs(300);

pub(crate) struct System {
    pub(crate) world: World,
    pub(crate) began: Instant,
    /// `None` only while one is started again.
    pub(crate) members: Vec<Option<Member>>,
    pub(crate) boards: Vec<Board>,
    pub(crate) pending: Vec<Pending>,
    /// Where the devices of a user find what others have.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) baseline: Baseline,
    /// How many hostile messages were sent.
    pub(crate) forged: u64,
    /// How many actions were asked for.
    pub(crate) asked: u64,
}

impl System {
    pub(crate) async fn new(seed: u64) -> System {
        let world = World::new(seed);
        let shelf = Arc::new(Shelf::default());
        let mut members = Vec::new();
        for name in NAMES {
            members.push(Some(Member::start(&world, name, MemoryTables::new(), &shelf).await));
        }
        let mut system = System {
            world,
            began: Instant::now(),
            members,
            boards: Vec::new(),
            pending: Vec::new(),
            shelf,
            baseline: Baseline::default(),
            forged: 0,
            asked: 0,
        };
        for member in system.members.iter().flatten() {
            member.runtime.connected().await;
        }
        system.baseline = system.held_at_the_node();
        system.create(0, Creation::Valid, Admission::All).await.expect("the first object is created");
        for who in 1..PARTIES {
            system.subscribe(who, 0, crate::command::Verdict::Accept, true).await.expect("it is observed");
        }
        system
    }

    pub(crate) fn member(&self, who: usize) -> &Member {
        self.members[who].as_ref().expect("there is a runtime between steps")
    }

    pub(crate) fn board(&self, number: usize) -> usize {
        number % self.boards.len()
    }

    /// What the node holds for its runtimes.
    pub(crate) fn held_at_the_node(&self) -> Baseline {
        let stats = self.world.node().expect("the node runs").stats();
        let counts =
            [("routes", stats.routes), ("sessions", stats.sessions), ("waiting messages", stats.queued)];
        Baseline::new(counts.map(|(name, count)| (name, count as u64)))
    }

    /// The same text with the names of the parties in place of their addresses.
    pub(crate) fn in_names(&self, text: &str) -> String {
        let members = self.members.iter().flatten();
        let named = members.fold(text.to_owned(), |text, member| text.replace(&member.who(), member.name));
        let boards = self.boards.iter().enumerate();
        boards
            .fold(named, |text, (number, board)| text.replace(board.url.as_str(), &format!("board {number}")))
    }

    /// Does one thing, and looks at everybody.
    pub(crate) async fn step(&mut self, command: &Command) -> Result<(), Violation> {
        if is_told() {
            eprintln!("{:?} {command:?}", self.began.elapsed());
        }
        match timeout(STEP, self.run(command)).await {
            Ok(done) => done?,
            Err(_) => return Err(broken(Invariant::I7, "the system", format!("{command:?} takes too long"))),
        }
        self.look()
    }

    async fn run(&mut self, command: &Command) -> Result<(), Violation> {
        match command {
            Command::Create(who, how, admission) => self.create(*who, *how, *admission).await,
            Command::Write(board, write, wait) => self.write(self.board(*board), write, *wait).await,
            Command::Burst(board, writes) => {
                let board = self.board(*board);
                for write in writes {
                    self.write(board, write, false).await?;
                }
                Ok(())
            }
            Command::Flood(board) => self.flood(self.board(*board)).await,
            Command::Child { who, board, read_only, write, wait } => {
                self.child(*who, self.board(*board), *read_only, write, *wait).await
            }
            Command::Subscribe { who, board, verdict, wait } => {
                self.subscribe(*who, self.board(*board), *verdict, *wait).await
            }
            Command::SubscribeNowhere(who) => self.subscribe_nowhere(*who).await,
            Command::Unsubscribe(who, board) => self.unsubscribe(*who, self.board(*board)).await,
            Command::Read { who, board, verdict } => self.read(*who, self.board(*board), *verdict).await,
            Command::Admit(board, admission) => self.admit(self.board(*board), *admission).await,
            Command::Delete(board) => self.delete(self.board(*board)).await,
            Command::Remove { who, board } => self.remove(*who, self.board(*board)).await,
            Command::Invite { who, board, announce, reply } => {
                self.invite(*who, self.board(*board), *announce, *reply).await
            }
            Command::Revoke { who, board } => self.revoke(*who, self.board(*board)).await,
            Command::Action { who, board, wait } => self.ask(*who, self.board(*board), *wait).await,
            Command::Delegate { board, to, reply, wait } => {
                self.delegate(self.board(*board), *to, *reply, *wait).await
            }
            Command::TakeOver { board, loss } => self.take_over(self.board(*board), *loss).await,
            Command::FormerWrites(board) => {
                self.former_writes(self.board(*board));
                Ok(())
            }
            Command::ResumeBy { who, others } => self.resume_by(*who, *others).await,
            Command::Crash(who) => self.crash(&[*who]).await,
            Command::CrashAll => {
                self.world.stop_node();
                self.crash(&[0, 1, 2, 3]).await?;
                self.start_node();
                Ok(())
            }
            Command::Restart(who) => self.restart(*who).await,
            Command::Forge(who, board, forgery) => self.forge(*who, self.board(*board), *forgery).await,
            Command::Pause(millis) => self.pause(Duration::from_millis(*millis)).await,
            other => {
                self.turn(other);
                Ok(())
            }
        }
    }

    /// What is changed around the parties.
    fn turn(&mut self, command: &Command) {
        let member = |members: &mut Vec<Option<Member>>, who: usize, turn: fn(&mut Member)| {
            members[who].as_mut().map(turn);
        };
        match command {
            Command::StopNode => self.world.stop_node(),
            Command::StartNode => self.start_node(),
            Command::Connection(who, link) => self.world.set_link(NAMES[*who], *link),
            Command::Hold(who) => member(&mut self.members, *who, |member| {
                member.held = true;
                member.tables.freeze();
            }),
            Command::Release(who) => {
                member(&mut self.members, *who, |member| {
                    member.held = false;
                    member.tables.thaw();
                });
            }
            Command::FailStore(who) => {
                member(&mut self.members, *who, |member| {
                    member.failing = true;
                    member.tables.fail_next();
                });
                // What the Reporter's side takes from now on is refused, and undone wherever it was shown.
                let whos: Vec<String> = self.members.iter().flatten().map(Member::who).collect();
                for board in self.boards.iter_mut().filter(|board| board.owner == *who) {
                    whos.iter().for_each(|writer| board.reference.children_uncertain(writer));
                }
            }
            Command::Doze(who) => member(&mut self.members, *who, |member| member.dozes = true),
            Command::Wake(who) => member(&mut self.members, *who, |member| member.dozes = false),
            other => unreachable!("{other:?} is done elsewhere"),
        }
    }

    pub(crate) fn start_node(&self) {
        if self.world.node().is_none() {
            self.world.start_node();
        }
    }

    /// Lets time go by; applications look at what comes meanwhile.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Violation> {
        let parts = if time > Duration::from_secs(5) { 4 } else { 1 };
        for _ in 0..parts {
            tokio::time::sleep(time / parts).await;
            self.look()?;
        }
        Ok(())
    }

    pub(crate) async fn create(
        &mut self,
        who: usize,
        how: Creation,
        admission: Admission,
    ) -> Result<(), Violation> {
        let member = self.member(who);
        let (data, schema) = match how {
            Creation::Valid => (json!({"topic": "start"}), member.schema.clone()),
            Creation::BadData => (json!({"topic": 5}), member.schema.clone()),
            Creation::NoObject => (Value::from("text"), member.schema.clone()),
            Creation::UnknownSchema => {
                let url = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/None";
                (json!({}), url.parse().expect("a URL"))
            }
        };
        let create = member.hyperty.create(schema).name("board").data(data).store(true);
        let (keeps, owner) = (member.keeps(), member.who());
        match (create.await, how) {
            (Ok(reporter), Creation::Valid) => {
                let mut board = Board::new(reporter, who, owner, admission);
                for who in admission.whom() {
                    board.reference.granted(&self.member(who).who());
                }
                board.admit();
                self.boards.push(board);
                Ok(())
            }
            (Ok(_), _) => Err(broken(Invariant::I12, &owner, format!("{how:?} was created"))),
            // Its domain or its disk may be out of reach.
            (Err(CreateError::Refused { .. } | CreateError::Timeout), _) => Ok(()),
            (Err(CreateError::Data(_)), Creation::NoObject) => Ok(()),
            (Err(error), _) => {
                let detail = format!("{how:?} with a disk that keeps: {keeps} fails with {error}");
                Err(broken(Invariant::I7, &owner, detail))
            }
        }
    }
}

/// A violation that no object's reference can see.
pub(crate) fn broken(invariant: Invariant, who: &str, detail: String) -> Violation {
    Violation { invariant, object: "the system".to_owned(), who: who.to_owned(), detail }
}
