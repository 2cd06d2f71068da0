//! The WebSocket transport against a real socket.

use std::sync::Arc;

use crate::support::{Side, numbers, url};
use futures_util::{SinkExt, StreamExt};
use hyperty_message_bus::{Protostub, StubStatus};
use hyperty_model::MessageType;
use hyperty_protostub::{ConnectError, Connector, SessionError, TransportError, WebSocketConnector};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

type Socket = WebSocketStream<TcpStream>;

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}/ws", listener.local_addr().unwrap());
    (listener, address)
}

async fn accept(listener: &TcpListener) -> Socket {
    let (stream, _) = listener.accept().await.unwrap();
    tokio_tungstenite::accept_async(stream).await.unwrap()
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        if let Frame::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn answer(socket: &mut Socket, kind: &str, body: Value) {
    let asked = next(socket).await;
    assert_eq!(asked["type"], kind);
    let answer = json!({ "id": asked["id"], "type": "response", "from": asked["to"], "to": asked["from"], "body": body });
    socket.send(Frame::text(answer.to_string())).await.unwrap();
}

#[tokio::test]
async fn a_session_survives_its_socket_and_ends_with_a_goodbye() {
    let (listener, address) = listener().await;
    let side = Side::new(Arc::new(WebSocketConnector::new(address)));
    let got = Arc::new(Mutex::new(0));
    let count = Arc::clone(&got);
    let _listener = side.bus.listen(&url("hyperty://example.com/1"), move |_| *count.lock() += 1).unwrap();
    let mut socket = accept(&listener).await;
    answer(&mut socket, "open", json!({ "code": 200, "runtimeToken": "t1" })).await;
    for number in 0..2_000 {
        side.send(MessageType::Read, "hyperty://example.com/2", number).unwrap();
        let update = json!({ "id": number, "type": "update", "from": "hyperty://a/1", "to": "hyperty://example.com/1" });
        socket.feed(Frame::text(update.to_string())).await.unwrap();
    }
    socket.flush().await.unwrap();
    for number in 0..2_000 {
        assert_eq!(numbers(&[next(&mut socket).await]), [number]);
    }
    // Not a regular end: the socket is gone.
    drop(socket);
    let mut socket = accept(&listener).await;
    assert_eq!(*got.lock(), 2_000);
    answer(&mut socket, "re-open", json!({ "code": 200 })).await;
    side.stub.live().await.unwrap();
    let node = tokio::spawn(async move {
        let close = next(&mut socket).await;
        assert_eq!(
            (&close["type"], &close["from"]),
            (&json!("close"), &json!(format!("{}/t1", crate::support::RUNTIME)))
        );
        assert!(matches!(socket.next().await, Some(Ok(Frame::Close(_))) | None));
    });
    side.stub.close().await;
    node.await.unwrap();
    side.driver.await.unwrap();
}

#[tokio::test]
async fn a_node_that_stops_in_order_is_come_back_to() {
    let (listener, address) = listener().await;
    let side = Side::new(Arc::new(WebSocketConnector::new(address)));
    for (kind, code) in [("open", CloseCode::Restart), ("re-open", CloseCode::Away)] {
        let mut socket = accept(&listener).await;
        answer(&mut socket, kind, json!({ "code": 200, "runtimeToken": "t1" })).await;
        side.stub.live().await.unwrap();
        socket.close(Some(CloseFrame { code, reason: "".into() })).await.unwrap();
        let mut status = side.stub.status();
        while status == StubStatus::Live {
            tokio::task::yield_now().await;
            status = side.stub.status();
        }
        assert_eq!(side.stub.last_error(), Some(SessionError::Lost(TransportError::GoingAway)));
    }
    let mut socket = accept(&listener).await;
    answer(&mut socket, "re-open", json!({ "code": 200 })).await;
    side.stub.live().await.unwrap();
}

#[tokio::test]
async fn a_node_that_only_answers_pings_is_alive() {
    let (listener, address) = listener().await;
    let interval = std::time::Duration::from_millis(50);
    let side = Side::new(Arc::new(WebSocketConnector::new(address).ping_interval(interval)));
    let mut socket = accept(&listener).await;
    answer(&mut socket, "open", json!({ "code": 200, "runtimeToken": "t1" })).await;
    // Reading answers the pings.
    for _ in 0..4 {
        assert!(matches!(socket.next().await, Some(Ok(Frame::Ping(_)))));
    }
    assert_eq!(side.stub.status(), StubStatus::Live);
    // No longer reading, so no longer answering.
    while side.stub.last_error().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(side.stub.last_error(), Some(SessionError::Silent));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_the_connection() {
    let (listener, address) = listener().await;
    let side = Side::new(Arc::new(WebSocketConnector::new(address).frame_bytes_max(1_000)));
    let mut socket = accept(&listener).await;
    answer(&mut socket, "open", json!({ "code": 200, "runtimeToken": "t1" })).await;
    side.stub.live().await.unwrap();
    socket.send(Frame::text("x".repeat(1_001))).await.unwrap();
    let mut socket = accept(&listener).await;
    assert!(matches!(side.stub.last_error(), Some(SessionError::Lost(TransportError::TooLong(_)))));
    answer(&mut socket, "re-open", json!({ "code": 200 })).await;
    side.stub.live().await.unwrap();
}

async fn refusal(address: &str) -> ConnectError {
    WebSocketConnector::new(address).connect().await.err().expect("no connection")
}

#[tokio::test]
async fn what_cannot_be_connected_says_why() {
    assert!(matches!(refusal("http://127.0.0.1/ws").await, ConnectError::Address { .. }));
    assert!(matches!(refusal("127.0.0.1:9090").await, ConnectError::Address { .. }));
    assert!(matches!(refusal("ws://").await, ConnectError::Address { .. }));
    let (closed, address) = listener().await;
    drop(closed);
    assert!(matches!(refusal(&address).await, ConnectError::Unreachable(_)));
    let (other, address) = listener().await;
    let server = tokio::spawn(async move {
        let (stream, _) = other.accept().await.unwrap();
        stream.readable().await.unwrap();
        stream.try_write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
        stream
    });
    assert!(matches!(refusal(&address).await, ConnectError::Handshake(_)));
    server.await.unwrap();
}
