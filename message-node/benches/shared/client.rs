//! A client as cheap as can be.

// Not every bench uses all of it.
#![allow(dead_code)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct Client {
    socket: TcpStream,
    runtime: String,
}

impl Client {
    /// Connects and opens a session; `room` is the size of the socket's buffer for what comes in.
    pub(crate) async fn open(address: SocketAddr, name: &str, room: Option<u32>) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(room) = room {
            socket.set_recv_buffer_size(room).expect("a socket that takes options");
        }
        let mut socket = socket.connect(address).await.expect("a server that listens");
        socket.set_nodelay(true).expect("a socket that takes options");
        let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("a server that reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert!(socket.read_buf(&mut answer).await.expect("an answer") > 0, "no upgrade");
        }
        let runtime = format!("hyperty-runtime://example.com/{name}");
        let mut client = Client { socket, runtime };
        client.request("open", "mn:/session", "{}").await;
        client
    }

    /// Listens to these addresses, which are JSON texts with commas between them.
    pub(crate) async fn subscribe(&mut self, urls: &str) {
        let body = format!(r#"{{"resources":[{urls}]}}"#);
        self.request("subscribe", "domain://msg-node.example.com/sm", &body).await;
    }

    /// Sends a message and reads its answer, which is short.
    async fn request(&mut self, kind: &str, to: &str, body: &str) {
        let from = &self.runtime;
        let message = format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"{to}","body":{body}}}"#);
        self.socket.write_all(&masked(message.as_bytes())).await.expect("a server that reads");
        let mut answer = [0; 1024];
        let read = self.socket.read(&mut answer).await.expect("an answer");
        let text = String::from_utf8_lossy(&answer[..read]);
        assert!(text.contains(r#""code":200"#), "{text}");
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

/// A change of `object` with a value of this size, as clients send it.
pub(crate) fn update(object: &str, bytes: usize) -> Vec<u8> {
    let value = "x".repeat(bytes);
    let body = format!(r#"{{"attribute":"a","value":"{value}","version":1}}"#);
    masked(
        format!(r#"{{"id":1,"type":"update","from":"{object}","to":"{object}/changes","body":{body}}}"#)
            .as_bytes(),
    )
}

/// Counts text frames in a stream of bytes, however they are cut.
#[derive(Default)]
pub(crate) struct Frames {
    /// What is left of the frame that has begun.
    rest: usize,
    /// The start of a header.
    head: Vec<u8>,
}

impl Frames {
    /// How many text frames end in these bytes.
    pub(crate) fn ended(&mut self, mut input: &[u8]) -> usize {
        let mut ended = 0;
        while !input.is_empty() {
            if self.rest == 0 {
                self.head.push(input[0]);
                input = &input[1..];
                let Some(len) = length(&self.head) else { continue };
                self.rest = len;
                let text = self.head[0] == 0x81;
                self.head.clear();
                // A ping is no frame that counts, and has no payload here.
                assert!(text || len == 0, "nothing but updates and pings");
                continue;
            }
            let taken = self.rest.min(input.len());
            input = &input[taken..];
            self.rest -= taken;
            ended += usize::from(self.rest == 0);
        }
        ended
    }
}

/// The length of the payload, once the header is whole.
fn length(head: &[u8]) -> Option<usize> {
    match *head.get(1)? & 0x7f {
        126 if head.len() == 4 => Some(usize::from(u16::from_be_bytes([head[2], head[3]]))),
        127 if head.len() == 10 => head[2..]
            .iter()
            .try_fold(0, |len: usize, byte| len.checked_mul(256)?.checked_add(usize::from(*byte))),
        126 | 127 => None,
        short => Some(usize::from(short)),
    }
}

/// A text frame as clients send it.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
