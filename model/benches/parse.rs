//! How fast a message is decoded to a routable form, beside what it is compared with, in the same run:
//! `cargo bench -p hyperty-model --bench parse`
//!
//! | row | does |
//! |---|---|
//! | `from_frame` | what a relay does: all JSON checked, addresses parsed and checked, reserved members found |
//! | `header` | `serde_json` into a typed header that borrows, the body raw; addresses stay text |
//! | `value` | `serde_json` into a tree |
//! | `find to` | only looks for the top-level `to`, checks nothing |
//! | `relayed` | `from_frame`, and the identity of the sender put into the body |
//! | `wire` | a message made here, encoded |
//!
//! The rows take turns within each round, so that whatever else the machine does hits all of them, and the table shows
//! the lower quartile of the rounds, because it only ever adds. The ratios count, not the nanoseconds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyperty_model::message::{Decoded, IdentityEdit, Limits, Rewrite};
use hyperty_model::{Body, Message, MessageType, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const ROUNDS: usize = 100;
const TURN: Duration = Duration::from_millis(4);
const ROWS: [&str; 6] = ["from_frame", "header", "value", "find to", "relayed", "wire"];

#[derive(Deserialize)]
#[allow(dead_code, reason = "what is read is only timed")]
struct Header<'a> {
    id: u64,
    #[serde(rename = "type")]
    kind: &'a str,
    from: &'a str,
    to: &'a str,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn main() {
    println!("{:>8} {:>12} {:>8} {:>10} {:>10}", "bytes", "", "ns", "/ header", "/ find to");
    for value_bytes in [100, 1_000, 10_000] {
        let object = "comm://example.com/0c5e9bd2-8b0e-4c3a-9d8e-6f2b1a7c4d10";
        let (from, to) = (Url::parse(object).unwrap(), Url::parse(&format!("{object}/changes")).unwrap());
        let letters = (0..value_bytes).map(|at| char::from(b'a' + (at * 11 % 26) as u8));
        let body = json!({"attribute": "days.17.note", "value": letters.collect::<String>(), "version": 1_234_567_890});
        let message = |body: Value| {
            Message::new(1_234_567_890, MessageType::Update, from.clone(), to.clone(), Body::of(body))
        };
        let encoded = message(body.clone());
        let frame = encoded.wire();
        let times = measure(frame, encoded.body());
        for (row, nanos) in ROWS.iter().zip(times) {
            let (header, find_to) = (nanos / times[1], nanos / times[3]);
            println!("{:>8} {row:>12} {nanos:>8.0} {header:>10.2} {find_to:>10.2}", frame.len());
        }
    }
}

/// What each row takes, in nanoseconds.
fn measure(frame: &Bytes, body: &Body) -> [f64; ROWS.len()] {
    let limits = Limits::default();
    let identity =
        json!({"userProfile": {"userURL": "user://example.com/alice", "guid": "user-guid://0c5e9bd2"}});
    let identity = serde_json::value::to_raw_value(&identity).unwrap();
    let rewrite = Rewrite { identity: IdentityEdit::Set(&identity), strip_auth: true, via: None };
    let decode = || match Message::from_frame(black_box(frame).clone(), &limits) {
        Ok(Decoded::One(message)) => message,
        other => panic!("{other:?}"),
    };
    let made = decode();
    let mut samples = [const { Vec::new() }; ROWS.len()];
    for _ in 0..ROUNDS {
        let turns = [
            timed(&decode),
            timed(|| serde_json::from_slice::<Header<'_>>(black_box(frame)).unwrap()),
            timed(|| serde_json::from_slice::<Value>(black_box(frame)).unwrap()),
            timed(|| find_to(black_box(frame)).unwrap()),
            timed(|| decode().relayed(&rewrite).unwrap()),
            timed(|| {
                let message = Message::new(
                    7,
                    MessageType::Update,
                    made.from().clone(),
                    made.to().clone(),
                    body.clone(),
                );
                message.wire().len()
            }),
        ];
        for (samples, turn) in samples.iter_mut().zip(turns) {
            samples.push(turn);
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 4]
    })
}

/// Nanoseconds of one call, over as many as fit a turn.
fn timed<T>(mut call: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let mut calls = 0u32;
    loop {
        for _ in 0..64 {
            black_box(call());
        }
        calls += 64;
        let elapsed = start.elapsed();
        if elapsed >= TURN {
            return elapsed.as_nanos() as f64 / f64::from(calls);
        }
    }
}

/// The top-level string member `to` of a well-formed frame.
fn find_to(frame: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut is_key, mut found) = (0, true, false);
    let mut at = 0;
    while let Some(&byte) = frame.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' => is_key = false,
            b',' => is_key = true,
            b'"' => {
                let start = at + 1;
                at = start;
                while frame[at] != b'"' {
                    at += if frame[at] == b'\\' { 2 } else { 1 };
                }
                let text = &frame[start..at];
                if depth == 1 && is_key {
                    found = text == b"to";
                } else if depth == 1 && found {
                    return Some(text);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
