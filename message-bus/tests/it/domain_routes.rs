//! Wishes for routes against a fake message node that loses, refuses and delays, and sometimes forgets everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::{DomainRoutes, Listener, MessageBus, NO_ROUTE, Replay, Retry, RouteError, Wish};
use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{Message, MessageType, StatusCode, Url};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::{bus, runtime, url};

const DOMAIN: &str = "example.com";
const URLS: usize = 5;

/// What the node does with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// It never arrives.
    Lost,
    /// It is done, but the answer is lost.
    AnswerLost,
    /// Answered with this code, and not done.
    Refused(u16),
}

#[derive(Default)]
struct NodeState {
    routes: BTreeSet<Url>,
    fates: std::collections::VecDeque<(Fate, u64)>,
    ids: Vec<u64>,
}

/// A node that works in order of arrival, by its fates while there are some and well after that.
struct FakeNode {
    bus: MessageBus,
    state: Arc<Mutex<NodeState>>,
    _listener: Listener,
}

impl FakeNode {
    fn start(bus: &MessageBus, fates: Vec<(Fate, u64)>) -> FakeNode {
        let state = NodeState { fates: fates.into(), ..NodeState::default() };
        let (state, (arriving, mut arrived)) =
            (Arc::new(Mutex::new(state)), mpsc::unbounded_channel::<Message>());
        let _listener = bus.listen(&url(&format!("domain://msg-node.{DOMAIN}/sm")), move |message| {
            arriving.send(message.clone()).unwrap();
        });
        let (answering, working) = (bus.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            while let Some(message) = arrived.recv().await {
                let (fate, delay) = working.lock().fates.pop_front().unwrap_or((Fate::Done, 0));
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let code = work(&working, &message, fate);
                if let Some(code) = code {
                    let body = ResponseBody::failure(StatusCode(code), "as decided");
                    answering.post(message.reply(if code == 404 {
                        body.with_reason(NO_ROUTE)
                    } else {
                        body
                    }));
                }
            }
        });
        FakeNode { bus: bus.clone(), state, _listener: _listener.unwrap() }
    }

    /// Loses its memory, as with a new session; the runtime sends its replay first.
    async fn restart(&self, routes: &DomainRoutes) {
        self.state.lock().routes.clear();
        self.state.lock().fates.clear();
        for message in routes.replay(DOMAIN) {
            self.bus.post(message);
        }
        // Whatever was on its way to the node has arrived by then.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn routes(&self) -> BTreeSet<Url> {
        self.state.lock().routes.clone()
    }
}

fn work(state: &Mutex<NodeState>, message: &Message, fate: Fate) -> Option<u16> {
    let mut state = state.lock();
    state.ids.push(message.id().as_u64().unwrap());
    assert_eq!(message.from(), &runtime().sync_manager());
    let body = message.decode::<RoutesBody>().unwrap();
    assert_eq!(body.source.as_ref(), Some(runtime().as_url()));
    if matches!(fate, Fate::Done | Fate::AnswerLost) {
        for url in body.all() {
            match message.kind() {
                MessageType::Subscribe => state.routes.insert(url),
                MessageType::Unsubscribe => state.routes.remove(&url),
                other => panic!("{other} is no message to a node"),
            };
        }
    }
    match fate {
        Fate::Done => Some(200),
        Fate::Lost | Fate::AnswerLost => None,
        Fate::Refused(code) => Some(code),
    }
}

fn urls(numbers: impl IntoIterator<Item = usize>) -> Vec<Url> {
    numbers.into_iter().map(|number| url(&format!("comm://{DOMAIN}/o{number}/changes"))).collect()
}

fn union<'a>(wishes: impl IntoIterator<Item = &'a Wish>) -> BTreeSet<Url> {
    wishes.into_iter().flat_map(|wish| wish.urls().to_vec()).collect()
}

/// Patient enough for any run of failures that is generated here.
fn patient(bus: &MessageBus) -> DomainRoutes {
    DomainRoutes::new(bus.clone(), runtime()).with_retry(Retry { attempts: 100, ..Retry::default() })
}

fn some_urls() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..URLS, 0..4)
}

fn fates() -> impl Strategy<Value = Vec<(Fate, u64)>> {
    let fate = prop_oneof![
        3 => Just(Fate::Done),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Refused(404)),
        1 => Just(Fate::Refused(500)),
    ];
    let delay = prop_oneof![3 => 0_u64..10, 1 => 0_u64..20_000];
    prop::collection::vec((fate, delay), 0..30)
}

#[derive(Debug, Clone)]
enum Step {
    Establish(Vec<usize>),
    Withdraw(usize),
    Drop(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => some_urls().prop_map(Step::Establish),
        3 => any::<usize>().prop_map(Step::Withdraw),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..16)
}

fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// One after another: the node always has what is wished for, and nothing else but what was dropped without
    /// being withdrawn, until it is told (INV-SES-1, the runtime's part).
    #[test]
    fn the_node_has_what_is_wished_for(steps in steps(), fates in fates()) {
        paused(async {
            let bus = bus();
            let (node, routes) = (FakeNode::start(&bus, fates), patient(&bus));
            let (mut wishes, mut dropped) = (Vec::new(), false);
            for step in steps {
                match step {
                    Step::Establish(numbers) => {
                        let wish = routes.wish(DOMAIN, urls(numbers));
                        wish.establish().await.unwrap();
                        wishes.push(wish);
                    }
                    Step::Withdraw(at) if !wishes.is_empty() => {
                        let wish = wishes.remove(at % wishes.len());
                        routes.withdraw(wish).await.unwrap();
                        dropped = false;
                    }
                    Step::Drop(at) if !wishes.is_empty() => {
                        drop(wishes.remove(at % wishes.len()));
                        dropped = true;
                    }
                    Step::Withdraw(_) | Step::Drop(_) => {}
                    Step::Restart => {
                        node.restart(&routes).await;
                        dropped = false;
                    }
                }
                let wanted = union(&wishes);
                assert!(node.routes().is_superset(&wanted), "{:?} lacks some of {wanted:?}", node.routes());
                assert!(dropped || node.routes() == wanted, "{:?} is not {wanted:?}", node.routes());
                assert_eq!(routes.wanted(DOMAIN), wanted.into_iter().collect::<Vec<_>>());
            }
        });
    }

    /// All at once: whatever overlaps, is late, lost and tried again, in the end the node has what is wished for.
    /// Every attempt has an id of its own.
    #[test]
    fn overlapping_wishes_end_well(
        plans in prop::collection::vec((some_urls(), 0_u64..120_000, 0_u64..60_000, any::<bool>()), 1..16),
        fates in fates(),
    ) {
        paused(async {
            let bus = bus();
            let (node, routes) = (FakeNode::start(&bus, fates), patient(&bus));
            let mut tasks = tokio::task::JoinSet::new();
            for (numbers, start, hold, keep) in plans {
                let routes = routes.clone();
                tasks.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(start)).await;
                    let wish = routes.wish(DOMAIN, urls(numbers));
                    wish.establish().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(hold)).await;
                    if keep {
                        return Some(wish);
                    }
                    routes.withdraw(wish).await.unwrap();
                    None
                });
            }
            let kept: Vec<Wish> = tasks.join_all().await.into_iter().flatten().collect();
            // A lost answer may leave attempts on their way.
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert_eq!(node.routes(), union(&kept));
            let mut ids = node.state.lock().ids.clone();
            ids.sort_unstable();
            let attempts = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), attempts);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_silence_is_not_endless() {
    let bus = bus();
    for code in [400, 403, 409] {
        let node = FakeNode::start(&bus, vec![(Fate::Refused(code), 0)]);
        let routes = DomainRoutes::new(bus.clone(), runtime());
        let wish = routes.wish(DOMAIN, urls([1]));
        match wish.establish().await.unwrap_err() {
            RouteError::Refused { code: got, domain, .. } => assert_eq!((got.0, &*domain), (code, DOMAIN)),
            other => panic!("{other}"),
        }
        assert_eq!(node.state.lock().ids.len(), 1);
    }

    let node = FakeNode::start(&bus, vec![(Fate::Refused(404), 0); 100]);
    let start = Instant::now();
    let wish = DomainRoutes::new(bus.clone(), runtime()).wish(DOMAIN, urls([1]));
    let error = wish.establish().await.unwrap_err();
    assert!(
        matches!(error, RouteError::Unreachable { attempts: 10, code: StatusCode::NOT_FOUND, .. }),
        "{error}"
    );
    assert_eq!(node.state.lock().ids.len(), 10);
    // Nine waits of 100 ms to 5 s, each at least half of its longest.
    let (least, longest) = (Duration::from_millis(10_650), Duration::from_millis(21_310));
    assert!((least..longest).contains(&start.elapsed()), "{:?}", start.elapsed());

    let wish = DomainRoutes::new(bus.clone(), runtime()).wish("no domain", urls([1]));
    assert!(matches!(wish.establish().await, Err(RouteError::Domain { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_one_message_and_leaves_out_what_was_given_up() {
    let bus = bus();
    let routes = DomainRoutes::new(bus.clone(), runtime());
    assert!(routes.replay(DOMAIN).is_empty());
    let _first = routes.wish("Example.COM", urls([2, 1, 2]));
    let _second = routes.wish(DOMAIN, urls([1]));
    let _elsewhere = routes.wish("other.example", urls([3]));
    drop(routes.wish(DOMAIN, urls([4])));
    let replay = routes.replay(DOMAIN);
    assert_eq!(replay.len(), 1);
    assert_eq!(replay[0].kind(), MessageType::Subscribe);
    assert_eq!(replay[0].to(), &url("domain://msg-node.example.com/sm"));
    assert_eq!(replay[0].decode::<RoutesBody>().unwrap().all(), urls([1, 2]));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_another_still_wants() {
    let bus = bus();
    let (node, routes) = (FakeNode::start(&bus, Vec::new()), patient(&bus));
    let (first, second) = (routes.wish(DOMAIN, urls([1])), routes.wish(DOMAIN, urls([1])));
    first.establish().await.unwrap();
    routes.withdraw(first).await.unwrap();
    assert_eq!(node.state.lock().ids.len(), 1, "only the subscription");
    routes.withdraw(second).await.unwrap();
    assert_eq!(node.state.lock().ids.len(), 2);
    assert!(node.routes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_that_nobody_waits_for_is_made_good_by_the_next() {
    let bus = bus();
    let fates = vec![(Fate::Done, 0), (Fate::Done, 0), (Fate::Lost, 0)];
    let (node, routes) = (FakeNode::start(&bus, fates), patient(&bus));
    let (first, second) = (routes.wish(DOMAIN, urls([1])), routes.wish(DOMAIN, urls([2])));
    first.establish().await.unwrap();
    second.establish().await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(1), routes.withdraw(first)).await;
    assert!(given_up.is_err());
    assert_eq!(node.routes().len(), 2);
    routes.withdraw(second).await.unwrap();
    assert!(node.routes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_wished_for_anew_is_not_taken_down_by_a_late_attempt() {
    let bus = bus();
    for fate in [Fate::Lost, Fate::AnswerLost] {
        let node = FakeNode::start(&bus, vec![(Fate::Done, 0), (fate, 0)]);
        let routes = patient(&bus);
        let wish = routes.wish(DOMAIN, urls([1]));
        wish.establish().await.unwrap();
        let anew = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let wish = routes.wish(DOMAIN, urls([1]));
            wish.establish().await.unwrap();
            wish
        };
        let (withdrawn, _anew) = tokio::join!(routes.withdraw(wish), anew);
        withdrawn.unwrap();
        assert_eq!(node.routes(), urls([1]).into_iter().collect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_can_be_begun_without_waiting() {
    let bus = bus();
    let (node, routes) = (FakeNode::start(&bus, Vec::new()), patient(&bus));
    let wish = routes.wish(DOMAIN, urls([1, 2]));
    wish.begin();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(node.routes(), union([&wish]));
    assert_eq!(bus.counters().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn many_wishes_are_asked_for_in_one_message_and_once() {
    let bus = bus();
    let (node, routes) = (FakeNode::start(&bus, Vec::new()), patient(&bus));
    let wishes: Vec<Wish> = (0..4).map(|n| routes.wish(DOMAIN, urls([n, n + 1]))).collect();
    wishes.iter().for_each(Wish::begin_with_others);
    routes.begin_deferred(DOMAIN).await.unwrap();
    assert_eq!((node.routes(), node.state.lock().ids.len()), (union(&wishes), 1));
    // What a replay asks for, what was asked for, and what nobody wants any more is not asked for again.
    let more = routes.wish(DOMAIN, urls([0]));
    more.begin_with_others();
    assert_eq!(routes.replay(DOMAIN).len(), 1);
    let ended = routes.wish(DOMAIN, vec![url("comm://example.com/ended")]);
    ended.begin_with_others();
    drop(ended);
    routes.begin_deferred(DOMAIN).await.unwrap();
    assert_eq!(node.state.lock().ids.len(), 1);
}

/// INV-EXT-2: a request that was lost with a connection that went on must not leave an observer without its stream.
#[tokio::test(start_paused = true)]
async fn deferred_wishes_that_are_lost_are_asked_for_again() {
    let bus = bus();
    let (node, routes) = (FakeNode::start(&bus, vec![(Fate::Lost, 0)]), patient(&bus));
    let wish = routes.wish(DOMAIN, urls([1, 2]));
    wish.begin_with_others();
    routes.begin_deferred(DOMAIN).await.unwrap();
    assert_eq!(node.routes(), union([&wish]));

    // A node that does not answer at all for a while is asked at the next call.
    let bus = self::bus();
    let node = FakeNode::start(&bus, vec![(Fate::Lost, 0); 20]);
    let routes = DomainRoutes::new(bus, runtime()).with_retry(Retry { attempts: 2, ..Retry::default() });
    let wish = routes.wish(DOMAIN, urls([3]));
    wish.begin_with_others();
    assert!(matches!(routes.begin_deferred(DOMAIN).await, Err(RouteError::Unreachable { .. })));
    node.state.lock().fates.clear();
    routes.begin_deferred(DOMAIN).await.unwrap();
    assert_eq!(node.routes(), union([&wish]));
}
