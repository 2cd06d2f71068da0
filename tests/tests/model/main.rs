//! Whole runtimes against a plain JSON document: one Reporter and several Observers, each in a runtime of its own,
//! children by everybody, connections cut and healed, runtimes and the node stopped hard and started again.
//!
//! The same cases run every time. `HYPERTY_CASES` multiplies their number, `HYPERTY_SEED` draws others.

mod command;
mod document;
mod seat;
mod system;

use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::command::{Command, commands};
use crate::system::System;

const CASES: u32 = 64;
const STEPS: usize = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn runtimes_agree_with_a_plain_document() {
    let cases = CASES * u32::try_from(number("HYPERTY_CASES").unwrap_or(1)).unwrap_or(1);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("HYPERTY_SEED").unwrap_or(1).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&(any::<u64>(), commands(STEPS)), |(seed, commands)| {
        live(seed, &commands);
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn live(seed: u64, commands: &[Command]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        let mut system = System::new(seed).await;
        for command in commands {
            system.step(command).await;
        }
        system.heal().await;
    });
}
