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
    mini.post(message(&bus, MessageType::Event, O, O));
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
