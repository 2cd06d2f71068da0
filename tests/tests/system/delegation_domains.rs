//! Delegation where sessions are somebody and only accepted runtimes listen, and where the new Reporter is at home in
//! another domain than the object; over disks that are slow on either side (protocol 5.11, 10.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{Clock, HypertyUrl, ManualClock, Position, SeededIds, Timestamp};
use hyperty_protostub::{ChannelConnector, ConnectError};
use hyperty_runtime::{FixedToken, Hyperty, Runtime, RuntimeBuilder};
use hyperty_storage::{MemoryTables, SimulatedDisk};
use hyperty_syncher::{Accept, Observer, Reporter};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::delegation::{PATIENCE, versions};
use crate::support::{settled, topic};

const QUICK: Duration = Duration::from_millis(2);
pub(crate) const HERE: &str = "example.com";
pub(crate) const THERE: &str = "other.example";

fn issuer() -> IssuerKey {
    IssuerKey::generate(&SeededIds::new(7))
}

/// Two domains, each with a node that admits by token.
pub(crate) struct Domains {
    clock: Arc<ManualClock>,
    pub(crate) nodes: Vec<(&'static str, MessageNode)>,
}

impl Domains {
    pub(crate) fn new() -> Domains {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let nodes = [HERE, THERE].map(|domain| {
            let config = NodeConfig {
                admission: AdmissionConfig::Tokens(TokenAdmission::new(issuer().public())),
                ..NodeConfig::new(domain)
            };
            let tables = Arc::new(MemoryTables::new());
            let ids = Arc::new(SeededIds::new(domain.len() as u64));
            let (node, driver) = MessageNode::new(config, tables, Arc::clone(&clock) as _, ids).unwrap();
            tokio::spawn(driver.run());
            (domain, node)
        });
        Domains { clock, nodes: nodes.into() }
    }

    /// A runtime of a user who is at home in a domain, which reaches the nodes of these.
    fn builder(&self, home: &str, name: &str, owner: &str, reached: &[&str]) -> RuntimeBuilder {
        let url = format!("hyperty-runtime://{home}/{name}");
        let mut builder = Runtime::builder(&url).clock(Arc::clone(&self.clock) as _);
        for (domain, node) in self.nodes.iter().filter(|(domain, _)| reached.contains(domain)) {
            let node = node.clone();
            let attach = move || node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()));
            builder = builder.message_node_via(domain, Arc::new(ChannelConnector::new(attach)));
            let user = format!("user://{home}/{owner}");
            let life = Duration::from_secs(10 * 3600);
            let claims = Claims {
                runtimes: Some(vec![url.parse().unwrap()]),
                hyperties: Some(vec![format!("hyperty://{home}/*").parse().unwrap()]),
                ..Claims::new(&user, domain, self.clock.now(), life)
            };
            let (token, domain) = (issuer().issue(&claims).unwrap(), *domain);
            builder = builder.sessions(move |stub| {
                if stub.domain == domain {
                    stub.token = Some(Arc::new(FixedToken::new(token.clone())));
                }
            });
        }
        builder
    }

    /// A runtime of a user who is at home in a domain, with one hyperty.
    pub(crate) async fn party(
        &self,
        home: &str,
        name: &str,
        choose: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> One {
        self.device(home, (name, name), &[HERE, THERE], choose).await
    }

    /// One of several runtimes of a user.
    pub(crate) async fn device(
        &self,
        home: &str,
        (name, owner): (&str, &str),
        reached: &[&str],
        choose: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> One {
        let runtime = choose(self.builder(home, name, owner, reached)).start().await.unwrap();
        runtime.schema(SCHEMA).unwrap();
        let user = format!("user://{home}/{owner}");
        let deployed = timeout(PATIENCE, runtime.deploy("app").user(&user)).await;
        One { runtime, app: deployed.expect("in time").unwrap() }
    }
}

pub(crate) struct One {
    pub(crate) runtime: Runtime,
    pub(crate) app: Hyperty,
}

pub(crate) async fn create(one: &One, accept: Accept) -> Reporter {
    let schema = one.runtime.schema(SCHEMA).unwrap();
    let create = one.app.create(schema).data(topic("a")).store(true).accept(accept);
    timeout(PATIENCE, create).await.expect("in time").unwrap()
}

pub(crate) async fn observe(one: &One, reporter: &Reporter) -> Observer {
    let subscribing = one.app.subscribe(reporter.url()).store(true);
    timeout(PATIENCE, subscribing).await.expect("in time").expect("it is accepted")
}

pub(crate) async fn given(from: &Reporter, to: &Hyperty) -> (Observer, Reporter) {
    let (mut offers, url): (_, HypertyUrl) = (to.delegations(), to.url().clone());
    let taking = tokio::spawn(async move {
        offers.next().await.unwrap().accept().observers(Accept::All).await.expect("it is taken over")
    });
    let former = timeout(PATIENCE, from.delegate(&url)).await.expect("an end").expect("it is given");
    (former, timeout(PATIENCE, taking).await.expect("an end").unwrap())
}

/// Everybody is somebody, and nobody listens who was not accepted: neither before nor after.
#[tokio::test(start_paused = true)]
async fn sessions_by_token_hand_an_object_on_across_domains_inv_dlg_3_inv_dlg_6() {
    for taker_at in [HERE, THERE] {
        let domains = Domains::new();
        let alice = domains.party(HERE, "alice", |builder| builder).await;
        let bob = domains.party(taker_at, "bob", |builder| builder).await;
        let carol = domains.party(THERE, "carol", |builder| builder).await;
        let dave = domains.party(HERE, "dave", |builder| builder).await;
        let board = create(&alice, Accept::All).await;
        let (mut hers, mut his) = (observe(&carol, &board).await, observe(&dave, &board).await);
        hers.children("notes").unwrap().add(json!({"by": "carol"})).await.unwrap();
        board.set("topic", "b").await.unwrap();
        let (mut former, report) = given(&board, &bob.app).await;
        assert_eq!((report.position(), report.data()), (Position::new(1, 2), topic("b")), "at {taker_at}");
        report.set("topic", "c").await.unwrap();
        assert_eq!(versions(&mut hers, 3).await, [1, 2, 3], "at {taker_at}");
        assert_eq!(versions(&mut his, 3).await, [1, 2, 3], "at {taker_at}");
        settled(&mut former, 3).await;
        assert_eq!(former.data(), topic("c"));
        // The new owner lets others in, and it is asked for by its users' names.
        let erin = domains.party(THERE, "erin", |builder| builder).await;
        let late = observe(&erin, &report).await;
        assert_eq!((late.data(), late.metadata().reporter), (topic("c"), bob.app.url().clone()));
        assert_eq!(report.children("notes").unwrap().list().len(), 1);
        let note = late.children("notes").unwrap().add(json!({"by": "erin"}));
        timeout(PATIENCE, std::future::IntoFuture::into_future(note)).await.expect("in time").unwrap();
        assert_eq!(report.children("notes").unwrap().list().len(), 2);
        // And gives it back.
        let (_, back) = given(&report, &alice.app).await;
        assert_eq!(back.position(), Position::new(2, 4), "at {taker_at}");
        back.set("topic", "d").await.unwrap();
        assert_eq!(versions(&mut hers, 5).await, [4, 5], "at {taker_at}");
        timeout(PATIENCE, back.delete()).await.expect("in time").unwrap();
    }
}

/// A disk answers after so long, at one side or at both: the object changes hands all the same, or stays.
#[tokio::test(start_paused = true)]
async fn over_slow_disks_nothing_is_lost_inv_dlg_2_inv_dlg_5() {
    let (quick, slow) = (QUICK, Duration::from_millis(1_900));
    for (of_giver, of_taker) in [(slow, quick), (quick, slow), (slow, slow), (Duration::from_secs(7), quick)]
    {
        let world = World::new(980);
        let (mut parties, slow_now) = (Vec::new(), Arc::new(AtomicBool::new(false)));
        for (name, latency) in [("alice", of_giver), ("bob", of_taker), ("carol", quick)] {
            let tables = Arc::new(SimulatedDisk::new(11).open().unwrap());
            let (disk, slow) = (Arc::downgrade(&tables), Arc::clone(&slow_now));
            tokio::spawn(async move {
                // Syncs one after the other, each as slow as the disk is by then.
                loop {
                    tokio::time::sleep(QUICK).await;
                    if slow.load(Ordering::Relaxed) {
                        tokio::time::sleep(latency).await;
                    }
                    let Some(tables) = disk.upgrade() else { return };
                    if tables.sync().is_err() {
                        return;
                    }
                }
            });
            let runtime = world.runtime(name, &tables).await;
            runtime.schema(SCHEMA).unwrap();
            let app = runtime.deploy("app").await.unwrap();
            parties.push(One { runtime, app });
        }
        let [alice, bob, carol] = <[One; 3]>::try_from(parties).ok().expect("three");
        let board = create(&alice, Accept::All).await;
        let mut copy = observe(&carol, &board).await;
        let begun = Instant::now();
        slow_now.store(true, Ordering::Relaxed);
        let waiting: Vec<_> = (1..=20).map(|n| board.set("n", n)).collect();
        let mut offers = bob.app.delegations();
        let taking = tokio::spawn(async move { offers.next().await?.accept().await.ok() });
        let given = timeout(PATIENCE, board.delegate(bob.app.url())).await.expect("an end");
        for write in waiting {
            timeout(PATIENCE, write).await.expect("an answer").expect("made before, it is kept");
        }
        let taken = timeout(PATIENCE, taking).await.expect("an end").unwrap();
        // A store that needs longer than a Reporter may be stopped for keeps its object.
        let in_time = of_giver < Duration::from_secs(5);
        assert_eq!(
            (given.is_ok(), taken.is_some()),
            (in_time, in_time),
            "{of_giver:?} {of_taker:?} {given:?}"
        );
        let owner = taken.unwrap_or(board);
        slow_now.store(false, Ordering::Relaxed);
        assert_eq!(owner.data()["n"], 20);
        owner.set("topic", "after").await.unwrap();
        let last = owner.position().version;
        assert_eq!(versions(&mut copy, last).await, (1..=last).collect::<Vec<_>>());
        assert_eq!(copy.data(), owner.data());
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    }
}
