//! Listeners come and go: during deliveries, from several threads, up to the limits.

use std::sync::Arc;

use hyperty_message_bus::{BusConfig, BusError, Listener};
use hyperty_model::{Body, MessageType};
use parking_lot::Mutex;

use crate::support::{Log, bus, bus_with, message, url};

const O: &str = "comm://example.com/o";
const HO: &str = "hyperty://example.com/ho";

#[test]
fn what_is_taken_out_during_a_delivery_still_gets_that_message_and_no_other() {
    let (bus, log) = (bus(), Log::new());
    let second: Arc<Mutex<Option<Listener>>> = Arc::default();
    let (first_log, second_log, victim) = (log.clone(), log.clone(), Arc::clone(&second));
    let _first = bus.listen(&url(O), move |_| {
        first_log.add(1);
        let victim = victim.lock().take();
        drop(victim);
    });
    *second.lock() = Some(bus.listen(&url(O), move |_| second_log.add(2)).unwrap());
    bus.post(message(&bus, MessageType::Event, HO, O));
    assert_eq!(log.take(), [1, 2]);
    bus.post(message(&bus, MessageType::Event, HO, O));
    assert_eq!(log.take(), [1]);
}

#[test]
fn taking_out_twice_takes_nobody_else_out() {
    let (bus, log) = (bus(), Log::new());
    let handle = |name: u8| {
        let log = log.clone();
        bus.listen(&url(O), move |_| log.add(name)).unwrap()
    };
    let (first, _second) = (handle(1), handle(2));
    first.remove();
    first.remove();
    drop(first);
    bus.post(message(&bus, MessageType::Event, HO, O));
    assert_eq!(log.take(), [2]);
}

#[test]
fn listening_within_a_handler_counts_from_the_next_message() {
    let (bus, log) = (bus(), Log::new());
    let (inner, seen): (_, Log<()>) = (bus.clone(), log.clone());
    let kept = Mutex::new(Vec::new());
    let _outer = bus.listen(&url(O), move |_| {
        let seen = seen.clone();
        kept.lock().push(inner.listen(&url(O), move |_| seen.add(())).unwrap());
    });
    for round in 0..3 {
        bus.post(message(&bus, MessageType::Event, HO, O));
        assert_eq!(log.take().len(), round);
    }
}

#[test]
fn limits_are_errors() {
    let bus = bus_with(BusConfig { listeners_per_address_max: 1, addresses_max: 1, ..BusConfig::default() });
    let _kept = bus.listen(&url(O), |_| ()).unwrap();
    assert_eq!(bus.listen(&url(O), |_| ()).unwrap_err(), BusError::LimitReached { url: url(O), max: 1 });
    assert_eq!(bus.listen(&url(HO), |_| ()).unwrap_err(), BusError::TooManyAddresses(1));
    drop(_kept);
    assert!(bus.listen(&url(HO), |_| ()).is_ok());
}

#[test]
fn a_handler_may_own_the_listeners_that_go_with_it() {
    let (bus, log) = (bus(), Log::new());
    let inner: Log<()> = log.clone();
    // Another address, and the very same one: both are taken out while the outer one is.
    let owned = [url(O), url(HO)].map(|address| {
        let inner = inner.clone();
        bus.listen(&address, move |_| inner.add(())).unwrap()
    });
    let outer = bus.listen(&url(O), move |_| _ = &owned).unwrap();
    bus.post(message(&bus, MessageType::Event, HO, O));
    assert_eq!(log.take().len(), 1);
    drop(outer);
    bus.post(message(&bus, MessageType::Event, HO, O));
    bus.post(message(&bus, MessageType::Event, O, HO));
    assert!(log.take().is_empty());
}

#[test]
fn threads_that_listen_post_and_leave_do_not_disturb_each_other() {
    let bus = bus();
    let changes = url("comm://example.com/o/changes");
    let log: Log<()> = Log::new();
    let seen = log.clone();
    let _always = bus.listen(&changes, move |_| seen.add(())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (bus, changes) = (bus.clone(), changes.clone());
            scope.spawn(move || {
                for _ in 0..500 {
                    let (nested, own) = (bus.clone(), url("comm://example.com/own"));
                    let listener = bus.listen(&changes, move |_| drop(nested.listen(&own, |_| ()))).unwrap();
                    let route =
                        bus.publish_route(&changes, &url("hyperty-runtime://far.example/protostub/x"));
                    bus.post(bus.new_message(MessageType::Update, &url(O), &changes, Body::empty()));
                    drop((listener, route));
                }
            });
        }
    });
    assert_eq!(log.take().len(), 4 * 500);
}
