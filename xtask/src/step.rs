//! The parts of a long run.

use std::process::Command;

use hyperty_conformance::level::{Level, Work};

/// One part: a cargo command.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it is called in `--only`.
    pub name: &'static str,
    /// What one unit of the work is.
    unit: &'static str,
    amount: Amount,
    arguments: &'static [&'static str],
}

#[derive(Debug)]
enum Amount {
    /// The tests ask for the level themselves.
    Of(Work),
    /// Minutes at the level of a change; given to the command as its last argument.
    Minutes(u32),
    /// All there is, at any level.
    All,
}

/// Everything that proves more the longer it runs.
pub(crate) const STEPS: [Step; 7] = [
    Step {
        name: "model",
        unit: "cases of 100 steps: whole runtimes against the reference model",
        amount: Amount::Of(Work::ModelCases),
        arguments: &["test", "--package", "hyperty-conformance", "--test", "model"],
    },
    Step {
        name: "suites",
        unit: "random sequences for each implementation of a seam",
        amount: Amount::Of(Work::SuiteCases),
        arguments: &[
            "test",
            "--package",
            "hyperty-message-bus",
            "--package",
            "hyperty-protostub",
            "--package",
            "hyperty-registry",
            "--package",
            "hyperty-address-allocation",
            "--package",
            "hyperty-policy",
            "--test",
            "suite",
        ],
    },
    Step {
        name: "simulation",
        unit: "simulated systems under faults",
        amount: Amount::Of(Work::SimulatedSeeds),
        arguments: &["test", "--package", "hyperty-conformance", "--test", "sim"],
    },
    Step {
        name: "sync-points",
        unit: "every write and every sync of three workloads fails once",
        amount: Amount::All,
        arguments: &[
            "test",
            "--package",
            "hyperty-storage",
            "--package",
            "hyperty-conformance",
            "sync_point",
        ],
    },
    Step {
        name: "crash",
        unit: "processes killed and started again",
        amount: Amount::Of(Work::KillCycles),
        arguments: &["test", "--package", "hyperty-cli", "--test", "crash"],
    },
    Step {
        name: "fuzz",
        unit: "inputs for each fuzz target",
        amount: Amount::Of(Work::FuzzCases),
        arguments: &["test", "--package", "hyperty-conformance", "--test", "fuzz"],
    },
    Step {
        name: "soak",
        unit: "minutes of churn over sockets",
        amount: Amount::Minutes(1),
        arguments: &["run", "--release", "--package", "hyperty-cli", "--", "soak", "--minutes"],
    },
];

impl Step {
    /// How much of what, for people.
    pub(crate) fn amount(&self, level: Level) -> String {
        match self.amount {
            Amount::All => self.unit.to_owned(),
            Amount::Of(work) => format!("{} {}", work.at(level), self.unit),
            Amount::Minutes(_) => format!("{} {}", self.minutes(level).unwrap_or_default(), self.unit),
        }
    }

    /// The command, without the level.
    pub(crate) fn command(&self, level: Level) -> Command {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        command.args(self.arguments);
        if let Some(minutes) = self.minutes(level) {
            command.arg(minutes.to_string());
        }
        command
    }

    fn minutes(&self, level: Level) -> Option<u32> {
        let Amount::Minutes(minutes) = self.amount else { return None };
        Some(if level == Level::Nightly { 50 * minutes } else { minutes })
    }
}
