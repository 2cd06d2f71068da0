//! The bus of one hyperty.

use hyperty_message_bus::{BusError, MiniBus};
use hyperty_model::{MessageType, StatusCode};

use crate::support::{Log, body, bus, hyperty, message, response, url};

const O: &str = "comm://example.com/o";

#[test]
fn what_is_posted_leaves_even_if_somebody_here_listens() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    let log = Log::new();
    let (inside, outside) = (log.clone(), log.clone());
    let _inside = mini.listen(&url(O), move |_| inside.add(("inside", None))).unwrap();
    let _outside =
        bus.listen(&url(O), move |message| outside.add(("outside", message.sender().cloned()))).unwrap();
    mini.post(message(&bus, MessageType::Event, "hyperty://example.com/a", O));
    assert_eq!(log.take(), [("outside", Some(hyperty("a").into()))]);
}

#[test]
fn what_is_forwarded_comes_in_and_default_listeners_see_the_rest() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    let log = Log::new();
    let (own, object, any) = (log.clone(), log.clone(), log.clone());
    let _object = mini.listen(&url(O), move |_| object.add("object")).unwrap();
    let _any = mini.listen_any(move |_| any.add("any")).unwrap();
    let event = |to: &str| bus.post(message(&bus, MessageType::Event, "hyperty://example.com/b", to));

    event(O);
    assert!(log.take().is_empty(), "not forwarded yet");
    let route = bus.forward(&url(O), &hyperty("a")).unwrap();
    event(O);
    assert_eq!(log.take(), ["object", "any"]);
    event("hyperty://example.com/a");
    assert_eq!(log.take(), ["any"]);
    let _own = mini.listen(mini.url(), move |_| own.add("own")).unwrap();
    event("hyperty://example.com/a");
    assert_eq!(log.take(), ["own"]);
    drop(route);
    event(O);
    assert!(log.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn responses_find_the_request_of_their_own_hyperty_inv_msg_1() {
    let bus = bus();
    let (a, b) = (MiniBus::new(&bus, hyperty("a")).unwrap(), MiniBus::new(&bus, hyperty("b")).unwrap());
    let answering = b.clone();
    let _b = b.listen(b.url(), move |request| answering.post(response(request, 200))).unwrap();
    let log = Log::new();
    let unmatched = log.clone();
    let _a = a.listen(a.url(), move |answer| unmatched.add(answer.clone())).unwrap();

    let request = a.new_message(MessageType::Execute, a.url(), b.url(), hyperty_model::Body::empty());
    let answer = a.request(request.clone()).await;
    assert_eq!(answer.code(), StatusCode::OK);
    assert_eq!(answer.sender(), Some(b.url().as_url()));
    assert!(log.take().is_empty());

    // A second final response answers nothing any more.
    b.post(response(&request, 500));
    assert_eq!(log.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hyperty_that_does_not_listen_is_answered_for() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    let answer =
        bus.request(message(&bus, MessageType::Read, "hyperty://example.com/b", "hyperty://example.com/a"));
    assert_eq!(answer.await.code(), StatusCode::NOT_FOUND);

    // Of what is forwarded, somebody else may be the one who answers.
    let _forward = bus.forward(&url(O), mini.url()).unwrap();
    let answering = bus.clone();
    let _other = bus.listen(&url(O), move |request| answering.post(response(request, 200))).unwrap();
    let answer = bus.request(message(&bus, MessageType::Read, "hyperty://example.com/b", O)).await;
    assert_eq!(answer.code(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_detaches() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    assert_eq!(MiniBus::new(&bus, hyperty("a")).unwrap_err(), BusError::AlreadyAttached(hyperty("a")));
    let clone = mini.clone();
    drop(mini);
    let forward = bus.forward(&url(O), &hyperty("a")).unwrap();
    drop(clone);
    assert_eq!(bus.forward(&url(O), &hyperty("a")).unwrap_err(), BusError::NotAttached(hyperty("a")));
    bus.post(message(&bus, MessageType::Event, "hyperty://example.com/b", O));
    drop(forward);

    let answer =
        bus.request(message(&bus, MessageType::Read, "hyperty://example.com/b", "hyperty://example.com/a"));
    assert_eq!(body(&answer.await).code, StatusCode::NOT_FOUND);
    assert!(MiniBus::new(&bus, hyperty("a")).is_ok());
}

/// The names that are not a hyperty's: components of its runtime and of others, its neighbours, what a domain has, and
/// objects that it does not report, which those are that it observes.
const FOREIGN: [&str; 12] = [
    "hyperty-runtime://example.com/r1",
    "hyperty-runtime://example.com/r1/sm",
    "hyperty-runtime://example.com/r1/registry",
    "hyperty-runtime://example.com/r2/sm",
    "hyperty://example.com/b",
    "hyperty://example.com/a/b",
    "domain://msg-node.example.com/sm",
    "user://example.com/a",
    "comm://example.com/another",
    "comm://example.com/observed",
    "comm://example.com/observed/changes",
    "comm://example.com/observed/children/notes",
];

const KINDS: [MessageType; 10] = [
    MessageType::Update,
    MessageType::Response,
    MessageType::Create,
    MessageType::Read,
    MessageType::Delete,
    MessageType::Subscribe,
    MessageType::Unsubscribe,
    MessageType::Forward,
    MessageType::Execute,
    MessageType::Event,
];

#[tokio::test(start_paused = true)]
async fn a_hyperty_says_nothing_in_a_name_that_is_not_its_own_inv_msg_6() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    let neighbour = MiniBus::new(&bus, hyperty("b")).unwrap();
    let log = Log::new();
    let (heard, answered) = (log.clone(), Log::new());
    let _b = neighbour.listen_any(move |message| heard.add(message.from().clone())).unwrap();
    let at_a = answered.clone();
    let _a = mini.listen_any(move |answer| at_a.add((answer.id().clone(), answer.code()))).unwrap();
    let observed = ["comm://example.com/observed/changes", "comm://example.com/observed/children/notes"];
    let _stream: Vec<_> = observed.map(|at| bus.forward(&url(at), mini.url()).unwrap()).into();

    let mut count = 0;
    for from in FOREIGN {
        for kind in KINDS {
            let said = message(&bus, kind, from, "hyperty://example.com/b");
            let id = said.id().clone();
            mini.post(said);
            count += 1;
            assert!(log.take().is_empty(), "{kind} from {from}");
            let refused = if kind.is_request() { vec![(id, StatusCode::FORBIDDEN)] } else { Vec::new() };
            assert_eq!(answered.take(), refused, "{kind} from {from}");
        }
        let request = message(&bus, MessageType::Read, from, "hyperty://example.com/b");
        let answer = body(&mini.request(request).await);
        assert_eq!(
            (answer.code, answer.reason.as_deref()),
            (StatusCode::FORBIDDEN, Some("forbidden")),
            "{from}"
        );
        count += 1;
        assert!(log.take().is_empty() && answered.take().is_empty(), "{from}");
        assert_eq!(bus.counters().not_its_name, count);
    }
    mini.post(message(&bus, MessageType::Event, "hyperty://example.com/a", "hyperty://example.com/b"));
    assert_eq!(log.take(), [hyperty("a").into()]);
    assert_eq!(bus.counters().not_its_name, count);
}

/// Who reports an object speaks in its name; to the stream of an object anybody may, whom its sequencer looks at.
#[test]
fn who_reports_an_object_speaks_for_it() {
    let bus = bus();
    let mini = MiniBus::new(&bus, hyperty("a")).unwrap();
    let log = Log::new();
    let addresses = ["hyperty://example.com/b", &format!("{O}/changes"), &format!("{O}/children/notes")];
    let _all: Vec<_> = addresses
        .iter()
        .map(|at| {
            let heard = log.clone();
            bus.listen(&url(at), move |message| heard.add((message.kind(), message.sender().cloned())))
                .unwrap()
        })
        .collect();
    let say = |kind, to: &str| {
        mini.post(message(&bus, kind, O, to));
        !log.take().is_empty()
    };
    let judged = |say: &dyn Fn(MessageType, &str) -> bool| {
        say(MessageType::Update, addresses[1])
            && say(MessageType::Create, addresses[2])
            && say(MessageType::Update, addresses[2])
            && say(MessageType::Delete, addresses[2])
    };
    assert!(judged(&say));
    assert!(!say(MessageType::Response, addresses[0]) && !say(MessageType::Response, addresses[2]));
    assert!(!say(MessageType::Delete, addresses[1]) && !say(MessageType::Event, addresses[2]));

    let route = bus.forward(&url(O), mini.url()).unwrap();
    assert!(judged(&say));
    assert!(say(MessageType::Response, addresses[0]) && say(MessageType::Delete, addresses[1]));
    drop(route);
    assert!(!say(MessageType::Response, addresses[0]));
}
