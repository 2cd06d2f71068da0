//! Sessions and hyperties are somebody: what a runtime, a node and a peer say of a user does not count, only what a
//! token or the runtime's own registry says.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::DOMAIN;
use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
use hyperty_message_node::tls::{TlsServer, dev_certificate};
use hyperty_message_node::{MessageNode, NodeConfig, serve_tls};
use hyperty_model::message::{OneOrMany, SubscribeBody};
use hyperty_model::{
    Body, Clock, Identity, ManualClock, MessageType, SeededIds, StatusCode, SystemClock, Timestamp, Url,
};
use hyperty_protostub::{ChannelConnector, ConnectError, TokenError, TokenSource};
use hyperty_runtime::{FixedToken, Hyperty, NodeAccess, Runtime, TlsClient};
use hyperty_storage::MemoryTables;
use hyperty_syncher::{Accept, SubscribeError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

fn issuer() -> IssuerKey {
    IssuerKey::generate(&SeededIds::new(7))
}

fn user(name: &str) -> String {
    format!("user://{DOMAIN}/{name}")
}

fn token(name: &str, now: Timestamp, life: Duration) -> String {
    issuer().issue(&Claims::new(&user(name), DOMAIN, now, life)).unwrap()
}

/// A node, which admits by token or everybody.
fn node(tokens: bool, clock: Arc<dyn Clock>) -> MessageNode {
    let mut config = NodeConfig::new(DOMAIN);
    if tokens {
        config.admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer().public()));
    }
    let tables = Arc::new(MemoryTables::new());
    let (node, driver) = MessageNode::new(config, tables, clock, Arc::new(SeededIds::new(1))).unwrap();
    tokio::spawn(driver.run());
    node
}

/// A runtime with a hyperty that was deployed for `says`, over a session that `source` opens.
async fn party(
    node: &MessageNode,
    name: &str,
    source: Arc<dyn TokenSource>,
    says: &str,
) -> (Runtime, Hyperty) {
    let node = node.clone();
    let attach = move || node.channel().map_err(|error| ConnectError::Unreachable(error.to_string()));
    let runtime = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"))
        .message_node_via(DOMAIN, Arc::new(ChannelConnector::new(attach)))
        .sessions(move |stub| stub.token = Some(Arc::clone(&source)))
        .start()
        .await
        .unwrap();
    let hyperty = timeout(PATIENCE, runtime.deploy("app").user(&user(says))).await.expect("in time").unwrap();
    (runtime, hyperty)
}

fn for_alice() -> Accept {
    Accept::List(vec![Url::parse(&user("alice")).unwrap()])
}

/// Bob's runtime says that Bob is Alice. With tokens that is of no use; without, it is believed.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_lies_about_its_user_is_not_believed_where_sessions_are_somebody() {
    for tokens in [true, false] {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let (node, now) = (node(tokens, clock.clone()), clock.now());
        let source =
            |name| Arc::new(FixedToken::new(token(name, now, PATIENCE * 60))) as Arc<dyn TokenSource>;
        let (carols, carol) = party(&node, "carol", source("carol"), "carol").await;
        let (_alices, alice) = party(&node, "alice", source("alice"), "alice").await;
        let (_bobs, bob) = party(&node, "bob", source("bob"), "alice").await;
        let create =
            carol.create(carols.schema(SCHEMA).unwrap()).data(json!({"topic": "a"})).accept(for_alice());
        let board = timeout(PATIENCE, create).await.expect("in time").unwrap();
        let seen = timeout(PATIENCE, alice.subscribe(board.url())).await.expect("in time").unwrap();
        assert_eq!(seen.data()["topic"], "a");
        let refused = timeout(PATIENCE, bob.subscribe(board.url())).await.expect("in time");
        match refused {
            Err(SubscribeError::Refused { code, .. }) if tokens => assert_eq!(code, StatusCode::FORBIDDEN),
            Ok(_) if !tokens => {}
            other => panic!("tokens {tokens}: {other:?}"),
        }
    }
}

/// In one runtime, a hyperty that writes another's user into its messages.
#[tokio::test(start_paused = true)]
async fn a_hyperty_that_lies_about_its_user_is_not_believed_by_its_runtime() {
    let runtime = Runtime::builder("hyperty-runtime://example.com/one").start().await.unwrap();
    let carol = runtime.deploy("carol").user(&user("carol")).await.unwrap();
    let alice = runtime.deploy("alice").user(&user("alice")).await.unwrap();
    let (bob, nobody) =
        (runtime.deploy("bob").user(&user("bob")).await.unwrap(), runtime.deploy("x").await.unwrap());
    let create =
        carol.create(runtime.schema(SCHEMA).unwrap()).data(json!({"topic": "a"})).accept(for_alice());
    let board = create.await.unwrap();
    let ask = async |hyperty: &Hyperty| {
        let body = SubscribeBody {
            resource: Some(OneOrMany(vec![board.url().clone()])),
            identity: Some(Identity::of_user(&user("alice"))),
            ..SubscribeBody::default()
        };
        let bus = runtime.bus();
        let to = runtime.url().sync_manager();
        let message = bus.new_message(MessageType::Subscribe, hyperty.url(), &to, Body::of(body));
        // As the hyperty's own bus does.
        let message = message.with_sender(hyperty.url().as_url().clone());
        timeout(PATIENCE, bus.request(message)).await.expect("in time").code()
    };
    assert_eq!(ask(&alice).await, StatusCode::OK);
    assert_eq!(ask(&bob).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(&nobody).await, StatusCode::FORBIDDEN);
}

/// Short lives, renewed and not: streams go on, and one that ended heals when there is a token again.
#[tokio::test(start_paused = true)]
async fn a_stream_outlives_its_tokens_and_heals_when_there_are_some_again() {
    struct Moving(tokio::time::Instant);
    impl Clock for Moving {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_700_000_000_000) + self.0.elapsed()
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(Moving(tokio::time::Instant::now()));
    let node = node(true, Arc::clone(&clock));
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let source = |name: &'static str| -> Arc<dyn TokenSource> {
        let (clock, away) = (Arc::clone(&clock), Arc::clone(&away));
        Arc::new(move || {
            let issuer_is_away = name == "bob" && away.load(std::sync::atomic::Ordering::Relaxed);
            let token = match issuer_is_away {
                true => Err(TokenError("the issuer is away".to_owned())),
                false => Ok(token(name, clock.now(), PATIENCE)),
            };
            std::future::ready(token)
        })
    };
    let (alices, alice) = party(&node, "alice", source("alice"), "alice").await;
    let (_bobs, bob) = party(&node, "bob", source("bob"), "bob").await;
    let create = alice.create(alices.schema(SCHEMA).unwrap()).data(json!({"topic": "a"})).accept(Accept::All);
    let board = timeout(PATIENCE, create).await.expect("in time").unwrap();
    let mut copy = timeout(PATIENCE, bob.subscribe(board.url())).await.expect("in time").unwrap();
    for round in 0..10 {
        sleep(PATIENCE).await;
        board.set("topic", format!("{round}")).await.unwrap();
        crate::support::settled(&mut copy, round + 1).await;
    }
    assert_eq!((node.stats().opened, node.stats().ended), (2, 0), "renewed all the time");
    away.store(true, std::sync::atomic::Ordering::Relaxed);
    sleep(PATIENCE * 2).await;
    assert_eq!(node.stats().sessions, 1, "Bob's session ended");
    board.set("topic", "unseen").await.unwrap();
    sleep(PATIENCE).await;
    assert_eq!(copy.version(), 10);
    away.store(false, std::sync::atomic::Ordering::Relaxed);
    crate::support::settled(&mut copy, 11).await;
    assert_eq!(copy.data()["topic"], "unseen");
}

/// Over real sockets: a node with a certificate of its own authority, and runtimes that know it or not.
#[tokio::test]
async fn streams_go_over_tls_and_nobody_else_is_believed_to_be_the_node() {
    let dir = std::env::temp_dir().join(format!("hyperty-system-tls-{}", std::process::id()));
    let made = dev_certificate(&dir, &["127.0.0.1".to_owned()]).unwrap();
    let other = dev_certificate(&dir.join("other"), &["127.0.0.1".to_owned()]).unwrap();
    let authority = |path| TlsClient::with_authorities(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (ca, stranger) = (authority(&made.ca), authority(&other.ca));
    let tls = TlsServer::from_files(&made.chain, &made.key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/ws", listener.local_addr().unwrap());
    let node = node(true, Arc::new(SystemClock));
    tokio::spawn(serve_tls(node.clone(), listener, tls.clone(), std::future::pending()));
    let now = SystemClock.now();
    let start = async |name: &str, access: NodeAccess| {
        let builder = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"));
        builder.message_node_with(DOMAIN, &url, access).start().await.unwrap()
    };
    let access = |name| NodeAccess::new().tls(ca.clone()).token(FixedToken::new(token(name, now, PATIENCE)));
    let (alices, bobs) = (start("alice", access("alice")).await, start("bob", access("bob")).await);
    let deceived = start("eve", access("eve").tls(stranger)).await;
    let alice = timeout(PATIENCE, alices.deploy("app").user(&user("alice"))).await.expect("in time").unwrap();
    let bob = timeout(PATIENCE, bobs.deploy("app").user(&user("bob"))).await.expect("in time").unwrap();
    let create = alice.create(alices.schema(SCHEMA).unwrap()).data(json!({"topic": "a"})).accept(Accept::All);
    let board = timeout(PATIENCE, create).await.expect("in time").unwrap();
    let mut copy = timeout(PATIENCE, bob.subscribe(board.url())).await.expect("in time").unwrap();
    // Longer than a record of TLS.
    board.set("long", "x".repeat(100_000)).await.unwrap();
    timeout(PATIENCE, crate::support::settled(&mut copy, 1)).await.expect("in time");
    // The certificate may change meanwhile.
    dev_certificate(&dir, &["127.0.0.1".to_owned()]).unwrap();
    tls.reload().unwrap();
    let late = start("late", access("late")).await;
    timeout(PATIENCE, late.connected()).await.expect("in time");
    while deceived.connection_errors().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(deceived.connection_errors()[0].1.contains("certificate"), "{:?}", deceived.connection_errors());
    assert_eq!(node.stats().live, 3);
    std::fs::remove_dir_all(dir).unwrap();
}
