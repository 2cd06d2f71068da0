//! Clients that listen to everything and hardly read: a byte now and then, from a socket with little room.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{Ids, SeededIds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::court::Phase;
use super::host::some;
use super::reporter::{AGAIN, OBJECTS};
use super::tally::Count;
use super::{DOMAIN, Soak};

/// The socket's buffer for what comes in.
const ROOM_BYTES: u32 = 4 * 1024;

/// How often a byte is read.
const BYTE_EVERY: Duration = Duration::from_millis(200);

/// How long one stays.
const STAY_MAX: Duration = Duration::from_secs(8);

/// How long opening may take.
const OPEN_MAX: Duration = Duration::from_secs(3);

/// Comes for ever, except in a pause.
pub(super) async fn hardly_read(soak: Arc<Soak>, number: u32, ids: Arc<SeededIds>) {
    soak.court.all(OBJECTS).await;
    loop {
        soak.court.reached(Phase::Work).await;
        let runtime = format!("hyperty-runtime://{DOMAIN}/slow-{number}-{:x}", ids.random() & 0xffff_ffff);
        if let Ok(Ok(mut socket)) = timeout(OPEN_MAX, open(&soak, &runtime)).await {
            soak.tally.add(Count::SlowReaders);
            let reading = async {
                while socket.read_u8().await.is_ok() {
                    sleep(BYTE_EVERY).await;
                }
            };
            tokio::select! {
                biased;
                () = soak.court.reached(Phase::Pause) => {}
                _ = timeout(some(&ids, STAY_MAX), reading) => {}
            }
        }
        sleep(AGAIN).await;
    }
}

/// A session that listens to the changes of all objects.
async fn open(soak: &Soak, runtime: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(ROOM_BYTES)?;
    let mut socket = socket.connect(soak.host.address()).await?;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await?;
    let changes: Vec<_> = soak.court.all(0).await.iter().map(|url| url.changes().to_string()).collect();
    let open = serde_json::json!({"id": 1, "type": "open", "from": runtime, "to": "mn:/session"});
    let subscribe = serde_json::json!({
        "id": 2, "type": "subscribe", "from": format!("{runtime}/sm"), "to": format!("domain://msg-node.{DOMAIN}/sm"),
        "body": {"resources": changes}
    });
    for message in [open, subscribe] {
        socket.write_all(&frame(message.to_string().as_bytes())).await?;
    }
    Ok(socket)
}

/// A text frame as clients send it, with a mask of zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..126) => frame.push(0x80 | len.to_be_bytes()[1]),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
