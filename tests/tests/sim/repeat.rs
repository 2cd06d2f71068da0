//! The same seed is the same run: within one process, and in another one, whose hash maps have another order.

use std::process::Command;
use std::time::Duration;

use hyperty_conformance::level;
use hyperty_conformance::sim::mixed::Mixed;

/// Seeds that are compared. Any dependence on an order that is not the seed's shows in nearly every one of them.
const SEEDS: u64 = 4;

/// Asks the test below for the hash of one seed.
const ASKED: &str = "HYPERTY_SIMULATED_HASH_OF";

fn mixed(seed: u64) -> Mixed {
    Mixed { troubled: Duration::from_secs(60), ..Mixed::small(seed) }
}

/// How a run ends: its hash, or its violation.
fn outcome(seed: u64) -> String {
    match mixed(seed).run() {
        Ok(summary) => format!("{:016x} after {} lines", summary.hash, summary.lines),
        Err(failure) => format!("{} at {:?}", failure.violation, failure.at),
    }
}

#[test]
fn the_same_seed_is_the_same_run_in_every_process() {
    let executable = std::env::current_exe().unwrap();
    let begin = level::seed();
    for seed in begin..begin + SEEDS {
        let here = outcome(seed);
        assert_eq!(outcome(seed), here, "seed {seed}, twice in this process");
        let mut other = Command::new(&executable);
        other.args(["--exact", "repeat::tells_the_hash_of_a_seed", "--nocapture"]);
        let output = other.env(ASKED, seed.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("<{here}>")), "seed {seed}: {here} here, elsewhere {text}");
    }
}

/// Half of the test above, in the process that it starts; by itself it looks at one seed only.
#[test]
fn tells_the_hash_of_a_seed() {
    let asked = std::env::var(ASKED).ok().map(|seed| seed.parse().unwrap());
    println!("<{}>", outcome(asked.unwrap_or(1)));
}
