//! Random sequences: messages both ways while connections are lost, and sessions with them.

use std::collections::BTreeSet;

use hyperty_message_bus::{SendError, StubStatus};
use hyperty_model::MessageType;
use proptest::prelude::*;
use serde_json::json;

use super::far::{Far, PEER, inward, numbers};
use super::{End, Tried};
use crate::level::{self, Work};
use crate::suites::{Broken, Checked, Time, block_on, demand};

const ROUTE: &str = "comm://example.com/1/changes";

/// What a random test does next.
#[derive(Debug, Clone)]
enum Step {
    /// Hands the stub so many requests.
    Requests(u8),
    /// Hands it so many updates of an object.
    Updates { object: u8, count: u8 },
    /// The node sends so many messages.
    Inward(u8),
    /// Loses the connection.
    Lose,
    /// Lets the stub connect, and says yes or no to the token it comes with.
    Connect { token_known: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..4_u8).prop_map(Step::Requests),
        3 => (0..3_u8, 1..12_u8).prop_map(|(object, count)| Step::Updates { object, count }),
        2 => (1..6_u8).prop_map(Step::Inward),
        2 => Just(Step::Lose),
        4 => any::<bool>().prop_map(|token_known| Step::Connect { token_known }),
    ]
}

pub(super) fn run(tried: &mut Tried<'_>) {
    let (name, capabilities) = ("whatever is lost, what was taken arrives", tried.capabilities);
    if !capabilities.sessions || capabilities.queue.is_none() {
        return tried.suite.skip(name, "it has no session, or nothing waits");
    }
    // In real time a case takes a second, not a millisecond.
    let all = level::of(Work::SuiteCases);
    let cases = if capabilities.time == Time::Real { all.div_ceil(16) } else { all };
    let (subject, time) = (tried.subject, capabilities.time);
    tried.suite.sequences_of(name, "10.3", cases, proptest::collection::vec(step(), 1..20), |steps| {
        block_on(time, "INV-SES-1", async { Played::of(Far::of(subject)).play(steps).await })
    });
}

/// What was handed to the stub and has not arrived.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    /// `None` for a request.
    object: Option<u8>,
}

struct Played {
    far: Far,
    end: Option<End>,
    limit: usize,
    /// The number of the last token given, and whether there was one.
    tokens: u32,
    taken: Vec<Sent>,
    next: u64,
    arrived: u64,
    times_live: usize,
}

impl Played {
    fn of(far: Far) -> Played {
        let limit = far.capabilities.queue.unwrap_or_default();
        far.set_routes(&[ROUTE]);
        Played { far, end: None, limit, tokens: 0, taken: Vec::new(), next: 0, arrived: 0, times_live: 0 }
    }

    async fn play(mut self, steps: &[Step]) -> Checked {
        for step in steps {
            match *step {
                Step::Requests(count) => self.hand(None, count)?,
                Step::Updates { object, count } => self.hand(Some(object), count)?,
                Step::Inward(count) => self.inward(count).await?,
                Step::Lose => {
                    if let Some(end) = self.end.take() {
                        self.far.lose(end).await?;
                    }
                }
                Step::Connect { token_known } => self.connect(token_known).await?,
            }
            self.settled(step).await?;
        }
        self.connect(true).await?;
        self.settled(&Step::Connect { token_known: true }).await?;
        legal(&self.far.told(), self.times_live)
    }

    fn hand(&mut self, object: Option<u8>, count: u8) -> Checked {
        for _ in 0..count {
            let (kind, to) = match object {
                None => (MessageType::Read, PEER.to_owned()),
                Some(object) => (MessageType::Update, format!("comm://example.com/{object}/changes")),
            };
            let number = self.next;
            self.next += 1;
            match self.far.send(kind, &to, number) {
                Ok(()) => self.taken.push(Sent { number, object }),
                Err(SendError::Closed) => demand!("10.3", false, "{number}: closed, though nobody closed it"),
                Err(SendError::Full) => {
                    let room = self.taken.len() < self.limit;
                    demand!(
                        "10.3",
                        !room,
                        "{number} is refused, {} of {} wait",
                        self.taken.len(),
                        self.limit
                    );
                    let replaces = object.is_some() && self.taken.iter().any(|sent| sent.object == object);
                    let requests = self.taken.iter().filter(|sent| sent.object.is_none()).count();
                    demand!(
                        "10.3",
                        !replaces || requests >= self.limit,
                        "{number} could replace an older update"
                    );
                }
            }
        }
        Ok(())
    }

    async fn inward(&mut self, count: u8) -> Checked {
        let Some(end) = &self.end else { return Ok(()) };
        for _ in 0..count {
            self.far.send_to_stub(end, &inward(self.arrived)).await?;
            self.arrived += 1;
        }
        let all = self.arrived;
        self.far
            .until("5.15/frames", "what the node sent", |far| far.received.lock().len() as u64 >= all)
            .await?;
        let in_order = self.far.received().into_iter().eq(0..all);
        demand!("5.15/frames", in_order, "{all} messages arrived as {:?}", self.far.received());
        Ok(())
    }

    async fn connect(&mut self, token_known: bool) -> Checked {
        if self.end.is_some() {
            return Ok(());
        }
        let mut end = self.far.accept("INV-SES-1").await?;
        let token = (self.tokens > 0).then(|| format!("t{}", self.tokens));
        if let Some(token) = &token {
            let opening = self.far.opening(&mut end, "re-open", Some(token)).await?;
            if token_known {
                self.far.answer(&end, &opening, json!({"code": 200})).await?;
                let live = |far: &Far| far.status() == StubStatus::Live;
                self.far.until("INV-SES-3", "live after a 200", live).await?;
            } else {
                self.far.answer(&end, &opening, json!({"code": 500})).await?;
            }
        }
        if token.is_none() || !token_known {
            let opening = self.far.opening(&mut end, "open", None).await?;
            self.tokens += 1;
            let token = format!("t{}", self.tokens);
            self.far.accept_open(&mut end, &opening, &token).await?;
        }
        self.times_live += 1;
        self.end = Some(end);
        Ok(())
    }

    /// While there is a connection, what was taken has arrived, except updates that newer ones replaced.
    async fn settled(&mut self, after: &Step) -> Checked {
        let Some(end) = &mut self.end else { return Ok(()) };
        let taken = std::mem::take(&mut self.taken);
        let mut frames = Vec::new();
        if let Some(last) = taken.last() {
            while numbers(&frames).last() != Some(&last.number) {
                frames.push(self.far.next(end, "10.3").await?);
            }
        }
        frames.extend(self.far.drain(end).await);
        let is = numbers(&frames);
        demand!("10.3", is.len() == frames.len(), "it sent what nobody gave it: {frames:?}, after {after:?}");
        demand!("10.3", is.is_sorted_by(|a, b| a < b), "{is:?} left, after {after:?}");
        // Requests that are taken while only the newest updates are left push these out too: the gap shows later.
        let objects: BTreeSet<u8> = taken.iter().filter_map(|sent| sent.object).collect();
        let requests = taken.iter().filter(|sent| sent.object.is_none()).count();
        let crowded = requests + objects.len() > self.limit;
        for (at, sent) in taken.iter().enumerate() {
            let newer = taken[at + 1..].iter().any(|other| other.object == sent.object);
            let may_go = sent.object.is_some() && (newer && taken.len() > self.limit || crowded);
            let gone = !is.contains(&sent.number);
            demand!("10.3", !gone || may_go, "{sent:?} of {taken:?} was lost, {is:?} left, after {after:?}");
        }
        let most = self.limit;
        demand!(
            "INV-EXT-4",
            is.len() <= most,
            "{} messages waited, at most {most} may, after {after:?}",
            is.len()
        );
        demand!(
            "INV-SES-3",
            self.far.status() == StubStatus::Live,
            "{:?} after {after:?}",
            self.far.status()
        );
        Ok(())
    }
}

/// INV-SES-3: each status follows from the one before, and live was told as often as a session was granted.
fn legal(told: &[StubStatus], times_live: usize) -> Checked {
    use StubStatus::{Created, Disconnected, Failed, InProgress, Live};
    demand!("INV-SES-3", told.first() == Some(&Created), "the first status told is {:?}", told.first());
    for pair in told.windows(2) {
        let follows = matches!(
            (pair[0], pair[1]),
            (Created | Failed | Disconnected, InProgress)
                | (InProgress, Live | Failed)
                | (InProgress | Live | Failed | Created, Disconnected)
        );
        if !follows {
            return Err(Broken::new("INV-SES-3", format!("{:?} after {:?}: {told:?}", pair[1], pair[0])));
        }
    }
    let live = told.iter().filter(|status| **status == Live).count();
    demand!(
        "INV-SES-3",
        live == times_live,
        "live was told {live} times, {times_live} sessions were granted"
    );
    Ok(())
}
