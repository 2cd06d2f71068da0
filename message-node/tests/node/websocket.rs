//! Over a real socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyperty_message_node::{AdminPages, MessageNode, NodeConfig, NodeStatus, admin, serve};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_storage::MemoryTables;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{DOMAIN, MN, runtime};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    node: MessageNode,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

async fn server(config: NodeConfig) -> Server {
    let tables = Arc::new(MemoryTables::new());
    let (node, driver) =
        MessageNode::new(config, tables, Arc::new(SystemClock), Arc::new(SystemIds)).unwrap();
    tokio::spawn(driver.run());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(node.clone(), listener, async {
        let _ = stopped.await;
    }));
    Server { node, address, stop, served }
}

impl Server {
    /// The whole answer to a GET with these additional headers.
    async fn get(&self, path: &str, headers: &str) -> String {
        let mut http = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
        http.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn open(&self, name: &str) -> Socket {
        let mut socket = connect_async(format!("ws://{}/ws", self.address)).await.unwrap().0;
        send(&mut socket, "open", &runtime(name), "mn:/session", json!({})).await;
        assert_eq!(recv(&mut socket).await["body"]["code"], 200);
        socket
    }
}

async fn send(socket: &mut Socket, kind: &str, from: &str, to: &str, body: Value) {
    let message = json!({"id": 1, "type": kind, "from": from, "to": to, "body": body});
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn next(socket: &mut Socket) -> Option<Message> {
    let message = timeout(Duration::from_secs(10), socket.next()).await.expect("something in time");
    message.and_then(Result::ok)
}

async fn recv(socket: &mut Socket) -> Value {
    loop {
        match next(socket).await.expect("an open connection") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn close_code(socket: &mut Socket) -> CloseCode {
    loop {
        match next(socket).await {
            Some(Message::Close(Some(frame))) => return frame.code,
            Some(Message::Text(_) | Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn sessions_publish_and_close_over_websockets() {
    let server = server(NodeConfig::new(DOMAIN)).await;
    let mut reporter = server.open("reporter").await;
    let mut observer = server.open("observer").await;
    let (object, changes) = ("comm://example.com/1", "comm://example.com/1/changes");
    let sm = format!("{}/sm", runtime("observer"));
    send(&mut observer, "subscribe", &sm, MN, json!({"resources": [changes]})).await;
    assert_eq!(recv(&mut observer).await["body"]["code"], 200);
    for version in 1..=200 {
        send(
            &mut reporter,
            "update",
            object,
            changes,
            json!({"version": version, "value": "é".repeat(version)}),
        )
        .await;
    }
    for version in 1..=200 {
        let update = recv(&mut observer).await;
        assert_eq!(update["body"], json!({"version": version, "value": "é".repeat(version)}));
    }
    // Too long to be a message, but short enough to be answered.
    let long = "x".repeat(server.node.config().limits.message.bytes);
    send(&mut reporter, "update", object, changes, json!({"value": long})).await;
    assert_eq!(recv(&mut reporter).await["body"]["code"], 400);

    send(&mut observer, "close", &runtime("observer"), "mn:/session", json!({})).await;
    assert_eq!(close_code(&mut observer).await, CloseCode::Normal);
    // A connection that just goes is as good as lost.
    drop(reporter);
    timeout(Duration::from_secs(10), server.node.deserted()).await.unwrap();
    assert_eq!(server.node.stats().sessions, 1, "graced");
}

#[tokio::test]
async fn health_is_told_and_stopping_says_goodbye() {
    let server = server(NodeConfig::new(DOMAIN)).await;
    let answer = server.get("/healthz", "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");

    let mut client = server.open("client").await;
    let mut early = connect_async(format!("ws://{}/ws", server.address)).await.unwrap().0;
    // Somebody who never ends a request holds up nothing.
    let mut endless = TcpStream::connect(server.address).await.unwrap();
    endless.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nEnd").await.unwrap();
    server.stop.send(()).unwrap();
    assert_eq!(close_code(&mut client).await, CloseCode::Restart);
    assert_eq!(close_code(&mut early).await, CloseCode::Restart);
    timeout(Duration::from_secs(10), server.served).await.unwrap().unwrap().unwrap();
}

/// Everybody may ask whether the node is well; who is connected is told on the same machine only, and not to proxies.
#[tokio::test]
async fn pages_for_operators_are_told_to_this_machine_only() {
    let node = server(NodeConfig::new(DOMAIN)).await;
    let _client = node.open("client").await;
    for proxy in ["", "Forwarded: for=192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.1\r\n"] {
        let code = if proxy.is_empty() { "HTTP/1.1 200" } else { "HTTP/1.1 403" };
        let ready = node.get("/readyz", proxy).await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#"{"status":"ready"}"#), "{ready}");
        for page in ["/metrics", "/status"] {
            let answer = node.get(page, proxy).await;
            assert!(answer.starts_with(code), "{page} {proxy}: {answer}");
            assert_eq!(answer.contains("sessions"), proxy.is_empty(), "{answer}");
        }
    }
    let (code, text) = admin::http_get(&format!("http://{}/status", node.address)).await.unwrap();
    let status: NodeStatus = serde_json::from_str(&text).unwrap();
    assert_eq!((code, status.sessions[0].runtime.as_str()), (200, runtime("client").as_str()));

    let mut config = NodeConfig::new(DOMAIN);
    config.admin = AdminPages::Elsewhere;
    let node = server(config).await;
    assert!(node.get("/status", "").await.starts_with("HTTP/1.1 404"));
    assert!(node.get("/readyz", "").await.starts_with("HTTP/1.1 200"));
}

/// On an address of their own the pages are told to whoever reaches it, also while the node drains.
#[tokio::test]
async fn the_pages_have_an_address_of_their_own_if_wanted() {
    let node = server(NodeConfig::new(DOMAIN)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(admin::serve_admin(Arc::new(node.node.clone()), listener, async {
        let _ = stopped.await;
    }));
    let page = |path: &str| format!("http://{address}{path}");
    let (code, metrics) = admin::http_get(&page("/metrics")).await.unwrap();
    assert!(code == 200 && metrics.ends_with("# EOF\n"), "{metrics}");
    node.node.begin_drain();
    let (code, text) = admin::http_get(&page("/readyz")).await.unwrap();
    let ready: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, ready), (503, json!({"status": "notReady", "reasons": ["draining"]})));
    assert_eq!(admin::http_get(&page("/healthz")).await.unwrap().0, 200);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    for wrong in ["127.0.0.1:1/status", "http:///status", "http://127.0.0.1:1"] {
        assert!(matches!(admin::http_get(wrong).await, Err(admin::GetError::Address(_))), "{wrong}");
    }
    assert!(matches!(admin::http_get(&page("/status")).await, Err(admin::GetError::Unreachable { .. })));
}

/// A client need not wait for the upgrade before it speaks, nor end its frames where its packets end.
#[tokio::test]
async fn frames_may_come_with_the_upgrade_and_in_pieces() {
    let server = server(NodeConfig::new(DOMAIN)).await;
    let text = json!({"id": 1, "type": "open", "from": runtime("hasty"), "to": "mn:/session"}).to_string();
    let mut frames = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frames.extend(text.bytes());
    let text = json!({"id": 2, "type": "ping", "from": runtime("hasty"), "to": "mn:/session"}).to_string();
    // In two fragments.
    let (first, second) = text.split_at(10);
    frames.extend([0x01, 0x80 | 10, 0, 0, 0, 0]);
    frames.extend(first.bytes());
    frames.extend([0x80, 0x80 | u8::try_from(second.len()).unwrap(), 0, 0, 0, 0]);
    frames.extend(second.bytes());
    let head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for cut in [1, 5, 90, frames.len() - 1, frames.len()] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&[head.as_bytes(), &frames[..cut]].concat()).await.unwrap();
        let mut got = Vec::new();
        let answers = |got: &[u8]| String::from_utf8_lossy(got).matches(r#""code":200"#).count();
        while !String::from_utf8_lossy(&got).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
            assert!(socket.read_buf(&mut got).await.unwrap() > 0);
        }
        socket.write_all(&frames[cut..]).await.unwrap();
        while answers(&got) < 2 {
            assert!(timeout(Duration::from_secs(10), socket.read_buf(&mut got)).await.unwrap().unwrap() > 0);
        }
        // Closed properly, so that the next one may open.
        socket.write_all(&[0x88, 0x80 | 2, 0, 0, 0, 0, 3, 232]).await.unwrap();
        while timeout(Duration::from_secs(10), socket.read_buf(&mut got)).await.unwrap().unwrap() > 0 {}
        assert!(got.ends_with(&[0x88, 2, 3, 232]));
        timeout(Duration::from_secs(10), server.node.deserted()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so() {
    let server = server(NodeConfig::new(DOMAIN)).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let requests = [
        ("", "400"),
        (upgrade, "426"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", "400"),
    ];
    for (headers, status) in requests {
        let mut http = TcpStream::connect(server.address).await.unwrap();
        http.write_all(format!("GET /ws HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        assert!(http.read_buf(&mut answer).await.unwrap() > 0);
        assert!(
            answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    // A frame that is against the rules ends its connection with the code that says so.
    let mut client = server.open("client").await;
    if let MaybeTlsStream::Plain(socket) = client.get_mut() {
        socket.write_all(&[0x83, 0x80, 0, 0, 0, 0]).await.unwrap();
    }
    assert_eq!(close_code(&mut client).await, CloseCode::Protocol);
}
