//! Applying a change against the least it could cost: writing the same member into the map by hand.
//!
//! `cargo bench -p hyperty-model --bench apply`. Each line is the median of several rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hyperty_model::change::{Change, ChangeOp, apply, apply_with_inverse, diff};
use serde_json::{Value, json};

/// Odd, so that there is a median; enough that a disturbed round does not matter.
const ROUNDS: usize = 15;

/// Long enough for the clock to be exact, short enough for all of it to take a few seconds.
const ROUND: Duration = Duration::from_millis(20);

fn main() {
    let small = json!({"topic": "release", "open": 3, "owner": "alice", "ok": true, "items": [1, 2, 3]});
    let topic = json!("retrospective");
    let by_hand = measure(&small, |data| {
        if let Some(slot) = data.as_object_mut().and_then(|map| map.get_mut(black_box("topic"))) {
            *slot = black_box(&topic).clone();
        }
    });
    println!("{:<44} {:>9} {:>8}", "", "ns", "ratio");
    report("map member by hand", by_hand, by_hand);

    let cases = [
        ("set one member", set("topic", topic.clone())),
        ("set one member to a number", set("open", json!(4))),
        ("set an array element", set("items.1", json!(7))),
    ];
    for (name, change) in &cases {
        report(name, measure(&small, |data| drop(apply(data, black_box(change)))), by_hand);
    }
    let change = &cases[0].1;
    report(
        "set one member, and undo it",
        measure(&small, |data| {
            if let Ok(inverse) = apply_with_inverse(data, black_box(change)) {
                inverse.undo(data);
            }
        }),
        by_hand,
    );

    let deep = json!({"stations": {"seattle": {"years": {"2015": {"rain": 1.5}}}}});
    let change = set("stations.seattle.years.2015.rain", json!(2.5));
    report("set five levels down", measure(&deep, |data| drop(apply(data, black_box(&change)))), by_hand);

    let large = object_of(10_000);
    let change = set("key5000", json!(1));
    report(
        "set one of 10,000 members",
        measure(&large, |data| drop(apply(data, black_box(&change)))),
        by_hand,
    );

    let (before, after) = (object_of(200), edited(object_of(200)));
    report(
        "diff 200 members, one changed",
        measure(&before, |data| drop(diff(data, black_box(&after)))),
        by_hand,
    );
}

fn set(path: &str, value: Value) -> Change {
    Change::new(path, ChangeOp::Set(value))
}

fn object_of(members: usize) -> Value {
    (0..members).map(|at| (format!("key{at}"), json!({"at": at, "text": "some text"}))).collect()
}

fn edited(mut data: Value) -> Value {
    data["key100"]["at"] = json!(-1);
    data
}

/// The median time of one call, in nanoseconds.
fn measure(data: &Value, mut call: impl FnMut(&mut Value)) -> f64 {
    let mut data = data.clone();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let mut calls = 0_u32;
            while start.elapsed() < ROUND {
                for _ in 0..100 {
                    call(black_box(&mut data));
                }
                calls += 100;
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn report(name: &str, nanoseconds: f64, baseline: f64) {
    println!("{name:<44} {nanoseconds:>9.1} {:>7.2}x", nanoseconds / baseline);
}
