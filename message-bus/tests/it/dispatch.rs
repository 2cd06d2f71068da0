//! One message through one bus: order, sequencers, answers in place of absent addressees, panics, nesting.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyperty_message_bus::{
    BusError, Direction, Interceptor, NO_ROUTE, Route, RouteResolver, StubStatus, Verdict, publish_status,
};
use hyperty_model::{Body, Message, MessageType, StatusCode, Url};
use serde_json::json;

use crate::support::{Log, RecordingStub, body, bus, message, over_the_wire, response, runtime, url};

const O: &str = "comm://example.com/o";
const HO: &str = "hyperty://example.com/ho";

#[test]
fn a_sequencer_stands_alone_and_releases_what_it_will() {
    let (bus, log) = (bus(), Log::new());
    let stub = RecordingStub::add_to(&bus, "1");
    let (changes, observer) = (url("comm://example.com/o/changes"), log.clone());
    let _listener = bus.listen(&changes, move |_| observer.add("observer")).unwrap();
    let _route = bus.publish_route(&changes, stub_url(&stub));
    let (sequencer, releasing) = (log.clone(), bus.clone());
    let held = bus.sequence(&changes, move |message| {
        sequencer.add("sequencer");
        if message.body().raw().as_ref() == b"{\"go\":true}" {
            releasing.release(message);
        }
    });
    assert_eq!(bus.sequence(&changes, |_| ()).unwrap_err(), BusError::AlreadySequenced(changes.clone()));

    let update = |body| bus.new_message(MessageType::Update, &url(O), &changes, body);
    bus.post(update(json!({})));
    assert_eq!(log.take(), ["sequencer"]);
    assert!(stub.sent.take().is_empty());
    bus.post(update(json!({ "go": true })));
    assert_eq!(log.take(), ["sequencer", "observer"]);
    assert_eq!(stub.sent.take().len(), 1);

    drop(held);
    bus.post(update(json!({})));
    assert_eq!(log.take(), ["observer"]);
    assert_eq!(stub.sent.take().len(), 1);
}

#[test]
fn a_sequencer_may_release_here_only_and_publish_later() {
    let (bus, log) = (bus(), Log::new());
    let (stub, ingress) = (RecordingStub::add_to(&bus, "1"), RecordingStub::add_to(&bus, "2"));
    let changes = url("comm://example.com/o/changes");
    let heard = log.clone();
    let _listener = bus.listen(&changes, move |_| heard.add(())).unwrap();
    let _routes = [&stub, &ingress].map(|stub| bus.publish_route(&changes, stub_url(stub)));
    let (releasing, held): (_, Log<Message>) = (bus.clone(), Log::new());
    let holding = held.clone();
    let _sequencer = bus.sequence(&changes, move |message| {
        releasing.release_locally(message);
        holding.add(message.clone());
    });
    let update = over_the_wire(&message(&bus, MessageType::Update, O, changes.as_str()));
    bus.receive(stub_url(&ingress), update);
    assert_eq!((log.take().len(), stub.sent.take().len()), (1, 0));
    bus.publish(&held.take()[0]);
    assert_eq!((log.take().len(), stub.sent.take().len(), ingress.sent.take().len()), (0, 1, 0));
}

fn stub_url(stub: &RecordingStub) -> &Url {
    hyperty_message_bus::Protostub::url(stub)
}

struct Fixed(fn(&Url) -> Route);

impl RouteResolver for Fixed {
    fn resolve(&self, to: &Url) -> Route {
        (self.0)(to)
    }
}

#[tokio::test(start_paused = true)]
async fn requests_to_nobody_are_answered_and_nothing_else_is_inv_msg_1() {
    let bus = bus();
    bus.set_resolver(Arc::new(Fixed(|to| {
        if to.authority() == "here" { Route::Local } else { Route::Unroutable }
    })));
    for to in ["comm://here/o", "comm://nowhere/o", "hyperty-runtime://here/r1/sm"] {
        let answer = bus.request(message(&bus, MessageType::Read, HO, to)).await;
        let body = body(&answer);
        assert_eq!(body.code, StatusCode::NOT_FOUND);
        assert_eq!(body.reason.as_deref(), Some(NO_ROUTE));
        assert_eq!(body.source.as_ref(), Some(runtime().as_url()));
        assert_eq!(answer.from(), &url(to));
    }

    let log = Log::new();
    let all = log.clone();
    let _listener = bus.listen(&url(HO), move |message| all.add(message.clone())).unwrap();
    let unanswered = [
        (MessageType::Response, "comm://here/o"),
        (MessageType::Event, "comm://here/o"),
        (MessageType::Update, "comm://here/o/changes"),
        (MessageType::Delete, "comm://nowhere/o/changes"),
        (MessageType::Create, "comm://nowhere/o/children/notes"),
        (MessageType::Update, "comm://nowhere/o/status"),
        (MessageType::Update, "comm://nowhere/o/registration"),
        (MessageType::Update, "comm://nowhere/o/observers"),
    ];
    for (kind, to) in unanswered {
        bus.post(message(&bus, kind, HO, to));
    }
    assert_eq!(log.take().len(), 0);
    assert_eq!(bus.counters().undeliverable, 3 + unanswered.len() as u64);
}

#[test]
fn what_came_through_a_stub_is_answered_through_it() {
    let bus = bus();
    let stub = RecordingStub::add_to(&bus, "1");
    let request = message(&bus, MessageType::Read, "hyperty://far.example/x", O);
    bus.receive(stub_url(&stub), over_the_wire(&request));
    let sent = stub.sent.take();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].to(), request.from());
    assert_eq!(sent[0].code(), StatusCode::NOT_FOUND);
}

#[test]
fn nothing_goes_back_where_it_came_from_inv_msg_4() {
    let bus = bus();
    let stub = RecordingStub::add_to(&bus, "1");
    let far = Arc::clone(&stub);
    struct Always(Arc<RecordingStub>);
    impl RouteResolver for Always {
        fn resolve(&self, _: &Url) -> Route {
            Route::Stub(Arc::clone(&self.0) as _)
        }
    }
    bus.set_resolver(Arc::new(Always(far)));
    let update = message(&bus, MessageType::Update, O, "comm://example.com/o/changes");
    bus.receive(stub_url(&stub), over_the_wire(&update));
    assert!(stub.sent.take().is_empty());

    // And what this very stub has seen before does not come in again.
    let log = Log::new();
    let seen = log.clone();
    let _listener = bus.listen(update.to(), move |_| seen.add(())).unwrap();
    let body = json!({ "via": [stub_url(&stub)] });
    bus.receive(stub_url(&stub), over_the_wire(&update.clone().with_body(body)));
    assert!(log.take().is_empty());
    assert_eq!(bus.counters().looped, 1);
}

#[test]
fn a_message_makes_a_bounded_number_of_hops() {
    let bus = bus();
    let stub = RecordingStub::add_to(&bus, "1");
    let other = RecordingStub::add_to(&bus, "2");
    let changes = url("comm://example.com/o/changes");
    let (log, _route) = (Log::new(), bus.publish_route(&changes, stub_url(&other)));
    let heard = log.clone();
    let _listener = bus.listen(&changes, move |_| heard.add(())).unwrap();
    let come = |hops: usize| {
        let via: Vec<_> =
            (0..hops).map(|hop| format!("hyperty-runtime://far.example/protostub/x{hop}")).collect();
        let update = bus.new_message(MessageType::Update, &url(O), &changes, json!({ "via": via }));
        bus.receive(stub_url(&stub), over_the_wire(&update));
        (log.take().len(), other.sent.take().len())
    };
    assert_eq!(come(14), (1, 1));
    // 15 and this stub make 16: it is delivered here and goes no further.
    assert_eq!(come(15), (1, 0));
    assert_eq!(come(16), (0, 0));
    assert_eq!(bus.counters().looped, 2);
}

#[test]
fn only_this_runtime_may_say_that_a_message_is_authorised() {
    let (bus, log) = (bus(), Log::new());
    let stub = RecordingStub::add_to(&bus, "1");
    let seen = log.clone();
    let _listener =
        bus.listen(&url(O), move |message| seen.add(message.decode::<serde_json::Value>().unwrap()));
    let update = bus.new_message(MessageType::Event, &url(HO), &url(O), json!({ "auth": true, "x": 1 }));
    bus.receive(stub_url(&stub), over_the_wire(&update));
    assert_eq!(*log.take()[0], json!({ "x": 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_full_stub_is_told_to_the_sender_at_once() {
    let bus = bus();
    let stub = RecordingStub::add_to(&bus, "1");
    struct Always(Arc<RecordingStub>);
    impl RouteResolver for Always {
        fn resolve(&self, _: &Url) -> Route {
            Route::Stub(Arc::clone(&self.0) as _)
        }
    }
    bus.set_resolver(Arc::new(Always(Arc::clone(&stub))));
    stub.full.store(true, Ordering::Relaxed);
    let before = tokio::time::Instant::now();
    let answer = bus.request(message(&bus, MessageType::Read, HO, "comm://far.example/o")).await;
    assert_eq!(answer.code(), StatusCode::INTERNAL);
    assert_eq!(body(&answer).reason.as_deref(), Some("limit"));
    assert_eq!(before.elapsed().as_millis(), 0);
}

struct Censor;

impl Interceptor for Censor {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        match message.to().path() {
            "forbidden" | "forbidden/changes" => {
                Verdict::Reject(StatusCode::FORBIDDEN, "Blocked by policy".into())
            }
            "swallowed" => Verdict::Drop,
            "broken" => panic!("a check with a defect"),
            _ => Verdict::Pass(message.with_body(json!({ "incoming": direction == Direction::Incoming }))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_change_reject_and_drop() {
    let (bus, log) = (bus(), Log::new());
    bus.add_interceptor(Arc::new(Censor));
    let seen = log.clone();
    let handle = move |message: &Message| seen.add(message.body().raw().to_vec());
    let _listeners: Vec<_> = ["open", "forbidden", "forbidden/changes", "broken"]
        .map(|path| bus.listen(&url(&format!("comm://example.com/{path}")), handle.clone()))
        .into();

    let stub = RecordingStub::add_to(&bus, "1");
    bus.post(message(&bus, MessageType::Event, HO, "comm://example.com/open"));
    let incoming = message(&bus, MessageType::Event, HO, "comm://example.com/open");
    bus.receive(stub_url(&stub), over_the_wire(&incoming));
    assert_eq!(log.take(), [b"{\"incoming\":false}".to_vec(), b"{\"incoming\":true}".to_vec()]);

    bus.post(message(&bus, MessageType::Update, HO, "comm://example.com/forbidden/changes"));
    let answer = bus.request(message(&bus, MessageType::Read, HO, "comm://example.com/forbidden")).await;
    assert_eq!(answer.code(), StatusCode::FORBIDDEN);
    assert_eq!(body(&answer).why(), "Blocked by policy");
    let answer = bus.request(message(&bus, MessageType::Read, HO, "comm://example.com/broken")).await;
    assert_eq!(answer.code(), StatusCode::INTERNAL);
    let answer = bus.request(message(&bus, MessageType::Read, HO, "comm://example.com/swallowed")).await;
    assert_eq!(answer.code(), StatusCode::TIMEOUT);
    assert_eq!(log.take().len(), 0);
    assert_eq!(bus.counters().rejected, 4);
}

#[test]
fn a_panic_stays_with_who_panicked() {
    let (bus, log) = (bus(), Log::new());
    let handle = |name: usize| {
        let log = log.clone();
        bus.listen(&url(O), move |_| {
            log.add(name);
            assert!(name.is_multiple_of(2), "listener {name} has a defect");
        })
    };
    let _listeners: Vec<_> = (0..5).map(handle).collect();
    for _ in 0..2 {
        bus.post(message(&bus, MessageType::Event, HO, O));
        assert_eq!(log.take(), [0, 1, 2, 3, 4]);
    }
    assert_eq!(bus.counters().panicked, 4);
}

#[tokio::test(start_paused = true)]
async fn who_posts_to_itself_for_ever_is_stopped_and_told() {
    let bus = bus();
    let posting = bus.clone();
    let _echo = bus.listen(&url(O), move |request| posting.post(request.clone())).unwrap();
    let answer = bus.request(message(&bus, MessageType::Read, HO, O)).await;
    assert_eq!(answer.code(), StatusCode::INTERNAL);
    assert_eq!(body(&answer).reason.as_deref(), Some("limit"));
    assert_eq!(bus.counters().too_deep, 1);

    // Two who answer each other's answers end too.
    let posting = bus.clone();
    let _ping = bus.listen(&url(HO), move |answer| posting.post(response(answer, 200))).unwrap();
    let posting = bus.clone();
    let _pong =
        bus.listen(&url("hyperty://example.com/pong"), move |answer| posting.post(response(answer, 200)));
    bus.post(message(&bus, MessageType::Response, "hyperty://example.com/pong", HO));
    assert_eq!(bus.counters().too_deep, 2);
}

#[test]
fn the_status_of_a_stub_stays_in_the_runtime() {
    let (bus, log) = (bus(), Log::new());
    let stub = RecordingStub::add_to(&bus, "1");
    struct Always(Arc<RecordingStub>);
    impl RouteResolver for Always {
        fn resolve(&self, _: &Url) -> Route {
            Route::Stub(Arc::clone(&self.0) as _)
        }
    }
    bus.set_resolver(Arc::new(Always(Arc::clone(&stub))));
    let address = stub_url(&stub).join("status").unwrap();
    publish_status(&bus, stub_url(&stub), StubStatus::Created, None);
    let seen = log.clone();
    let _listener = bus.listen(&address, move |message| {
        seen.add((StubStatus::of(message), message.decode::<serde_json::Value>().unwrap()));
    });
    publish_status(&bus, stub_url(&stub), StubStatus::Live, None);
    publish_status(&bus, stub_url(&stub), StubStatus::Failed, Some("no such host"));
    let seen = log.take();
    assert_eq!(seen[0].0, Some(StubStatus::Live));
    assert_eq!(*seen[0].1, json!({ "value": "live" }));
    assert_eq!(seen[1].0, Some(StubStatus::Failed));
    assert_eq!(*seen[1].1, json!({ "value": "failed", "desc": "no such host" }));
    assert!(stub.sent.take().is_empty());
    assert_eq!(StubStatus::of(&message(&bus, MessageType::Update, HO, O)), None);
    let connected = Message::new(1, MessageType::Update, url(HO), url(O), json!({ "value": "connected" }));
    assert_eq!(StubStatus::of(&connected), Some(StubStatus::Live));
}

#[test]
fn watches_see_every_response_and_the_listeners_too() {
    let (bus, log) = (bus(), Log::new());
    let (listened, watched) = (log.clone(), log.clone());
    let _listener = bus.listen(&url(O), move |_| listened.add("listener")).unwrap();
    let delete = message(&bus, MessageType::Delete, O, "comm://example.com/o/changes");
    let watch = bus.watch_responses(delete.from(), delete.id(), move |_| watched.add("watch"));
    for observer in ["hyperty://example.com/a", "hyperty://example.com/b"] {
        bus.post(Message::new(
            delete.id().as_u64().unwrap(),
            MessageType::Response,
            url(observer),
            url(O),
            Body::empty(),
        ));
    }
    assert_eq!(log.take(), ["watch", "listener", "watch", "listener"]);
    drop(watch);
    bus.post(response(&delete, 200));
    assert_eq!(log.take(), ["listener"]);
}

#[test]
fn what_a_watch_keeps_reaches_nobody_inv_msg_1() {
    let (bus, log) = (bus(), Log::new());
    let (listened, shown) = (log.clone(), log.clone());
    let _listener = bus.listen(&url(O), move |message| listened.add(message.code().0)).unwrap();
    let delete = message(&bus, MessageType::Delete, O, "comm://example.com/o/changes");
    let also = log.clone();
    // Both are shown everything, whatever the other says.
    let sieve = bus.sift_responses(delete.from(), delete.id(), move |answer| {
        shown.add(1);
        answer.code().is_success()
    });
    let watch = bus.watch_responses(delete.from(), delete.id(), move |_| also.add(2));
    bus.post(response(&delete, 403));
    assert_eq!(log.take(), [1, 2]);
    bus.post(response(&delete, 200));
    assert_eq!(log.take(), [1, 2, 200]);
    drop((sieve, watch));
    bus.post(response(&delete, 403));
    assert_eq!(log.take(), [403]);
}

#[test]
fn a_watch_that_panics_keeps_nothing() {
    let (bus, log) = (bus(), Log::new());
    let listened = log.clone();
    let _listener = bus.listen(&url(O), move |_| listened.add("listener")).unwrap();
    let delete = message(&bus, MessageType::Delete, O, "comm://example.com/o/changes");
    let _sieve = bus.sift_responses(delete.from(), delete.id(), |_| panic!("a defect of who watches"));
    bus.post(response(&delete, 200));
    assert_eq!(log.take(), ["listener"]);
    assert_eq!(bus.counters().panicked, 1);
}
