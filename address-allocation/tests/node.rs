//! The runtime's allocator against a node's table, joined by a bus.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hyperty_address_allocation::{
    AddressAllocator, AllocateError, AllocationLimits, AllocationTable, NodeAllocator, POOL_BLOCK_FIRST,
};
use hyperty_message_bus::{BusConfig, Listener, MessageBus};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Message, MessageType, RuntimeUrl, SeededIds, StatusCode, Url};
use hyperty_storage::MemoryTables;
use serde_json::json;

const DOMAIN: &str = "example.com";

struct World {
    bus: MessageBus,
    table: Arc<AllocationTable>,
    allocator: NodeAllocator,
    requests: Arc<AtomicUsize>,
    _node: Listener,
}

impl World {
    /// A node that answers a millisecond later.
    fn new() -> World {
        let ids = Arc::new(SeededIds::new(3));
        let limits = AllocationLimits::default();
        let table = AllocationTable::open(DOMAIN, Arc::new(MemoryTables::new()), ids, limits).unwrap();
        let table = Arc::new(table);
        let answering = Arc::clone(&table);
        World::with(table, move |request| answering.handle(request, &runtime()).0)
    }

    fn with(
        table: Arc<AllocationTable>,
        answer: impl Fn(&Message) -> ResponseBody + Send + Sync + 'static,
    ) -> World {
        let bus = MessageBus::new(BusConfig::default(), &SeededIds::new(1));
        let requests = Arc::new(AtomicUsize::new(0));
        let (node_bus, counting) = (bus.clone(), Arc::clone(&requests));
        let listener = bus.listen(&node::address_allocation(DOMAIN).unwrap(), move |request| {
            assert_eq!(*request.from(), runtime().address_allocation());
            counting.fetch_add(1, Ordering::SeqCst);
            let (bus, reply) = (node_bus.clone(), request.reply(answer(request)));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                bus.post(reply);
            });
        });
        let allocator = NodeAllocator::new(bus.clone(), runtime());
        World { bus, table, allocator, requests, _node: listener.unwrap() }
    }

    /// A node that always says the same.
    fn saying(answer: ResponseBody) -> World {
        let table = Arc::clone(&World::new().table);
        World::with(table, move |_| answer.clone())
    }

    async fn allocate(&self, scheme: &str) -> Result<Url, AllocateError> {
        self.allocator.allocate(DOMAIN, scheme).await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn runtime() -> RuntimeUrl {
    RuntimeUrl::parse("hyperty-runtime://example.com/laptop").unwrap()
}

#[tokio::test(start_paused = true)]
async fn blocks_make_round_trips_rare() {
    let world = World::new();
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        let address = world.allocate("comm").await.unwrap();
        assert_eq!(world.table.owner(&address), Some(runtime()));
        assert!(seen.insert(address));
    }
    // 8 + 16 + … + 256 + 256 + 256 ≥ 1000
    assert_eq!(world.requests(), 8);
}

#[tokio::test(start_paused = true)]
async fn callers_of_an_empty_pool_share_one_request() {
    let world = World::new();
    let all = join_all((0..POOL_BLOCK_FIRST).map(|_| world.allocate("comm"))).await;
    let addresses: HashSet<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!((addresses.len(), world.requests()), (POOL_BLOCK_FIRST, 1));

    // More callers than a block has addresses: the next block is as large as the queue.
    let all = join_all((0..500).map(|_| world.allocate("context"))).await;
    let addresses: HashSet<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(addresses.len(), 500);
    assert!(world.requests() <= 3, "{} requests", world.requests());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_and_the_next_call_tries_again() {
    let world = World::saying(ResponseBody::failure(StatusCode::FORBIDDEN, "no more").with_reason("limit"));
    let all = join_all((0..10).map(|_| world.allocate("comm"))).await;
    for outcome in all {
        assert!(matches!(outcome, Err(AllocateError::Refused { code: StatusCode::FORBIDDEN, .. })));
    }
    assert_eq!(world.requests(), 1);
    world.allocate("comm").await.unwrap_err();
    assert_eq!(world.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_leaves_the_request_to_the_next() {
    let world = World::new();
    let impatient = tokio::time::timeout(Duration::from_micros(1), world.allocate("comm"));
    let patient = world.allocate("comm");
    let (gave_up, got) = tokio::join!(impatient, patient);
    assert!(gave_up.is_err());
    assert_eq!(world.table.owner(&got.unwrap()), Some(runtime()));
}

#[tokio::test(start_paused = true)]
async fn unused_addresses_go_back_and_used_ones_stay() {
    let world = World::new();
    let (object, hyperty) = (world.allocate("comm").await.unwrap(), world.allocate("hyperty").await.unwrap());
    assert_eq!(world.table.len(), 2 * POOL_BLOCK_FIRST);
    world.allocator.release_pool().await.unwrap();
    assert_eq!(world.table.len(), 2);
    assert!([&object, &hyperty].iter().all(|address| world.table.owner(address).is_some()));

    // INV-ALL-2 rests on this: what is released is free at the node, and twice is once (INV-ALL-3).
    world.allocator.release(vec![object.clone(), hyperty.clone()]).await.unwrap();
    assert!(world.table.is_empty());
    world.allocator.release(vec![object, hyperty]).await.unwrap();
    world.allocator.release_pool().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_other_addresses_is_refused() {
    let eight = |form: &str| (0..8).map(|n| form.replace('#', &n.to_string())).collect::<Vec<_>>();
    for (what, allocated) in [
        ("too few", json!(["comm://example.com/1"])),
        ("another scheme", json!(eight("context://example.com/#"))),
        ("another domain", json!(eight("comm://evil.example/#"))),
        ("the same twice", json!(eight("comm://example.com/1"))),
        ("derived URLs", json!(eight("comm://example.com/#/changes"))),
        ("no identifier", json!(eight("comm://example.com"))),
        ("no URLs", json!(eight("#"))),
        ("no strings", json!([1, 2, 3, 4, 5, 6, 7, 8])),
        ("no list", json!("comm://example.com/1")),
    ] {
        let world = World::saying(ResponseBody::ok().with_value(json!({ "allocated": allocated })));
        let outcome = world.allocate("comm").await;
        assert!(matches!(outcome, Err(AllocateError::Unusable { .. })), "{what}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_there_is_told_from_one_that_refuses() {
    let world = World::new();
    // Nobody listens for that domain.
    let outcome = world.allocator.allocate("elsewhere.example", "comm").await;
    assert!(matches!(outcome, Err(AllocateError::Unreachable { .. })), "{outcome:?}");
    let address = Url::parse("comm://elsewhere.example/1").unwrap();
    let outcome = world.allocator.release(vec![address]).await;
    assert!(matches!(outcome, Err(AllocateError::Unreachable { .. })), "{outcome:?}");
    // One that never answers.
    let silent = node::address_allocation("silent.example").unwrap();
    let _listener = world.bus.listen(&silent, |_| {}).unwrap();
    let outcome = world.allocator.allocate("silent.example", "comm").await;
    assert!(matches!(outcome, Err(AllocateError::Unreachable { .. })), "{outcome:?}");
    // Asked for what cannot be.
    for (domain, scheme) in [("no domain", "comm"), ("", "comm"), (DOMAIN, "runtime"), (DOMAIN, "a b")] {
        let outcome = world.allocator.allocate(domain, scheme).await;
        assert!(matches!(outcome, Err(AllocateError::Invalid { .. })), "{outcome:?}");
    }
    assert_eq!(world.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_is_the_one_of_the_protocol() {
    let world = World::with(Arc::clone(&World::new().table), |request| {
        let body = serde_json::from_slice::<serde_json::Value>(request.body().raw()).unwrap();
        let expected = match request.kind() {
            MessageType::Create => {
                json!({"scheme": "comm", "value": {"number": 8, "allocationKey": runtime()}})
            }
            _ => json!({"childrenResources": ["comm://example.com/1"]}),
        };
        assert_eq!(body, expected);
        ResponseBody::ok()
    });
    world.allocate("comm").await.unwrap_err();
    world.allocator.release(vec![Url::parse("comm://example.com/1").unwrap()]).await.unwrap();
    assert_eq!(world.requests(), 2);
}
