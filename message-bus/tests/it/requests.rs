//! Waiting for answers, under arbitrary orders of responses and times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_message_bus::{BusConfig, LIMIT, MessageBus, Request};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, Message, MessageId, MessageType, StatusCode, Url};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Log, body, bus, bus_with, message, response, runtime, url};

const HO: &str = "hyperty://example.com/ho";
const O: &str = "comm://example.com/o";
const SUBSCRIPTION: &str = "comm://example.com/o/subscription";

/// A bus where the requests of these tests have an addressee that says nothing by itself.
fn silent_bus(config: BusConfig) -> MessageBus {
    let bus = bus_with(config);
    for to in [O, SUBSCRIPTION] {
        // The bus is gone when the test is; the listeners stay as long.
        std::mem::forget(bus.listen(&url(to), |_| ()).unwrap());
    }
    bus
}

#[derive(Debug, Clone, Copy)]
struct Reply {
    /// In steps of 10 ms; deadlines lie between two steps.
    at: u64,
    code: u16,
    /// The id as text, which is the same id (INV-MSG-2).
    quoted: bool,
    stranger: bool,
}

fn replies() -> impl Strategy<Value = Vec<Reply>> {
    let code = prop_oneof![3 => Just(100), 1 => Just(183), 2 => Just(200), 1 => Just(404), 1 => Just(500)];
    let reply = (0_u64..60, code, any::<bool>(), prop::bool::weighted(0.2));
    let reply = reply.prop_map(|(at, code, quoted, stranger)| Reply { at, code, quoted, stranger });
    prop::collection::vec(reply, 0..12).prop_map(|mut replies| {
        replies.sort_by_key(|reply| reply.at);
        replies
    })
}

/// What must come out: the code, after how many ms, and how many provisional responses before.
fn expected(replies: &[Reply], timeout: u64) -> (u16, u64, usize) {
    let (mut deadline, mut progress) = (timeout, 0);
    for reply in replies.iter().filter(|reply| !reply.stranger) {
        let at = reply.at * 10;
        if at > deadline {
            break;
        }
        if reply.code >= 200 {
            return (reply.code, at, progress);
        }
        progress += 1;
        deadline = at + timeout;
    }
    (408, deadline, progress)
}

fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// INV-MSG-1, INV-MSG-2, INV-MSG-3: one final response, the first; by its deadline, which provisional responses
    /// move; whatever else comes, and whoever else sends.
    #[test]
    fn a_caller_gets_one_final_response_or_408_in_time(
        replies in replies(),
        timeout in (1_u64..20).prop_map(|steps| steps * 10 + 5),
    ) {
        let (code, after, progress) = paused(async {
            let bus = silent_bus(BusConfig::default());
            let request = message(&bus, MessageType::Subscribe, HO, SUBSCRIPTION);
            let sending = send_replies(bus.clone(), request.clone(), replies.clone());
            let seen = Arc::new(AtomicUsize::new(0));
            let counting = Arc::clone(&seen);
            let start = Instant::now();
            let waiting = async {
                let waiting = bus.request(request).timeout(Duration::from_millis(timeout));
                let answer = waiting.on_provisional(move |_| _ = counting.fetch_add(1, Ordering::Relaxed)).await;
                (answer.code().0, start.elapsed().as_millis() as u64, seen.load(Ordering::Relaxed))
            };
            let (outcome, ()) = tokio::join!(waiting, sending);
            assert_eq!(bus.counters().pending, 0);
            outcome
        });
        prop_assert_eq!((code, after, progress), expected(&replies, timeout));
    }

    /// INV-MSG-1, INV-MSG-2: of many requests of one sender each gets the first final response to its own id, in
    /// whatever order they come; what is late, second, or for nobody who waits goes to the listeners.
    #[test]
    fn many_requests_do_not_get_each_others_answers(moves in moves()) {
        paused(async {
            let (bus, strays) = (silent_bus(BusConfig::default()), Log::new());
            let stray = strays.clone();
            let _strays = bus.listen(&url(HO), move |answer| stray.add(answer.clone())).unwrap();
            let asked: Vec<_> = (0..MANY).map(|_| message(&bus, MessageType::Read, HO, O)).collect();
            let mut waiting: Vec<Option<Request>> = (0..MANY).map(|_| None).collect();
            let (mut sent, mut answered) = ([false; MANY], [None; MANY]);
            for (number, &(at, what)) in moves.iter().enumerate() {
                match what {
                    Move::Send if !sent[at] => {
                        let mut request = bus.request(asked[at].clone());
                        request.send();
                        (sent[at], waiting[at]) = (true, Some(request));
                    }
                    Move::Send => {}
                    Move::GiveUp => waiting[at] = None,
                    Move::Answer(code) => {
                        let body = ResponseBody::of(StatusCode(code)).with_value(json!(number));
                        bus.post(asked[at].reply(body));
                        let awaited = waiting[at].is_some() && answered[at].is_none();
                        assert_eq!(strays.take().len(), usize::from(!awaited));
                        if awaited && code >= 200 {
                            answered[at] = Some(number);
                        }
                    }
                }
            }
            for (waiting, number) in waiting.into_iter().zip(answered) {
                if let Some(waiting) = waiting {
                    let answer = body(&waiting.await);
                    match number {
                        Some(number) => assert_eq!(answer.value, Some(json!(number))),
                        None => assert_eq!(answer.code, StatusCode::TIMEOUT),
                    }
                }
            }
            assert_eq!(bus.counters().pending, 0);
        });
    }
}

const MANY: usize = 6;

#[derive(Debug, Clone, Copy)]
enum Move {
    Send,
    GiveUp,
    Answer(u16),
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let code = prop::sample::select(vec![100, 200, 404, 500]);
    let one = prop_oneof![4 => Just(Move::Send), 1 => Just(Move::GiveUp), 6 => code.prop_map(Move::Answer)];
    prop::collection::vec((0..MANY, one), 0..60)
}

async fn send_replies(bus: MessageBus, request: Message, replies: Vec<Reply>) {
    let start = Instant::now();
    for reply in replies {
        tokio::time::sleep_until(start + Duration::from_millis(reply.at * 10)).await;
        let id = request.id().as_u64().unwrap();
        let id = if reply.quoted { MessageId::from_text(&id.to_string()) } else { id.into() };
        let from = if reply.stranger { "comm://example.com/other" } else { O };
        let answer = ResponseBody::of(StatusCode(reply.code));
        bus.post(Message::new(id, MessageType::Response, url(from), url(HO), answer));
    }
}

#[tokio::test(start_paused = true)]
async fn the_synthetic_408_has_the_form_of_the_protocol_inv_msg_3() {
    let bus = silent_bus(BusConfig::default());
    let request = bus.new_message(MessageType::Read, &url(HO), &url(O), json!({ "attribute": "a" }));
    let start = Instant::now();
    let answer = bus.request(request.clone()).await;
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    let wire: Value = serde_json::from_slice(answer.wire()).unwrap();
    assert_eq!(
        wire,
        json!({
            "id": request.id(), "type": "response", "from": O, "to": HO,
            "body": {
                "code": 408, "desc": "Response timeout!", "description": "Response timeout!",
                "source": runtime().as_str(),
                "value": serde_json::from_slice::<Value>(request.wire()).unwrap(),
            },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn who_may_answer_for_whom() {
    let cases = [
        (O, O, None, true),
        (SUBSCRIPTION, O, None, true),
        (O, SUBSCRIPTION, None, true),
        (SUBSCRIPTION, "comm://example.com/o/changes", None, false),
        ("comm://example.com/o/changes", "comm://example.com/o/p/changes", None, false),
        (O, "comm://example.com/o/p", None, false),
        (O, "comm://example.com/o2", None, false),
        (O, "comm://example.com/o2", Some(O), true),
        (O, "comm://example.com/o2", Some("comm://example.com/o3"), false),
        ("hyperty-runtime://a/r1/sm", "hyperty-runtime://a/r1", None, true),
        ("hyperty-runtime://a/r1", "hyperty-runtime://a/r12/sm", None, false),
        ("domain://msg-node.a/sm", "domain://msg-node.a/sm", None, true),
        ("domain://msg-node.a/sm", "domain://registry.a", None, false),
        ("hyperty://a/x", "hyperty://a/xy", None, false),
    ];
    for (asked, from, source, accepted) in cases {
        let (bus, log) = (bus(), Log::new());
        let strays = log.clone();
        let _strays = bus.listen(&url(HO), move |_| strays.add(())).unwrap();
        let _asked = bus.listen(&url(asked), |_| ()).unwrap();
        let request = message(&bus, MessageType::Read, HO, asked);
        let mut waiting = bus.request(request.clone());
        waiting.send();
        let source = source.map(|source| ResponseBody::ok().with_source(url(source)));
        let id = request.id().clone();
        bus.post(Message::new(
            id,
            MessageType::Response,
            url(from),
            url(HO),
            source.unwrap_or(ResponseBody::ok()),
        ));
        let code = waiting.await.code().0;
        assert_eq!(code == 200, accepted, "{asked} answered by {from}");
        assert_eq!(
            log.take().len(),
            usize::from(!accepted),
            "a response that matches nothing goes to the listeners"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_a_final_failure() {
    let bus = silent_bus(BusConfig::default());
    for body in [json!({}), json!({ "code": "error" }), json!({ "code": null })] {
        let request = message(&bus, MessageType::Read, HO, O);
        let mut waiting = bus.request(request.clone());
        waiting.send();
        bus.post(request.reply(body));
        let start = Instant::now();
        assert_eq!(waiting.await.code(), StatusCode::INTERNAL);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_listened_to_on_a_provisional_response_hears_the_next_message() {
    let (bus, log) = (silent_bus(BusConfig::default()), Log::new());
    let channel: Url = url("comm://example.com/o/children/notes");
    let (listening, notes, at) = (bus.clone(), log.clone(), channel.clone());
    let kept = parking_lot::Mutex::new(None);
    let request = message(&bus, MessageType::Subscribe, HO, O);
    let mut waiting = bus.request(request.clone()).on_provisional(move |_| {
        let notes = notes.clone();
        *kept.lock() = Some(listening.listen(&at, move |_| notes.add("note")).unwrap());
    });
    waiting.send();
    bus.post(response(&request, 100));
    bus.post(bus.new_message(MessageType::Create, &url(O), &channel, Body::empty()));
    bus.post(response(&request, 200));
    assert_eq!(log.take(), ["note"]);
    assert_eq!(waiting.await.code(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_table_is_bounded_and_giving_up_makes_room() {
    let bus = silent_bus(BusConfig { pending_max: 1, ..BusConfig::default() });
    let request = message(&bus, MessageType::Read, HO, O);
    let mut first = bus.request(request.clone());
    first.send();
    let refused = bus.request(message(&bus, MessageType::Read, HO, O)).await;
    assert_eq!(refused.code(), StatusCode::INTERNAL);
    assert_eq!(body(&refused).reason.as_deref(), Some(LIMIT));
    assert_eq!(bus.counters().pending, 1);
    drop(first);
    assert_eq!(bus.counters().pending, 0);
    let mut second = bus.request(request.clone());
    second.send();
    bus.post(response(&request, 200));
    assert_eq!(second.await.code(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn one_id_waits_once() {
    let bus = silent_bus(BusConfig::default());
    let request = message(&bus, MessageType::Read, HO, O);
    let mut first = bus.request(request.clone());
    first.send();
    assert_eq!(bus.request(request.clone()).await.code(), StatusCode::INTERNAL);
    bus.post(response(&request, 200));
    assert_eq!(first.await.code(), StatusCode::OK);
}

#[tokio::test]
async fn answers_of_other_threads_wake_the_caller() {
    let bus = silent_bus(BusConfig::default());
    let requests: Vec<_> = (0..200).map(|_| message(&bus, MessageType::Read, HO, O)).collect();
    let mut waiting: Vec<_> = requests.iter().map(|request| bus.request(request.clone())).collect();
    waiting.iter_mut().for_each(Request::send);
    let answering = bus.clone();
    let thread = std::thread::spawn(move || {
        for request in &requests {
            answering.post(response(request, 100));
            answering.post(response(request, 200));
        }
    });
    for waiting in waiting {
        assert_eq!(waiting.await.code(), StatusCode::OK);
    }
    thread.join().unwrap();
}
