//! Two buses of one process.

use std::sync::Arc;

use hyperty_message_bus::pair::{Pair, PairEnd};
use hyperty_message_bus::{MessageBus, MiniBus, Protostub, Route, RouteResolver, SendError, StubStatus};
use hyperty_model::{Body, MessageType, StatusCode, Url};

use crate::support::{Log, bus, message, response, url};

struct ByDomain(Arc<dyn Protostub>);

impl RouteResolver for ByDomain {
    fn resolve(&self, to: &Url) -> Route {
        if to.domain() == Some(self.0.domain()) { Route::Stub(Arc::clone(&self.0)) } else { Route::Local }
    }
}

fn joined(capacity: usize) -> (MessageBus, MessageBus, Pair) {
    let (left, right) = (bus(), bus());
    let stub = |side: &str| url(&format!("hyperty-runtime://{side}.example/protostub/1"));
    let pair = Pair::join(
        PairEnd::new(&left, stub("left"), "right.example"),
        PairEnd::new(&right, stub("right"), "left.example"),
        capacity,
    );
    left.set_resolver(Arc::new(ByDomain(Arc::clone(pair.left()) as _)));
    right.set_resolver(Arc::new(ByDomain(Arc::clone(pair.right()) as _)));
    (left, right, pair)
}

#[tokio::test(start_paused = true)]
async fn a_request_and_its_answer_pass_in_both_directions() {
    let (left, right, pair) = joined(16);
    let driver = tokio::spawn(pair.run());
    let answering = right.clone();
    let _server = right.listen(&url("comm://right.example/o"), move |request| {
        assert!(request.is_remote() && request.sender().is_none());
        answering.post(response(request, 100));
        answering.post(response(request, 200));
    });
    let reader = hyperty_model::HypertyUrl::parse("hyperty://left.example/reader").unwrap();
    let mini = MiniBus::new(&left, reader).unwrap();
    let seen = Log::new();
    let provisional = seen.clone();
    let ask = |to: &str| mini.new_message(MessageType::Read, mini.url(), &url(to), Body::empty());
    let waiting = mini.request(ask("comm://right.example/o"));
    let answer = waiting.on_provisional(move |message| provisional.add(message.code())).await;
    assert_eq!(answer.code(), StatusCode::OK);
    assert_eq!(seen.take(), [StatusCode::PROVISIONAL]);
    assert_eq!(mini.request(ask("comm://right.example/nobody")).await.code(), StatusCode::NOT_FOUND);
    driver.abort();
}

#[test]
fn the_queue_is_bounded_and_a_cut_pair_is_closed() {
    let (left, right, pair) = joined(2);
    let status = Log::new();
    let watching = status.clone();
    let _status = right.listen(&pair.right().url().join("status").unwrap(), move |message| {
        watching.add(StubStatus::of(message));
    });
    let send =
        |stub: &dyn Protostub| stub.send(message(&left, MessageType::Event, "hyperty://a/b", "comm://a/o"));
    let stub = Arc::clone(pair.left());
    assert_eq!([send(&*stub), send(&*stub), send(&*stub)], [Ok(()), Ok(()), Err(SendError::Full)]);
    assert_eq!(stub.status(), StubStatus::Live);
    drop(pair);
    assert_eq!(send(&*stub), Err(SendError::Closed));
    assert_eq!(stub.status(), StubStatus::Disconnected);
    assert_eq!(status.take(), [Some(StubStatus::Disconnected)]);
    assert!(left.stub(stub.url()).is_none());
}
