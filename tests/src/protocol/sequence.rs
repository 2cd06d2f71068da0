//! Random sequences of steps: what fails is made shorter until every step of it is needed.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Failure, Stage, Stop, Verdict};

/// Most runs spent on making one failing sequence shorter.
const SHORTER_RUNS_MAX: u32 = 300;

/// Runs sequences that [`generated`] made; the first that fails is returned as short as it could be made, with its
/// messages in the trace.
///
/// Proptest generates; shortening is done here, by leaving out steps: its own trees cannot be kept over an await in a
/// task that moves between threads.
///
/// # Errors
/// What is wrong with the first sequence that fails.
pub async fn random_sequences<S, T>(
    stage: &Stage<S>,
    sequences: Vec<Vec<T>>,
    run: fn(Stage<S>, Vec<T>) -> BoxFuture<'static, Verdict>,
) -> Verdict
where
    S: ?Sized,
    T: Clone + Debug + Send,
{
    let mut runs = 0;
    for (number, steps) in sequences.into_iter().enumerate() {
        let Some(failure) = attempt(stage, &steps, run, &mut runs).await? else { continue };
        let (steps, failure) = shortened(stage, steps, failure, run, &mut runs).await?;
        let text = format!("sequence {number}, shortened to {steps:?}: {}", failure.detail);
        return Err(Failure::new(failure.invariant, text).into());
    }
    Ok(())
}

/// As many random sequences as the stage asks for, which follow from its seed.
///
/// # Errors
/// When the strategy rejects everything.
pub fn generated<S: ?Sized, T: Debug>(
    stage: &Stage<S>,
    strategy: &impl Strategy<Value = Vec<T>>,
) -> Verdict<Vec<Vec<T>>> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&stage.seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let one = |_| strategy.new_tree(&mut runner).map(|tree| tree.current());
    let all = (0..stage.sequences).map(one).collect::<Result<Vec<_>, _>>();
    all.map_err(|reason| Stop::Broken(format!("no sequence can be generated: {reason}")))
}

/// One run from a clean start. `None` if nothing is wrong.
async fn attempt<S: ?Sized, T: Clone + Debug>(
    stage: &Stage<S>,
    steps: &[T],
    run: fn(Stage<S>, Vec<T>) -> BoxFuture<'static, Verdict>,
    runs: &mut u32,
) -> Result<Option<Failure>, Stop> {
    *runs += 1;
    stage.trace.clear();
    stage.trace.note(format_args!("sequence {steps:?}"));
    let verdict = run(stage.again(*runs), steps.to_vec()).await;
    match (stage.trace.violation(), verdict) {
        (Some(violation), _) => Ok(Some(violation)),
        (None, Ok(())) => Ok(None),
        (None, Err(Stop::Fail(failure))) => Ok(Some(failure)),
        (None, Err(Stop::Broken(detail))) => Ok(Some(Failure::new("INV-MN-4", detail))),
        (None, Err(skip @ Stop::Skip(_))) => Err(skip),
    }
}

/// Leaves out parts, large ones first, as long as the same rule is broken without them.
async fn shortened<S: ?Sized, T: Clone + Debug>(
    stage: &Stage<S>,
    mut steps: Vec<T>,
    mut failure: Failure,
    run: fn(Stage<S>, Vec<T>) -> BoxFuture<'static, Verdict>,
    runs: &mut u32,
) -> Result<(Vec<T>, Failure), Stop> {
    let until = *runs + SHORTER_RUNS_MAX;
    let mut part = steps.len().div_ceil(2);
    while part > 0 && *runs < until {
        let mut at = 0;
        while at < steps.len() && *runs < until {
            let mut without = steps.clone();
            without.drain(at..(at + part).min(steps.len()));
            match attempt(stage, &without, run, runs).await? {
                Some(other) if other.invariant == failure.invariant => {
                    (steps, failure) = (without, other);
                }
                _ => at += part,
            }
        }
        part /= 2;
    }
    // Once more, for its messages to be in the trace.
    if let Some(again) = attempt(stage, &steps, run, runs).await? {
        failure = again;
    }
    Ok((steps, failure))
}
