//! The least fan-out server: what comes on `/pub` goes to every `/sub`, as ready-made frames.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

type Listeners = Arc<Mutex<Vec<mpsc::UnboundedSender<Bytes>>>>;

pub(crate) async fn serve(listener: TcpListener) {
    let listeners = Listeners::default();
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection(socket, Arc::clone(&listeners)));
    }
}

async fn connection(mut socket: TcpStream, listeners: Listeners) {
    socket.set_nodelay(true).expect("a socket that takes options");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let (tell, told) = mpsc::unbounded_channel();
    if head.starts_with("GET /sub") {
        listeners.lock().push(tell);
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if socket.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    if head.starts_with("GET /sub") { write(socket, told).await } else { read(socket, listeners).await }
}

async fn write(mut socket: TcpStream, mut frames: mpsc::UnboundedReceiver<Bytes>) {
    let mut ready = Vec::new();
    while frames.recv_many(&mut ready, 256).await > 0 {
        let mut slices: Vec<_> = ready.iter().map(|frame| IoSlice::new(frame)).collect();
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            match socket.write_vectored(slices).await {
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(_) => return,
            }
        }
        ready.clear();
    }
}

async fn read(mut socket: TcpStream, listeners: Listeners) {
    let mut input = BytesMut::with_capacity(256 * 1024);
    while socket.read_buf(&mut input).await.unwrap_or(0) > 0 {
        while let Some(frame) = unmasked(&mut input) {
            listeners.lock().retain(|listener| listener.send(frame.clone()).is_ok());
        }
    }
}

/// Takes one masked frame and makes the one that goes out.
fn unmasked(input: &mut BytesMut) -> Option<Bytes> {
    let (len, head) = match *input.get(1)? & 0x7f {
        126 => (usize::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let key: [u8; 4] = input.get(head..head + 4)?.try_into().ok()?;
    if input.len() < head + 4 + len {
        return None;
    }
    let mut out = Vec::with_capacity(head + len);
    out.extend_from_slice(&input[..head]);
    out[1] &= 0x7f;
    input.advance(head + 4);
    let payload = &mut input[..len];
    let word = u32::from_ne_bytes(key);
    let mut chunks = payload.chunks_exact_mut(4);
    for chunk in &mut chunks {
        let value = u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ word;
        chunk.copy_from_slice(&value.to_ne_bytes());
    }
    chunks.into_remainder().iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    out.extend_from_slice(payload);
    input.advance(len);
    Some(out.into())
}
