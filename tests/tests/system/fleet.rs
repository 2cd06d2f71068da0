//! Five thousand sessions that lose their node and come back to it at once (protocol 5.15).

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{BusConfig, DomainRoutes, MessageBus, Protostub, Wish};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, Ids, ManualClock, RuntimeUrl, SeededIds, Timestamp, Url};
use hyperty_protostub::{ChannelConnector, ConnectError, SessionStub, StubConfig};
use hyperty_storage::MemoryTables;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const DOMAIN: &str = "example.com";
const FLEET: usize = 5_000;
const ROUTES: usize = 10;

type Door = Arc<Mutex<Option<MessageNode>>>;

struct Ship {
    stub: Arc<SessionStub>,
    _bus: MessageBus,
    _wish: Wish,
}

fn start_node(clock: &Arc<ManualClock>) -> MessageNode {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let (tables, ids) = (Arc::new(MemoryTables::new()), Arc::new(SeededIds::new(1)));
    let (node, driver) = MessageNode::new(NodeConfig::new(DOMAIN), tables, clock, ids).unwrap();
    tokio::spawn(driver.run());
    node
}

fn ship(number: usize, door: &Door) -> Ship {
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(1_000 + number as u64));
    let bus = MessageBus::new(BusConfig::default(), &*ids);
    let runtime = RuntimeUrl::parse(&format!("hyperty-runtime://{DOMAIN}/ship-{number}")).unwrap();
    let routes = DomainRoutes::new(bus.clone(), runtime.clone());
    let urls =
        (0..ROUTES).map(|route| Url::parse(&format!("comm://{DOMAIN}/{number}-{route}/changes")).unwrap());
    let wish = routes.wish(DOMAIN, urls.collect());
    let door = Arc::clone(door);
    let connector = ChannelConnector::new(move || {
        let away = |reason: &dyn std::fmt::Display| ConnectError::Unreachable(reason.to_string());
        let node = door.lock().clone().ok_or_else(|| away(&"no node"))?;
        node.channel().map_err(|error| away(&error))
    });
    let config = StubConfig::new(runtime, DOMAIN, &*ids).unwrap();
    let (stub, driver) = SessionStub::new(config, Arc::new(connector), bus.clone(), Arc::new(routes), ids);
    bus.add_stub(Arc::clone(&stub) as Arc<dyn Protostub>);
    tokio::spawn(driver.run());
    Ship { stub, _bus: bus, _wish: wish }
}

/// When each of the fleet is live, from now on.
async fn all_live(fleet: &[Ship]) -> Vec<Duration> {
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for ship in fleet {
        let stub = Arc::clone(&ship.stub);
        waiting.spawn(async move {
            timeout(Duration::from_secs(600), stub.live()).await.expect("it comes back").unwrap();
            begun.elapsed()
        });
    }
    let mut times = waiting.join_all().await;
    times.sort_unstable();
    times
}

#[tokio::test(start_paused = true)]
async fn a_fleet_comes_back_spread_out_with_one_request_each_and_nobody_waits_long() {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    let door: Door = Arc::new(Mutex::new(Some(start_node(&clock))));
    let fleet: Vec<_> = (0..FLEET).map(|number| ship(number, &door)).collect();
    all_live(&fleet).await;
    sleep(Duration::from_secs(10)).await;
    let old = door.lock().take().unwrap();
    assert_eq!(old.stats().routes, FLEET * ROUTES);
    assert!(old.drain(Duration::from_secs(5)).await);
    drop(old);
    // Away for as long as it takes that all wait their longest.
    sleep(Duration::from_secs(30)).await;
    let node = start_node(&clock);
    *door.lock() = Some(node.clone());
    let times = all_live(&fleet).await;
    let (median, last) = (times[FLEET / 2], times[FLEET - 1]);
    assert!(last <= Duration::from_secs(5), "the longest wait between two attempts: {last:?}");
    assert!(median >= Duration::from_secs(1), "by chance, not together: {median:?}");
    let busiest = times.chunk_by(|a, b| a.as_millis() / 100 == b.as_millis() / 100).map(<[_]>::len).max();
    assert!(busiest.is_some_and(|busiest| busiest <= FLEET / 10), "{busiest:?} within a tenth of a second");
    sleep(Duration::from_secs(1)).await;
    let stats = node.stats();
    assert_eq!((stats.live, stats.routes), (FLEET, FLEET * ROUTES));
    // A re-open, which the new process refuses, an open, and all routes in one request.
    assert_eq!(stats.received, 3 * FLEET as u64);
    assert_eq!((stats.queued, stats.overflowed, stats.conflated), (0, 0, 0));
}
