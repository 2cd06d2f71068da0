//! What scripts do to links and machines, as programs of one's own see it; and that a failure tells all.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::reference::Invariant;
use hyperty_conformance::sim::{Crash, Direction, LinkProfile, Notice, RuntimeSpec, Seat, Sim, SimBuilder};
use hyperty_runtime::Hyperty;
use hyperty_syncher::Accept;
use parking_lot::Mutex;
use serde_json::json;

const DOMAIN: &str = "example.com";

/// What an observer was told: the versions, and when.
type Seen = Arc<Mutex<Vec<(u64, Duration)>>>;

/// Alice counts every second, Bob and Carol look.
fn counting(seed: u64) -> (SimBuilder, Seen, Seen) {
    let url = Arc::new(Mutex::new(None));
    let told = Arc::clone(&url);
    let count = move |alice: Hyperty, seat: Seat| {
        let told = Arc::clone(&told);
        async move {
            let schema = seat.runtime.schema(SCHEMA).unwrap();
            let create = alice.create(schema).name("n").data(json!({"n": 0})).accept(Accept::All);
            let counter = create.await.unwrap();
            *told.lock() = Some(counter.url().clone());
            for n in 1.. {
                seat.sleep(Duration::from_secs(1)).await;
                counter.set("n", n).await.unwrap();
            }
        }
    };
    let look = move |seen: Seen| {
        let url = Arc::clone(&url);
        move |hyperty: Hyperty, seat: Seat| {
            let (url, seen) = (Arc::clone(&url), Arc::clone(&seen));
            async move {
                seat.sleep(Duration::from_millis(500)).await;
                let url = url.lock().clone().expect("the object is there");
                let mut copy = hyperty.subscribe(&url).await.unwrap();
                while let Some(change) = copy.next().await {
                    seen.lock().push((change.version, seat.sim.now()));
                }
            }
        }
    };
    let (bob, carol) = (Seen::default(), Seen::default());
    let runtime = |name| RuntimeSpec::new(name, DOMAIN).schema(SCHEMA);
    let builder = Sim::builder(seed)
        .runtime(runtime("alice").hyperty("count", count))
        .runtime(runtime("bob").hyperty("look", look(Arc::clone(&bob))))
        .runtime(runtime("carol").hyperty("look", look(Arc::clone(&carol))));
    (builder, bob, carol)
}

fn last(seen: &Seen) -> u64 {
    seen.lock().last().map_or(0, |(version, _)| *version)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn what_a_partition_holds_back_arrives_when_it_ends() {
    let (builder, bob, carol) = counting(1);
    let run = builder.run(async |sim| {
        sim.sleep(seconds(5)).await;
        sim.hold("bob", DOMAIN, Direction::Down);
        let before = last(&bob);
        sim.sleep(seconds(10)).await;
        assert_eq!(last(&bob), before, "nothing comes through");
        assert!(last(&carol) >= before + 9, "nobody else waits");
        sim.restore("bob", DOMAIN);
        sim.sleep(seconds(2)).await;
        assert_eq!(last(&bob), last(&carol));
        let versions: Vec<u64> = bob.lock().iter().map(|(version, _)| *version).collect();
        assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "one by one: {versions:?}");
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_half_open_connection_is_noticed_and_made_up_for() {
    let (builder, bob, carol) = counting(2);
    let run = builder.run(async |sim| {
        sim.sleep(seconds(5)).await;
        sim.cut("bob", DOMAIN, Notice::Silent);
        sim.sleep(seconds(1)).await;
        sim.restore("bob", DOMAIN);
        let before = last(&bob);
        sim.sleep(seconds(20)).await;
        assert_eq!(last(&bob), before, "the old connection is of no use, and nobody has noticed");
        sim.sleep(seconds(70)).await;
        assert!(last(&bob) + 1 >= last(&carol), "{} of {}", last(&bob), last(&carol));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn one_who_reads_a_byte_per_second_delays_nobody() {
    let (builder, bob, carol) = counting(3);
    let run = builder.run(async |sim| {
        sim.sleep(seconds(5)).await;
        sim.set_profile("bob", DOMAIN, LinkProfile { down: Some(1), ..LinkProfile::default() });
        let before = last(&bob);
        sim.sleep(seconds(30)).await;
        assert!(last(&bob) <= before + 1, "a frame takes minutes");
        let late = |(version, at): &(u64, Duration)| *at > seconds(version + 1);
        assert!(last(&carol) >= before + 29 && !carol.lock().iter().any(late), "{:?}", carol.lock());
        sim.set_profile("bob", DOMAIN, LinkProfile::default());
        sim.sleep(seconds(2)).await;
        assert_eq!(last(&bob), last(&carol));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_node_without_power_answers_nobody_and_one_that_was_killed_refuses() {
    let (builder, bob, carol) = counting(4);
    let run = builder.run(async |sim| {
        sim.sleep(seconds(5)).await;
        for how in [Crash::POWER, Crash::KILLED] {
            sim.crash(DOMAIN, how);
            sim.sleep(seconds(5)).await;
            sim.start(DOMAIN);
            sim.sleep(seconds(100)).await;
            assert!(last(&bob) + 1 >= last(&carol) && last(&bob) > 90, "{how:?}: {}", last(&bob));
        }
        assert_eq!(sim.crashes(), 2);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_failure_names_seed_invariant_trace_and_command() {
    let careless = |_: Hyperty, seat: Seat| async move {
        seat.sleep(seconds(3)).await;
        seat.note("about to fail");
        panic!("a careless program");
    };
    let spec = RuntimeSpec::new("alice", DOMAIN).hyperty("careless", careless);
    let run = Sim::builder(77).runtime(spec).replay("again 77").run(async |sim| {
        sim.sleep(seconds(60)).await;
        Ok(())
    });
    let failure = run.unwrap_err();
    assert_eq!((failure.seed, failure.violation.invariant), (77, Invariant::I12));
    assert!(failure.at >= seconds(3) && failure.at < seconds(4), "{:?}", failure.at);
    let text = failure.to_string();
    for part in ["about to fail", "a careless program", "I12", "seed 77", "again 77"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}
