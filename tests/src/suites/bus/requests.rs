//! Requests and their answers against a model of what each waits for.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Message, MessageId, MessageType, StatusCode, Url};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::Instant;

use super::recorder::{Log, url};
use super::{Bus, Fresh, Handle};
use crate::suites::{Checked, Suite, Time, block_on, demand};

/// Who may be asked; each listens and answers only when a step says so.
const ASKED: [&str; 2] = ["comm://example.com/a/subscription", "hyperty-runtime://example.com/r/sm"];
/// Who answers in the place of each, and may: a derived URL of the same object, a component of the same runtime.
const KIN: [&str; 2] = ["comm://example.com/a", "hyperty-runtime://example.com/r"];
const STRANGER: &str = "hyperty://elsewhere.example/stranger";

/// What a random test does next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends a request that waits so many seconds and a half.
    Ask { asked: usize, wait: u64 },
    /// Answers one of the requests, modulo how many there are.
    Answer { which: usize, by: By, code: u16, id: Id },
    /// Lets whole seconds pass.
    Pass { seconds: u64 },
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    Asked,
    Kin,
    /// Somebody else, who names the one that was asked as the source.
    InTheNameOf,
    Stranger,
}

/// The id of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id {
    Same,
    AsText,
    Another,
}

fn step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![4 => Just(By::Asked), 1 => Just(By::Kin), 1 => Just(By::InTheNameOf), 2 => Just(By::Stranger)];
    let id = prop_oneof![4 => Just(Id::Same), 2 => Just(Id::AsText), 1 => Just(Id::Another)];
    let code = prop_oneof![2 => Just(100), 1 => Just(183), 3 => Just(200), 1 => Just(403), 1 => Just(500)];
    prop_oneof![
        3 => (0..ASKED.len(), 0..20_u64).prop_map(|(asked, wait)| Step::Ask { asked, wait }),
        5 => (any::<usize>(), by, code, id)
            .prop_map(|(which, by, code, id)| Step::Answer { which: which % 8, by, code, id }),
        3 => (1..15_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

pub(super) fn run(suite: &mut Suite, fresh: Fresh<'_>) {
    suite.sequences(
        "each request ends once, by the first final answer or in time",
        "INV-MSG-3",
        proptest::collection::vec(step(), 1..30),
        |steps| block_on(Time::Paused, "INV-MSG-3", play(fresh(), steps)),
    );
    suite.case("an id comes back as it was sent", "INV-MSG-2", || {
        block_on(Time::Paused, "INV-MSG-3", ids_are_echoed(fresh()))
    });
    suite.case("a request to nobody is answered", "INV-MSG-1", || {
        block_on(Time::Paused, "INV-MSG-3", nobody_answers(fresh()))
    });
}

/// One request, as the model sees it.
struct Asked {
    request: Message,
    asked: usize,
    wait: Duration,
    deadline: Instant,
    provisional: usize,
    ended: Option<(StatusCode, Instant)>,
    /// What the caller has seen.
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    provisional: usize,
    ended: Option<(StatusCode, Instant)>,
}

async fn play(bus: Arc<dyn Bus>, steps: &[Step]) -> Checked {
    let _listening: Vec<Handle> = ASKED.iter().map(|to| bus.listen(&url(to), Box::new(|_| ()))).collect();
    let mut all: Vec<Asked> = Vec::new();
    for step in steps {
        match *step {
            Step::Ask { asked, wait } => all.push(ask(&bus, all.len(), asked, wait)),
            Step::Answer { which, by, code, id } if !all.is_empty() => {
                let which = which % all.len();
                answer(&*bus, &mut all[which], by, StatusCode(code), id);
            }
            Step::Answer { .. } => {}
            Step::Pass { seconds } => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
        settle().await;
        let now = Instant::now();
        for (number, one) in all.iter_mut().enumerate() {
            if one.ended.is_none() && one.deadline <= now {
                one.ended = Some((StatusCode::TIMEOUT, one.deadline));
            }
            check(number, one, step)?;
        }
    }
    // Whatever is left ends by itself.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (number, one) in all.iter_mut().enumerate() {
        one.ended = one.ended.or(Some((StatusCode::TIMEOUT, one.deadline)));
        check(number, one, &Step::Pass { seconds: 60 })?;
    }
    Ok(())
}

fn ask(bus: &Arc<dyn Bus>, number: usize, asked: usize, wait: u64) -> Asked {
    // Half a second apart from all that happens at whole ones.
    let wait = Duration::from_millis(wait * 1_000 + 500);
    let id = 1_000 + number as u64;
    let request = Message::new(id, MessageType::Subscribe, bus.address(), url(ASKED[asked]), Body::empty());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (told, ended) = (Arc::clone(&seen), Arc::clone(&seen));
    let waiting = bus.request(request.clone(), wait, Box::new(move |_| told.lock().provisional += 1));
    tokio::spawn(async move {
        let answer = waiting.await;
        ended.lock().ended = Some((answer.code(), Instant::now()));
    });
    let deadline = Instant::now() + wait;
    Asked { request, asked, wait, deadline, provisional: 0, ended: None, seen }
}

fn answer(bus: &dyn Bus, one: &mut Asked, by: By, code: StatusCode, id: Id) {
    let body = ResponseBody::of(code);
    let (from, body) = match by {
        By::Asked => (url(ASKED[one.asked]), body),
        By::Kin => (url(KIN[one.asked]), body),
        By::InTheNameOf => (url(STRANGER), body.with_source(url(ASKED[one.asked]))),
        By::Stranger => (url(STRANGER), body),
    };
    let number = one.request.id().as_u64().unwrap_or_default();
    let id = match id {
        Id::Same => one.request.id().clone(),
        Id::AsText => MessageId::from_text(&number.to_string()),
        Id::Another => MessageId::from(number + 500),
    };
    let counts = id == *one.request.id() && !matches!(by, By::Stranger);
    let to: Url = one.request.from().clone();
    bus.post(Message::new(id, MessageType::Response, from, to, body));
    if !counts || one.ended.is_some() {
        return;
    }
    if code.is_provisional() {
        one.provisional += 1;
        one.deadline = Instant::now() + one.wait;
    } else {
        one.ended = Some((code, Instant::now()));
    }
}

fn check(number: usize, one: &Asked, after: &Step) -> Checked {
    let seen = one.seen.lock();
    let (is, should) = (seen.ended, one.ended);
    match (is, should) {
        (None, Some((StatusCode::TIMEOUT, _))) => {
            demand!("INV-MSG-3", false, "request {number} still waits, its time is over, after {after:?}");
        }
        (None, Some((code, _))) => {
            demand!(
                "INV-MSG-3",
                false,
                "request {number} still waits, {code} was its answer, after {after:?}"
            );
        }
        (Some((code, _)), None) => {
            let early = code == StatusCode::TIMEOUT;
            let rule = if early { "2.5" } else { "INV-MSG-1" };
            demand!(rule, false, "request {number} ended with {code}, nothing ends it yet, after {after:?}");
        }
        (Some((is, at)), Some((should, when))) => {
            demand!(
                "INV-MSG-1",
                is == should,
                "request {number} ended with {is}, its first final answer was {should}"
            );
            let off = at.max(when) - at.min(when);
            demand!("2.5", off < Duration::from_millis(5), "request {number} ended {off:?} off its time");
        }
        (None, None) => {}
    }
    let (is, should) = (seen.provisional, one.provisional);
    demand!(
        "2.5",
        is == should,
        "request {number}: {is} of {should} provisional answers told, after {after:?}"
    );
    Ok(())
}

/// Lets everything that is ready run.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn ids_are_echoed(bus: Arc<dyn Bus>) -> Checked {
    for id in [MessageId::from(6_u64), MessageId::from_text("6"), MessageId::from_text("first")] {
        let answering = Arc::downgrade(&bus);
        let _asked = bus.listen(
            &url(ASKED[0]),
            Box::new(move |request| {
                if let Some(bus) = answering.upgrade() {
                    bus.post(request.reply(ResponseBody::ok()));
                }
            }),
        );
        let request =
            Message::new(id.clone(), MessageType::Read, bus.address(), url(ASKED[0]), Body::empty());
        let written = |message: &Message| {
            serde_json::from_slice::<serde_json::Value>(message.wire()).unwrap_or_default()["id"].clone()
        };
        let sent = written(&request);
        let answer = bus.request(request, Duration::from_secs(1), Box::new(|_| ())).await;
        let (code, back) = (answer.code(), written(&answer));
        demand!(
            "INV-MSG-2",
            code == StatusCode::OK && sent == back,
            "{sent} came back as {back} with {code}"
        );
    }
    Ok(())
}

async fn nobody_answers(bus: Arc<dyn Bus>) -> Checked {
    let log = Log::new();
    let others = bus.listen(&bus.address(), log.handler());
    let request = Message::new(1_u64, MessageType::Read, bus.address(), url(ASKED[0]), Body::empty());
    let begun = Instant::now();
    let answer = bus.request(request, Duration::from_secs(9), Box::new(|_| ())).await;
    let code = answer.code();
    demand!("INV-MSG-1", code == StatusCode::NOT_FOUND, "a request to nobody ended with {code}");
    demand!("INV-MSG-1", begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    let more = log.take().len();
    demand!("INV-MSG-1", more == 0, "{more} more answers came");
    drop(others);
    Ok(())
}
