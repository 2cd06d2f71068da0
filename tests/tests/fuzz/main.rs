//! Everything that reads what others wrote, fed with what they might write: the files of `fuzz/corpus`, changed files,
//! and inputs made of the right words in the wrong places. The same functions are driven by cargo-fuzz for as long as
//! one likes; see `fuzz/README.md`.

mod edits;
mod fitting;
mod words;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyperty_conformance::fuzz::{TARGETS, Target};
use hyperty_conformance::level::{self, Work};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use edits::{edit, edited};
use fitting::fitting;

/// Far longer than the longest of these inputs takes on the slowest machine: what passes it is no longer linear.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Longest input that is made here.
pub(crate) const LENGTH_MAX: usize = 4_096;

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).expect("there is such a target")
}

/// Judges one input, and what the operation takes.
fn feed(target: &Target, data: &[u8]) {
    let begun = Instant::now();
    let took = allocation_counter::measure(|| (target.work)(data));
    let (bytes, calls) = (target.budget.bytes_for(data.len()), target.budget.calls_for(data.len()));
    assert!(
        took.bytes_max <= bytes && took.count_total <= calls,
        "{} bytes of input took {} bytes at once, at most {bytes} may, in {} allocations, at most {calls}",
        data.len(),
        took.bytes_max,
        took.count_total,
    );
    (target.judge)(data);
    assert!(begun.elapsed() < TIME_MAX, "{} bytes of input took {:?}", data.len(), begun.elapsed());
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a folder is read").path();
            (path.display().to_string(), std::fs::read(&path).expect("a file is read"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 2, "{} is the corpus of nothing", folder.display());
    files
}

fn driven(name: &str) {
    let (target, files) = (target(name), corpus(name));
    for (path, data) in &files {
        let fed = std::panic::catch_unwind(|| feed(&target, data));
        assert!(fed.is_ok(), "{path} fails {name}");
    }
    let changed = {
        let files = files.clone();
        (any::<usize>(), proptest::collection::vec(edit(), 1..8))
            .prop_map(move |(file, edits)| edited(&files, file, &edits))
    };
    let input =
        prop_oneof![2 => changed, 2 => fitting(name), 1 => proptest::collection::vec(any::<u8>(), 0..200)];
    let config = Config {
        cases: level::of(Work::FuzzCases),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&level::seed().to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let outcome = runner.run(&input, |data| {
        feed(&target, &data);
        Ok(())
    });
    if let Err(failure) = outcome {
        let text = match &failure {
            proptest::test_runner::TestError::Fail(_, data) => String::from_utf8_lossy(data).into_owned(),
            proptest::test_runner::TestError::Abort(_) => String::new(),
        };
        panic!("{name}, HYPERTY_SEED={}: {failure}\nas text: {text}", level::seed());
    }
}

macro_rules! driven {
    ($($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                driven(stringify!($name));
            }
        )+

        /// Nothing is left out.
        #[test]
        fn every_target_is_driven_and_has_a_door_for_the_fuzzer() {
            let driven = [$(stringify!($name)),+];
            let known = TARGETS.map(|target| target.name);
            assert_eq!(driven, known);
            for name in known {
                let door = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/fuzz_targets/{name}.rs"));
                let text = std::fs::read_to_string(&door).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(text.contains(&format!("fuzz::{name}::judge(data)")), "{name}");
            }
        }
    };
}

driven!(envelope, bodies, url, change, schema, policy, token, storage, session, stub, backup);

/// The driver can fail: on what a rule forbids, and on what takes too much.
#[test]
fn what_is_wrong_is_found() {
    fn wasteful(data: &[u8]) {
        drop(std::hint::black_box(vec![0_u8; data.len() * 1_000]));
    }
    let greedy = Target { work: wasteful, ..target("url") };
    assert!(std::panic::catch_unwind(|| feed(&greedy, &[b'x'; 4_096])).is_err(), "too much is not noticed");
    let wrong = Target { judge: |data| assert!(data.is_empty()), ..target("url") };
    assert!(std::panic::catch_unwind(|| feed(&wrong, b"x")).is_err(), "a broken rule is not noticed");
}
