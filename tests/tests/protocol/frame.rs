//! The frame itself: what is passed, failed and skipped, and what a report says of it.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::protocol::{
    Capabilities, Capability, Case, Failure, Outcome, Report, Runner, Stage, Stop, UnderTest, Verdict,
};
use serde_json::json;

/// Has a registry, and nothing else.
struct Nothing;

impl UnderTest for Nothing {
    fn capabilities(&self) -> Capabilities {
        [Capability::Registry].into()
    }
}

const fn case(id: &'static str, run: fn(Stage<Nothing>) -> Run) -> Case<Nothing> {
    Case { id, invariants: &["INV-A-1", "INV-A-2"], needs: &[Capability::Registry], run }
}

type Run = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

const CASES: [Case<Nothing>; 9] = [
    case("INV-A-1/passes", |_| Box::pin(async { Ok(()) })),
    case("INV-A-1/fails", |stage| {
        Box::pin(async move {
            let message =
                json!({"id": 1, "type": "read", "from": "a", "to": "b", "body": {"x": "y".repeat(500)}});
            stage.trace.sent("alice", &message);
            Err(Failure::new("INV-A-2", "two is not one").into())
        })
    }),
    case("INV-A-1/waits-in-vain", |_| Box::pin(async { Err(Stop::Broken("nothing came".to_owned())) })),
    case("INV-A-1/panics", |_| Box::pin(async { panic!("of a mistake in the case") })),
    case("INV-A-1/never-ends", |_| Box::pin(std::future::pending())),
    case("INV-A-1/passes-but-something-was-noticed", |stage| {
        Box::pin(async move {
            stage.trace.violated(Failure::new("INV-MSG-1", "a second final answer"));
            Ok(())
        })
    }),
    case("INV-A-1/takes-too-long", |stage| {
        Box::pin(async move { stage.wait(Duration::from_secs(1_000_000), "an age").await })
    }),
    Case {
        id: "INV-B-1/needs-more",
        invariants: &["INV-B-1"],
        needs: &[Capability::Registry, Capability::Grace, Capability::Restart],
        run: |_| Box::pin(async { Err(Stop::Broken("was run".to_owned())) }),
    },
    case("INV-C-1/seeded", |stage| {
        Box::pin(
            async move { Err(Failure::new("INV-A-1", format!("{} {}", stage.seed, stage.nonce)).into()) },
        )
    }),
];

async fn run(runner: Runner) -> Report {
    runner.run(&Arc::new(Nothing), &CASES).await
}

fn broken(report: &Report, id: &str) -> Option<(String, String, Vec<String>)> {
    let case = report.cases.iter().find(|case| case.id.ends_with(id)).unwrap();
    match &case.outcome {
        Outcome::Failed { invariant, detail, trace, .. } => {
            Some((invariant.clone(), detail.clone(), trace.clone()))
        }
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn cases_end_as_they_should() {
    let report = run(Runner::new(5)).await;
    assert_eq!(report.totals(), (1, 6, 2));
    assert_eq!(report.broken(), ["INV-A-1", "INV-A-2", "INV-MSG-1"]);
    assert_eq!(broken(&report, "/passes"), None);
    let (invariant, detail, trace) = broken(&report, "/fails").unwrap();
    assert_eq!((invariant.as_str(), detail.as_str()), ("INV-A-2", "two is not one"));
    assert!(
        trace[0].ends_with("yyy… (508 bytes)") && trace[0].contains("alice >> #1 read a -> b"),
        "{trace:?}"
    );
    assert_eq!(broken(&report, "/waits-in-vain").unwrap().0, "INV-A-1");
    assert_eq!(broken(&report, "/panics").unwrap().1, "panicked: of a mistake in the case");
    assert_eq!(broken(&report, "/never-ends").unwrap().1, "not done after 3600s");
    assert_eq!(broken(&report, "-was-noticed").unwrap().0, "INV-MSG-1");
    let skipped = |id: &str| {
        let case = report.cases.iter().find(|case| case.id.ends_with(id)).unwrap();
        matches!(&case.outcome, Outcome::Skipped { why } if why.contains("grace, restart") || why.contains("an age"))
    };
    assert!(skipped("/needs-more") && skipped("/takes-too-long"));
}

#[tokio::test(start_paused = true)]
async fn a_report_has_a_line_for_each_invariant_and_then_the_failures() {
    let report = run(Runner::new(5).suite("nothing")).await;
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "INV-A-1      FAILED     1 passed   4 failed   3 skipped  (INV-A-1/fails ended early)"
    );
    assert!(lines[1].starts_with("INV-A-2      FAILED     1 passed   1 failed"), "{text}");
    assert!(
        lines[2].starts_with("INV-B-1      skipped ") && lines[2].ends_with("(not declared: grace, restart)")
    );
    assert_eq!(lines[3], "INV-MSG-1    FAILED     0 passed   1 failed   0 skipped");
    assert!(text.contains("\nFAILED INV-A-1/fails: INV-A-2\n  two is not one\n  seed "));
    assert!(text.contains("again: --seed 5 --case INV-A-1/fails"));
    assert!(text.ends_with("nothing: FAILED, 1 cases passed, 6 failed, 2 skipped, seed 5"), "{text}");
    assert_eq!(report.to_junit().matches("<failure").count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_case_does_the_same_with_the_same_seed_alone_or_among_others() {
    let all = run(Runner::new(5)).await;
    let alone = run(Runner::new(5).filter("seeded")).await;
    assert_eq!(alone.cases.len(), 1);
    assert_eq!(broken(&all, "/seeded"), broken(&alone, "/seeded"));
    let other = run(Runner::new(6).nonce("run2").filter("seeded")).await;
    assert!(broken(&other, "/seeded").unwrap().1.ends_with(" run2-8"));
}
