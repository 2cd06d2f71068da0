//! The commands as a state machine: what is drawn depends on what is broken, and whatever fails is made as short
//! as it can be.

use std::sync::OnceLock;

use hyperty_conformance::reference::Violation;
use hyperty_conformance::world::Link;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::command::{Command, Creation, Loss, PARTIES};
use crate::draw::{Weights, command};
use crate::system::System;
use crate::watchdog::Watchdog;
use crate::{DRAWN, Drawn, SEED};

/// What is known of a system without running it.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    /// Whatever is random in the system follows from this.
    pub(crate) seed: u64,
    drawn: Drawn,
    boards: usize,
    links: [Link; PARTIES],
    disks: [bool; PARTIES],
    dozing: [bool; PARTIES],
    node_stopped: bool,
}

/// The machine of commands.
pub(crate) struct Life;

impl ReferenceStateMachine for Life {
    type State = Sketch;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<Sketch> {
        let sketch = |seed| Sketch {
            seed,
            drawn: DRAWN.get(),
            boards: 1,
            links: [Link::Up; PARTIES],
            disks: [false; PARTIES],
            dozing: [false; PARTIES],
            node_stopped: false,
        };
        any::<u64>().prop_map(sketch).no_shrink().boxed()
    }

    fn transitions(now: &Sketch) -> BoxedStrategy<Command> {
        let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count();
        command(&Weights {
            moving: now.drawn == Drawn::Moving,
            boards: now.boards,
            broken_links: now.links.iter().filter(|link| **link != Link::Up).count(),
            broken_disks: count(&now.disks),
            dozing: count(&now.dozing),
            node_stopped: now.node_stopped,
        })
    }

    fn apply(mut now: Sketch, command: &Command) -> Sketch {
        match command {
            Command::Create(_, Creation::Valid, _) => now.boards += 1,
            Command::Connection(who, link) => now.links[*who] = *link,
            Command::Hold(who) | Command::FailStore(who) => now.disks[*who] = true,
            Command::Release(who) => now.disks[*who] = false,
            // Whose connection that is is not known here; it has connections mended more often.
            Command::TakeOver { loss: Loss::Cut, .. } => now.links[0] = Link::Cut,
            Command::Crash(who) | Command::Restart(who) => {
                (now.disks[*who], now.dozing[*who]) = (false, false);
            }
            Command::CrashAll => (now.disks, now.dozing) = ([false; PARTIES], [false; PARTIES]),
            Command::Doze(who) => now.dozing[*who] = true,
            Command::Wake(who) => now.dozing[*who] = false,
            Command::StopNode => now.node_stopped = true,
            Command::StartNode => now.node_stopped = false,
            _ => {}
        }
        now
    }
}

/// A system with the runtime that its time passes in.
pub(crate) struct Lab {
    runtime: tokio::runtime::Runtime,
    system: System,
    watchdog: Watchdog,
}

impl StateMachineTest for Life {
    type SystemUnderTest = Lab;
    type Reference = Life;

    fn init_test(sketch: &Sketch) -> Lab {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime starts");
        let mut watchdog = Watchdog::start(SEED.get());
        let system = runtime.block_on(watchdog.guard(System::new(sketch.seed)));
        let system = system.unwrap_or_else(|stuck| panic!("{stuck} at the start"));
        Lab { runtime, system, watchdog }
    }

    fn apply(mut lab: Lab, _: &Sketch, command: Command) -> Lab {
        let done = lab.runtime.block_on(lab.watchdog.guard(lab.system.step(&command)));
        lab.judge(done.unwrap_or_else(|stuck| panic!("{stuck} at {command:?}")));
        lab
    }

    fn teardown(mut lab: Lab, _: Sketch) {
        let settled = lab.runtime.block_on(lab.watchdog.guard(lab.system.settle()));
        lab.judge(settled.unwrap_or_else(|stuck| panic!("{stuck} in the end")));
    }
}

impl Lab {
    fn judge(&self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            panic!("{}", self.system.in_names(&violation.to_string()));
        }
    }
}

/// Whether each command is told before it is done: `HYPERTY_TELL=1`.
pub(crate) fn is_told() -> bool {
    static TOLD: OnceLock<bool> = OnceLock::new();
    *TOLD.get_or_init(|| std::env::var_os("HYPERTY_TELL").is_some())
}
