//! Several buses joined in every which way, with publish routes on every link.

use hyperty_message_bus::pair::{Pair, PairEnd};
use hyperty_message_bus::{MessageBus, PublishRoute};
use hyperty_model::{Body, MessageType, Url};
use proptest::prelude::*;

use crate::support::{Log, bus, url};

const BUSES: usize = 4;
const CHANGES: &str = "comm://example.com/o/changes";

struct Mesh {
    buses: Vec<MessageBus>,
    pairs: Vec<Pair>,
    _routes: Vec<PublishRoute>,
}

impl Mesh {
    fn new(links: &[(usize, usize)]) -> Mesh {
        let buses: Vec<_> = (0..BUSES).map(|_| bus()).collect();
        let (mut pairs, mut routes) = (Vec::new(), Vec::new());
        for (number, &(a, b)) in links.iter().enumerate() {
            let stub = |at: usize| url(&format!("hyperty-runtime://bus{at}.example/protostub/{number}"));
            let end =
                |at: usize, far: usize| PairEnd::new(&buses[at], stub(at), &format!("bus{far}.example"));
            pairs.push(Pair::join(end(a, b), end(b, a), 4_096));
            for at in [a, b] {
                routes.push(buses[at].publish_route(&url(CHANGES), &stub(at)));
            }
        }
        Mesh { buses, pairs, _routes: routes }
    }

    /// Until nothing moves any more.
    fn deliver(&mut self) {
        while self.pairs.iter_mut().map(Pair::deliver).sum::<usize>() > 0 {}
    }
}

fn reached(links: &[(usize, usize)], from: usize) -> Vec<usize> {
    let mut reached = vec![from];
    let mut next = 0;
    while next < reached.len() {
        let at = reached[next];
        for &(a, b) in links {
            for (near, far) in [(a, b), (b, a)] {
                if near == at && !reached.contains(&far) {
                    reached.push(far);
                }
            }
        }
        next += 1;
    }
    reached.sort_unstable();
    reached
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// INV-MSG-4: whatever the links, a message comes through no stub twice, the relaying ends, and it gets
    /// everywhere there is a way to.
    #[test]
    fn no_message_visits_a_stub_twice(
        links in prop::collection::vec((0..BUSES, 0..BUSES), 0..6),
        from in 0..BUSES,
    ) {
        let links: Vec<_> = links.into_iter().filter(|(a, b)| a != b).collect();
        let mut mesh = Mesh::new(&links);
        let log: Log<(usize, Vec<Url>)> = Log::new();
        let listen = |(at, bus): (usize, &MessageBus)| {
            let log = log.clone();
            bus.listen(&url(CHANGES), move |message| log.add((at, message.hops().to_vec()))).unwrap()
        };
        let _listeners: Vec<_> = mesh.buses.iter().enumerate().map(listen).collect();
        let bus = &mesh.buses[from];
        bus.post(bus.new_message(MessageType::Update, &url("comm://example.com/o"), &url(CHANGES), Body::empty()));
        mesh.deliver();

        let log = log.take();
        for (_, hops) in &log {
            let mut distinct = hops.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), hops.len(), "{:?}", hops);
        }
        let mut visited: Vec<_> = log.iter().map(|(at, _)| *at).collect();
        visited.sort_unstable();
        visited.dedup();
        prop_assert_eq!(visited, reached(&links, from));
    }
}
