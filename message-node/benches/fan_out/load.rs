//! The load: a publisher that keeps a window of messages in flight, and sessions that count frames. As cheap as can
//! be, so that the server is what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const OBJECT: &str = "comm://example.com/8a7b1f04-6f1c-4a55-9d2e-0c6a2f1f7c11";

/// All that may be on its way at once: enough to keep the server busy, too little to fill a queue.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;
const WINDOW_FRAMES: std::ops::RangeInclusive<usize> = 4..=256;

pub(crate) struct Load {
    publisher: TcpStream,
    received: Arc<Received>,
    sessions: usize,
}

/// What one round gave.
pub(crate) struct Measured {
    pub(crate) deliveries: u64,
    pub(crate) time: Duration,
}

#[derive(Default)]
struct Received {
    frames: Vec<AtomicU64>,
    progress: Notify,
}

impl Received {
    /// What every session has got.
    fn least(&self) -> u64 {
        self.frames.iter().map(|frames| frames.load(Ordering::Relaxed)).min().unwrap_or_default()
    }
}

impl Load {
    /// Sessions of a node that subscribe to an object, and one that publishes its changes.
    pub(crate) async fn on_node(address: SocketAddr, sessions: usize) -> Load {
        let mut sockets = Vec::new();
        for index in 0..sessions {
            let mut socket = connect(address, "/ws").await;
            let runtime = format!("hyperty-runtime://example.com/observer-{index}");
            request(&mut socket, "open", &runtime, "mn:/session", "{}").await;
            let body = format!(r#"{{"resources":["{OBJECT}/changes"]}}"#);
            request(&mut socket, "subscribe", &runtime, "domain://msg-node.example.com/sm", &body).await;
            sockets.push(socket);
        }
        let mut publisher = connect(address, "/ws").await;
        let runtime = "hyperty-runtime://example.com/reporter";
        request(&mut publisher, "open", runtime, "mn:/session", "{}").await;
        let body = format!(r#"{{"resources":["{OBJECT}","{OBJECT}/subscription"]}}"#);
        request(&mut publisher, "subscribe", runtime, "domain://msg-node.example.com/sm", &body).await;
        Load::of(publisher, sockets)
    }

    /// The same number of connections to the baseline.
    pub(crate) async fn on_baseline(address: SocketAddr, sessions: usize) -> Load {
        let mut sockets = Vec::new();
        for _ in 0..sessions {
            sockets.push(connect(address, "/sub").await);
        }
        Load::of(connect(address, "/pub").await, sockets)
    }

    fn of(publisher: TcpStream, sockets: Vec<TcpStream>) -> Load {
        let sessions = sockets.len();
        let frames = sockets.iter().map(|_| AtomicU64::new(0)).collect();
        let received = Arc::new(Received { frames, progress: Notify::new() });
        for (index, socket) in sockets.into_iter().enumerate() {
            tokio::spawn(count(socket, index, Arc::clone(&received)));
        }
        Load { publisher, received, sessions }
    }

    /// Publishes for a while, and waits until everything has arrived.
    pub(crate) async fn run(&mut self, bytes: usize, time: Duration) -> Measured {
        let frame = update(bytes);
        let window = WINDOW_BYTES / frame.len() / self.sessions;
        let window = window.clamp(*WINDOW_FRAMES.start(), *WINDOW_FRAMES.end()) as u64;
        // Written in parts of a window, so that the server has work while the rest is on its way.
        let part = (window / 4).max(1);
        let text = frame.repeat(part as usize);
        let base = self.received.least();
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < time {
            self.publisher.write_all(&text).await.expect("a server that reads");
            sent += part;
            self.wait_for(base + (sent + part).saturating_sub(window)).await;
        }
        self.wait_for(base + sent).await;
        Measured { deliveries: sent * self.sessions as u64, time: begun.elapsed() }
    }

    async fn wait_for(&self, frames: u64) {
        while self.received.least() < frames {
            let waited =
                tokio::time::timeout(Duration::from_secs(20), self.received.progress.notified()).await;
            waited.expect("nothing is lost: the window is smaller than every queue");
        }
    }
}

async fn connect(address: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("a server that listens");
    socket.set_nodelay(true).expect("a socket that takes options");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("a server that reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert!(socket.read_buf(&mut answer).await.expect("an answer") > 0, "no upgrade");
    }
    socket
}

/// Sends a message and reads its answer, which is short.
async fn request(socket: &mut TcpStream, kind: &str, from: &str, to: &str, body: &str) {
    let message = format!(r#"{{"id":1,"type":"{kind}","from":"{from}","to":"{to}","body":{body}}}"#);
    socket.write_all(&masked(message.as_bytes())).await.expect("a server that reads");
    let mut answer = [0; 1024];
    let read = socket.read(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer[..read]);
    assert!(text.contains(r#""code":200"#), "{text}");
}

/// A change of the object with a value of this size.
fn update(bytes: usize) -> Vec<u8> {
    let value = "x".repeat(bytes);
    let body = format!(r#"{{"attribute":"a.b.c","value":"{value}","version":123456}}"#);
    let message =
        format!(r#"{{"id":123456,"type":"update","from":"{OBJECT}","to":"{OBJECT}/changes","body":{body}}}"#);
    masked(message.as_bytes())
}

/// A text frame as clients send it.
fn masked(payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0x34, 0x56, 0x78];
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
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Counts the text frames of one socket.
async fn count(mut socket: TcpStream, index: usize, received: Arc<Received>) {
    let mut input = vec![0; 64 * 1024];
    let (mut from, mut to) = (0, 0);
    let mut rest = 0;
    loop {
        match socket.read(&mut input[to..]).await {
            Ok(read) if read > 0 => to += read,
            _ => return,
        }
        let mut frames = 0;
        loop {
            // The payload of a frame is skipped, in as many reads as it takes.
            let skipped = rest.min(to - from);
            from += skipped;
            rest -= skipped;
            let Some((head, len)) = header(&input[from..to]).filter(|_| rest == 0) else { break };
            frames += u64::from(input[from] == 0x81);
            from += head;
            rest = len;
        }
        // A frame counts when its header has come: the last one of a round is as good as there.
        input.copy_within(from..to, 0);
        (from, to) = (0, to - from);
        if frames > 0 {
            received.frames[index].fetch_add(frames, Ordering::Relaxed);
            received.progress.notify_one();
        }
    }
}

/// The length of a frame's header and of its payload.
fn header(input: &[u8]) -> Option<(usize, usize)> {
    match *input.get(1)? & 0x7f {
        126 => Some((4, usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?)),
        short => Some((2, usize::from(short))),
    }
}
