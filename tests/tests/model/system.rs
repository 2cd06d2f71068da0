//! The systems that are compared with the document, and what is done to them.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperty_conformance::party::Party;
use hyperty_conformance::world::World;
use hyperty_syncher::{
    Accept, Child, ChildError, ChildrenHandle, Commit, ObserverState, Reporter, SubscribeError, WriteError,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::command::{ChildWrite, Command, OBSERVERS, Write};
use crate::document::{Document, Kid, written};
use crate::seat::{Seat, Watch};

const NAMES: [&str; OBSERVERS + 1] = ["alice", "bob", "carol", "dave"];

/// No single step takes longer, whatever is cut.
const STEP: Duration = Duration::from_secs(120);

/// Within this time after everything is healed all copies are equal. A connection comes back within seconds; the
/// longest wait is that of a repair that failed at growing intervals.
const HEALED: Duration = Duration::from_secs(180);

/// A Reporter, its observers, and the document.
pub(crate) struct System {
    world: World,
    alice: Option<Party>,
    board: Option<Reporter>,
    seats: Vec<Seat>,
    document: Document,
}

impl System {
    pub(crate) async fn new(seed: u64) -> System {
        let world = World::new(seed);
        let alice = Party::new(&world, NAMES[0]).await;
        let data = json!({"topic": "start"});
        let board = alice.create(data.clone()).await;
        let mut seats = Vec::new();
        for name in &NAMES[1..] {
            let party = Party::new(&world, name).await;
            let watch = Watch::new(party.hyperty.url(), party.observe(&board).await);
            seats.push(Seat { party: Some(party), watch: Some(watch) });
        }
        System { world, alice: Some(alice), board: Some(board), seats, document: Document::new(data) }
    }

    fn board(&self) -> &Reporter {
        self.board.as_ref().expect("there is a reporter between steps")
    }

    /// Does one thing, and looks at everybody.
    pub(crate) async fn step(&mut self, command: &Command) {
        let done = timeout(STEP, self.run(command)).await;
        assert!(done.is_ok(), "{command:?} takes too long");
        self.look().await;
    }

    async fn run(&mut self, command: &Command) {
        if matches!(command, Command::Crash(0)) {
            // What the Reporter had not been answered when it crashed may be gone. What did not leave it before a
            // lost connection is made up for: beats tell that the children differ.
            self.document.lose(0);
        }
        match command {
            Command::Write(write, wait) => self.write(write, *wait).await,
            Command::Child(who, write, wait) => self.child(*who, write, *wait).await,
            Command::Cut(who) => self.world.cut(NAMES[*who]),
            Command::Heal(who) => self.world.heal(NAMES[*who]),
            Command::Crash(0) => self.crash_reporter().await,
            Command::Crash(who) => self.crash_observer(*who).await,
            Command::StopNode => self.world.stop_node(),
            Command::StartNode if self.world.node().is_none() => self.world.start_node(),
            Command::StartNode => {}
            // Refused while something is cut.
            Command::Subscribe(who) => drop(self.subscribe(*who).await),
            Command::Unsubscribe(who) => self.unsubscribe(*who).await,
            Command::Read(who) => self.read(*who).await,
            Command::Pause(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
        }
    }

    async fn look(&mut self) {
        self.document.check("the reporter", self.board().version(), &self.board().data());
        for (seat, name) in self.seats.iter_mut().zip(&NAMES[1..]) {
            if let Some(watch) = &mut seat.watch {
                watch.drain(name, &self.document).await;
            }
        }
    }

    async fn write(&mut self, write: &Write, wait: bool) {
        let before = self.board().version();
        let expected = written(self.document.latest().1, write);
        let commit = call(self.board(), write);
        let Some((data, versions)) = expected else {
            let refused = commit.await;
            assert!(matches!(refused, Err(WriteError::Apply(_) | WriteError::Refused { .. })), "{refused:?}");
            assert_eq!(self.board().version(), before, "a refused change leaves nothing");
            return;
        };
        let after = self.board().version();
        assert_eq!(self.board().data(), data, "{write:?}");
        if let Some(versions) = versions {
            assert_eq!(after, before + versions, "{write:?}");
        }
        self.document.write(after, data);
        if wait {
            let position = commit.await.expect("a change that fits is taken");
            assert_eq!(position.version, after);
            self.document.acknowledge(after);
        }
    }

    fn children(&self, who: usize) -> Option<ChildrenHandle> {
        let handle = match who {
            0 => self.board().children("notes"),
            _ => self.seats[who - 1].watch.as_ref()?.observer.children("notes"),
        };
        Some(handle.expect("the schema has notes"))
    }

    async fn child(&mut self, who: usize, write: &ChildWrite, wait: bool) {
        let Some(notes) = self.children(who) else { return };
        match write {
            ChildWrite::Add(value) => self.add(who, &notes, value, wait).await,
            ChildWrite::Set(which, value) => {
                let Some(child) = pick(&notes, *which) else { return };
                let commit = child.set("v", value.clone());
                let result = if wait { commit.await.map(drop) } else { settle(commit) };
                self.changed(child.id(), result, |data| data["v"] = value.clone());
            }
            ChildWrite::Delete(which) => {
                let Some(child) = pick(&notes, *which) else { return };
                let commit = child.delete();
                let result = if wait { commit.await } else { settle(commit) };
                let id = child.id().to_owned();
                self.changed(&id, result, |_| {});
                if let Some(kid) = self.document.children.get_mut(&id) {
                    kid.data = None;
                }
            }
        }
    }

    async fn add(&mut self, who: usize, notes: &ChildrenHandle, value: &Value, wait: bool) {
        let before: Vec<String> = ids(notes);
        let data = json!({"by": who, "v": value});
        let commit = notes.add(data.clone());
        let added: Vec<String> = ids(notes).into_iter().filter(|id| !before.contains(id)).collect();
        let result = if wait { commit.await.map(drop) } else { settle(commit) };
        let [id] = &added[..] else { panic!("{added:?} by one add: {result:?}") };
        let kid = Kid { owner: who, data: Some(data), uncertain: false, under_way: false };
        let old = self.document.children.insert(id.clone(), kid);
        assert!(old.is_none(), "{id} was used before");
        self.changed(id, result, |_| {});
    }

    /// Notes an operation on a child: also without an answer it is kept, and arrives in the end (M18).
    fn changed(&mut self, id: &str, result: Result<(), ChildError>, change: impl FnOnce(&mut Value)) {
        let kid = self.document.children.get_mut(id).expect("a known child");
        match result {
            Ok(()) => kid.under_way |= kid.owner == 0,
            Err(ChildError::Unanswered) => kid.under_way = true,
            Err(other) => panic!("{id}: {other}"),
        }
        if let Some(data) = &mut kid.data {
            change(data);
        }
    }

    async fn crash_reporter(&mut self) {
        self.board = None;
        let alice = self.alice.take().expect("there is a reporter between steps").crash().await;
        let board = alice.reporter();
        board.accept(Accept::All);
        self.document.resumed(board.version(), &board.data());
        (self.alice, self.board) = (Some(alice), Some(board));
    }

    async fn crash_observer(&mut self, who: usize) {
        let seat = &mut self.seats[who - 1];
        let watched = seat.watch.take().is_some();
        let party = seat.party.take().expect("there is a party between steps").crash().await;
        let resumed = &party.hyperty.resumed().observers;
        assert_eq!(resumed.len(), usize::from(watched), "{}: what is observed is resumed", NAMES[who]);
        if watched {
            let watch = Watch::new(party.hyperty.url(), party.observer());
            self.document.check(NAMES[who], watch.observer.version(), &watch.observer.data());
            seat.watch = Some(watch);
        }
        seat.party = Some(party);
    }

    async fn subscribe(&mut self, who: usize) -> Result<(), SubscribeError> {
        let url = self.board().url().clone();
        let seat = &mut self.seats[who - 1];
        let party = seat.party.as_ref().expect("there is a party between steps");
        if seat.watch.is_none() {
            let observer = party.hyperty.subscribe(&url).store(true).await?;
            seat.watch = Some(Watch::new(party.hyperty.url(), observer));
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, who: usize) {
        let Some(watch) = self.seats[who - 1].watch.take() else { return };
        // Without a connection the Reporter's side is not told; here it has ended all the same.
        let _ = watch.observer.unsubscribe().await;
        self.document.lose(who);
    }

    async fn read(&mut self, who: usize) {
        let url = self.board().url().clone();
        let party = self.seats[who - 1].party.as_ref().expect("there is a party between steps");
        if let Ok(snapshot) = party.hyperty.read(&url).await {
            self.document.check(NAMES[who], snapshot.version, &snapshot.data);
        }
    }

    /// Mends everything and waits until all are equal (INV-EXT-2, INV-CHD-1).
    pub(crate) async fn heal(&mut self) {
        if self.world.node().is_none() {
            self.world.start_node();
        }
        NAMES.iter().for_each(|name| self.world.heal(name));
        // Those that lost their connection just now notice it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut different = String::new();
        let healed = timeout(HEALED, async {
            let observers = self.seats.iter().map(|seat| seat.party.as_ref());
            for party in observers.chain([self.alice.as_ref()]).flatten() {
                party.runtime.connected().await;
            }
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.look().await;
                match self.difference() {
                    Some(found) => different = found,
                    None => return,
                }
            }
        });
        assert!(healed.await.is_ok(), "not equal in time: {different}");
        // Who does not observe finds the same as who does.
        for (who, name) in NAMES.iter().enumerate().skip(1) {
            let refused = timeout(STEP, self.subscribe(who)).await.expect("an answer in time").err();
            assert_eq!(refused, None, "{name} may observe");
        }
        self.look().await;
        assert_eq!(self.difference(), None);
    }

    fn difference(&self) -> Option<String> {
        let (version, data) = self.document.latest();
        let certain = |notes: &ChildrenHandle| {
            let mut list = list(notes);
            list.retain(|id, _| !self.document.children.get(id).is_some_and(|kid| kid.uncertain));
            list
        };
        let notes = certain(&self.children(0)?);
        for (id, kid) in self.document.children.iter().filter(|(_, kid)| !kid.uncertain) {
            let found = notes.get(id).map(|(_, data)| data);
            if found != kid.data.as_ref() {
                return Some(format!("child {id} is {found:?} at the reporter, not {:?}", kid.data));
            }
        }
        for (seat, name) in self.seats.iter().zip(&NAMES[1..]) {
            let Some(watch) = &seat.watch else { continue };
            let observer = &watch.observer;
            if observer.state() != ObserverState::Live {
                return Some(format!("{name} is {:?}", observer.state()));
            }
            if (observer.version(), &observer.data()) != (version, data) {
                return Some(format!("{name} is {observer:?}, the reporter {:?}", self.board()));
            }
            let copies = certain(&observer.children("notes").expect("the schema has notes"));
            if copies != notes {
                return Some(format!("{name} has {copies:?}, the reporter {notes:?}"));
            }
        }
        None
    }
}

fn call(board: &Reporter, write: &Write) -> Commit {
    match write {
        Write::Set(path, value) => board.set(*path, value.clone()),
        Write::Remove(path) => board.remove(*path),
        Write::Insert(at, values) => board.insert("list", *at, values.clone()),
        Write::RemoveElements(at, count) => board.remove_elements("list", *at, *count),
        Write::Edit(members) => board.update(|data| {
            for (member, value) in members {
                data[*member] = value.clone();
            }
        }),
        Write::Replace(data) => board.replace(data.clone()),
        Write::Bad => board.set("topic", 5),
    }
}

/// What is not awaited is sent all the same; whether it was answered is not known.
fn settle<T>(commit: T) -> Result<(), ChildError> {
    drop(commit);
    Err(ChildError::Unanswered)
}

fn pick(notes: &ChildrenHandle, which: usize) -> Option<Child> {
    let mut mine = notes.mine();
    (!mine.is_empty()).then(|| mine.swap_remove(which % mine.len()))
}

fn ids(notes: &ChildrenHandle) -> Vec<String> {
    notes.mine().iter().map(|child| child.id().to_owned()).collect()
}

fn list(notes: &ChildrenHandle) -> BTreeMap<String, (u64, Value)> {
    notes.list().into_iter().map(|view| (view.id, (view.version, view.data))).collect()
}
