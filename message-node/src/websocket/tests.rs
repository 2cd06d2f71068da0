//! Connections over a pipe in paused time: what has to do with waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyperty_model::{SeededIds, SystemClock};
use hyperty_storage::MemoryTables;
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::connection;
use crate::config::NodeConfig;
use crate::node::MessageNode;

type Socket = WebSocketStream<DuplexStream>;

fn node() -> MessageNode {
    let (tables, ids) = (Arc::new(MemoryTables::new()), Arc::new(SeededIds::new(3)));
    MessageNode::new(NodeConfig::new("example.com"), tables, Arc::new(SystemClock), ids).unwrap().0
}

async fn connect(node: &MessageNode) -> Socket {
    let (ours, theirs) = duplex(4 * 1024);
    let link = node.attach().unwrap();
    tokio::spawn(connection::run(theirs, Bytes::new(), link, node.config().timers, 1 << 20));
    WebSocketStream::from_raw_socket(ours, Role::Client, None).await
}

async fn open(node: &MessageNode, name: &str) -> Socket {
    let mut socket = connect(node).await;
    send(&mut socket, name, "open", "mn:/session").await;
    assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains(r#""code":200"#));
    socket
}

async fn send(socket: &mut Socket, name: &str, kind: &str, to: &str) {
    let from = format!("hyperty-runtime://example.com/{name}");
    let text = format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"{to}"}}"#);
    socket.send(Message::text(text)).await.unwrap();
}

/// The code with which the node closes, and what came before.
async fn closed(socket: &mut Socket) -> (u16, Vec<Message>) {
    let mut before = Vec::new();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(frame) => return (frame.unwrap().code.into(), before),
            message => before.push(message),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_opens_no_session_is_sent_away() {
    let (node, begun) = (node(), Instant::now());
    let mut socket = connect(&node).await;
    assert_eq!(closed(&mut socket).await, (4002, vec![]));
    assert_eq!(begun.elapsed(), node.config().timers.open);
    assert_eq!(node.links(), 0);
}

#[tokio::test(start_paused = true)]
async fn pings_keep_a_connection_and_silence_ends_one() {
    let node = node();
    let mut alive = open(&node, "alive").await;
    let _deaf = open(&node, "deaf").await;
    // Reading is answering pings.
    let reading = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 30 {
            pings += usize::from(alive.next().await.unwrap().unwrap().is_ping());
        }
        alive
    });
    let timers = node.config().timers;
    sleep(timers.idle - Duration::from_secs(1)).await;
    assert_eq!(node.links(), 2);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(node.links(), 1, "nothing was heard of the deaf one");
    let begun = Instant::now();
    let _alive = reading.await.unwrap();
    assert!(begun.elapsed() > timers.idle * 3, "for as long as pings are answered");
    assert_eq!(node.links(), 1);
}

/// A client that does not take what it asked for is cut, though its socket is blocked for writing.
#[tokio::test(start_paused = true)]
async fn a_blocked_connection_is_cut_when_its_queue_is_given_up() {
    let node = node();
    let mut asker = open(&node, "asker").await;
    let count = node.config().limits.queue.count + 3_000;
    for _ in 0..count {
        if node.links() == 0 {
            break;
        }
        let from = r#"{"id":1,"type":"read","from":"hyperty-runtime://example.com/asker","to":"comm://x/y"}"#;
        let _ = asker.send(Message::text(from)).await;
    }
    node.deserted().await;
    assert_eq!(node.stats().overflowed, 1);
    assert_eq!(node.stats().sessions, 1, "and may come back");
}

/// A client that speaks and reads nothing is sent away as well, though nothing overflows: its half of the connection
/// may be dead.
#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_sent_away_though_it_speaks() {
    let node = node();
    let mut socket = open(&node, "deaf").await;
    let (begun, timers) = (Instant::now(), node.config().timers);
    // More answers than the pipe holds.
    for _ in 0..100 {
        send(&mut socket, "deaf", "read", "hyperty://example.com/nobody").await;
    }
    while node.links() == 1 {
        assert!(begun.elapsed() <= timers.idle + timers.ping, "it is still served");
        sleep(Duration::from_secs(1)).await;
        let _ = socket.send(Message::Ping(Bytes::new())).await;
    }
    assert!(begun.elapsed() >= timers.idle, "{:?}", begun.elapsed());
    assert_eq!(node.stats().sessions, 1, "and may come back");
}

/// A client that only writes for a while does not stop the node from reading, though it cannot write meanwhile.
#[tokio::test(start_paused = true)]
async fn two_ends_that_only_write_do_not_wait_for_each_other() {
    let node = node();
    let mut client = open(&node, "client").await;
    // Far more than the pipe holds, and less than the queue.
    for _ in 0..3_000 {
        send(&mut client, "client", "read", "hyperty://example.com/nobody").await;
    }
    for _ in 0..3_000 {
        let answer = client.next().await.unwrap().unwrap();
        assert!(answer.to_text().unwrap().contains(r#""code":404"#));
    }
}

/// A session's messages that were queued when it closed are not sent behind the close.
#[tokio::test(start_paused = true)]
async fn a_closed_session_is_said_goodbye() {
    let node = node();
    let mut socket = open(&node, "client").await;
    send(&mut socket, "client", "ping", "mn:/session").await;
    send(&mut socket, "client", "close", "mn:/session").await;
    let (code, before) = closed(&mut socket).await;
    assert_eq!(code, 1000);
    assert!(before.len() <= 1);
    assert_eq!(node.stats().sessions, 0);
    node.deserted().await;
}
