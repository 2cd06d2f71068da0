//! One WebSocket: bytes in, bytes out, both in one task and neither waiting for the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use super::assemble::{Assembler, Event};
use super::frame::{Opcode, write_header};
use crate::admission::UNADMITTED_BYTES_MAX;
use crate::config::NodeTimers;
use crate::link::Link;
use crate::outbox::CloseReason;
use crate::outgoing::Outgoing;

/// What one read takes, and how much one connection may say before the others have their turn: then what it published
/// is written out, in one go for each receiver, before more is read.
const READ_BYTES: usize = 64 * 1024;

/// Frames up to this length are gathered into one buffer; longer ones are written from where they are.
const GATHER_BYTES_MAX: usize = 4 * 1024;

/// Most pieces in one system call.
const PIECES_MAX: usize = 64;

/// A list for outgoing messages that has grown beyond this is given back when they are gone.
const IDLE_SLOTS_MAX: usize = 64;

/// How long a client has to take note that its connection is closed.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

thread_local! {
    /// Every read of a connection that holds no part of a frame goes through here, so that an idle connection needs
    /// no memory for its input.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// How a connection ends.
enum End {
    /// The node closes it.
    Ours(u16, &'static str),
    /// The client closed it, with this code.
    Theirs(u16),
    /// It is gone.
    Gone,
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> End {
        End::Ours(reason.code(), reason.as_str())
    }
}

struct Connection<S> {
    socket: S,
    /// The start of a frame whose end has not come.
    input: BytesMut,
    /// How long that frame is in all, if known.
    needed: usize,
    assembler: Assembler,
    /// Longest message.
    len_max: usize,
    /// Whether a session was seen: until then a message may only be so long.
    opened: Cell<bool>,
    /// The last ping, to be answered; more than one at a time need not be.
    ping: Option<Bytes>,
    batch: Vec<Outgoing>,
    /// Whole frames, of which the first may be written in part.
    output: VecDeque<Bytes>,
    /// When something came last.
    heard: Instant,
    /// When the client took something last, or there was nothing to take.
    taken: Instant,
}

/// Serves a connection to its end. `early` was read before it became a WebSocket.
pub(super) async fn run<S>(socket: S, early: Bytes, link: Link, timers: NodeTimers, len_max: usize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        socket,
        input: BytesMut::new(),
        needed: 0,
        assembler: Assembler::new(),
        len_max,
        opened: Cell::new(false),
        ping: None,
        batch: Vec::new(),
        output: VecDeque::new(),
        heard: Instant::now(),
        taken: Instant::now(),
    };
    let end = tokio::select! {
        biased;
        end = connection.serve(&link, timers, early) => Some(end),
        () = link.node_draining() => None,
    };
    let end = match end {
        Some(end) => end,
        None => connection.drain(&link).await,
    };
    // The session is without a connection from now on, however long this one takes to end.
    drop(link);
    let (code, reason) = match end {
        End::Ours(code, reason) => (code, reason),
        End::Theirs(code) => (code, ""),
        End::Gone => return,
    };
    // A client that does not listen any more is not waited for.
    let _ = timeout(CLOSE_WAIT, connection.say_goodbye(code, reason)).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve(&mut self, link: &Link, timers: NodeTimers, early: Bytes) -> End {
        if !early.is_empty() {
            match self.take(link, &mut early.to_vec()) {
                Ok(taken) => self.input.extend_from_slice(&early[taken..]),
                Err(end) => return end,
            }
        }
        // Even if empty it would keep the HTTP server's whole buffer alive.
        drop(early);
        let opened = Instant::now();
        let mut ping_due = opened + timers.ping;
        loop {
            let open_due = Some(opened + timers.open).filter(|_| !link.has_session());
            let idle_due = self.heard + timers.idle;
            // What begins to wait meanwhile is looked at with the next ping.
            let idle_due =
                if self.output.is_empty() { idle_due } else { idle_due.min(self.taken + timers.idle) };
            let due = open_due.map_or(idle_due, |due| due.min(idle_due)).min(ping_due);
            tokio::select! {
                biased;
                end = poll_fn(|cx| self.poll(cx, link)) => return end,
                () = sleep_until(due) => {}
            }
            let now = Instant::now();
            if !self.output.is_empty() && self.taken + timers.idle <= now {
                return CloseReason::Stalled.into();
            }
            if self.heard + timers.idle <= now || (opened + timers.open <= now && !link.has_session()) {
                return CloseReason::Idle.into();
            }
            if ping_due <= now {
                ping_due = now + timers.ping;
                if self.output.is_empty() {
                    self.push_frame(Opcode::Ping, b"");
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<End> {
        if let Poll::Ready(end) = self.poll_output(cx, link) {
            return Poll::Ready(end);
        }
        // While the socket takes nothing, nobody has asked the link yet.
        if !self.output.is_empty()
            && let Poll::Ready(reason) = link.poll_stopped(cx)
        {
            return Poll::Ready(reason.into());
        }
        self.poll_input(cx, link)
    }

    /// Writes all that is ready; ready itself only at the end.
    fn poll_output(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<End> {
        loop {
            while !self.output.is_empty() {
                if ready!(self.poll_write(cx)).is_err() {
                    return Poll::Ready(End::Gone);
                }
            }
            if let Some(payload) = self.ping.take() {
                self.push_frame(Opcode::Pong, &payload);
            } else if let Poll::Ready(taken) = link.poll_batch(cx, &mut self.batch) {
                match taken {
                    Ok(()) => self.gather(),
                    Err(reason) => return Poll::Ready(reason.into()),
                }
            } else {
                return match ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
                    Ok(()) => Poll::Pending,
                    Err(_) => Poll::Ready(End::Gone),
                };
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..count]));
        let mut written = written.ok().filter(|&written| written > 0).ok_or(())?;
        self.taken = Instant::now();
        while let Some(first) = self.output.front_mut() {
            if first.len() > written {
                first.advance(written);
                break;
            }
            written -= first.len();
            self.output.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads nothing any more. Writes what is there, and what comes until the node stops; then ends as it says.
    async fn drain(&mut self, link: &Link) -> End {
        let mut stopping = pin!(link.node_stopping());
        let reason = tokio::select! {
            biased;
            end = poll_fn(|cx| self.poll_output(cx, link)) => return end,
            reason = &mut stopping => reason,
        };
        let rest = poll_fn(|cx| match self.poll_output(cx, link) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending if self.output.is_empty() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        // A client that does not read is not waited for.
        timeout(CLOSE_WAIT, rest).await.ok().flatten().unwrap_or(reason.into())
    }

    /// Makes frames of the batch: short ones one behind the other, long ones beside their headers.
    fn gather(&mut self) {
        const HEADER_BYTES_MAX: usize = 10;
        let gathered =
            |item: &Outgoing| HEADER_BYTES_MAX + Some(item.bytes().len()).filter(is_short).unwrap_or(0);
        if self.output.is_empty() {
            self.taken = Instant::now();
        }
        let mut buffer = Vec::with_capacity(self.batch.iter().map(gathered).sum());
        for item in self.batch.drain(..) {
            let bytes = item.bytes();
            write_header(&mut buffer, Opcode::Text, bytes.len());
            if is_short(&bytes.len()) {
                buffer.extend_from_slice(bytes);
            } else {
                // What was gathered so far ends with the header of what follows.
                let rest = Vec::with_capacity(buffer.capacity() - buffer.len());
                self.output.push_back(std::mem::replace(&mut buffer, rest).into());
                self.output.push_back(bytes.clone());
            }
        }
        if !buffer.is_empty() {
            self.output.push_back(buffer.into());
        }
        if self.batch.capacity() > IDLE_SLOTS_MAX {
            self.batch = Vec::new();
        }
    }

    fn push_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.output.is_empty() {
            self.taken = Instant::now();
        }
        let mut frame = Vec::with_capacity(2 + payload.len());
        write_header(&mut frame, opcode, payload.len());
        frame.extend_from_slice(payload);
        self.output.push_back(frame.into());
    }

    /// Reads and hands on what has come, until nothing has or the turn is over.
    fn poll_input(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<End> {
        let mut turn = READ_BYTES;
        loop {
            let read = if self.input.is_empty() {
                ready!(self.poll_read_shared(cx, link))
            } else {
                ready!(self.poll_read_own(cx, link))
            };
            match read {
                Ok(0) => return Poll::Ready(End::Gone),
                Ok(read) if read < turn => turn -= read,
                Ok(_) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// Reads into the thread's buffer; only the start of an unfinished frame is kept.
    fn poll_read_shared(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<Result<usize, End>> {
        INPUT.with_borrow_mut(|input| {
            let mut buffer = ReadBuf::new(input);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)).map_err(|_| End::Gone)?;
            let read = buffer.filled().len();
            let taken = self.take(link, buffer.filled_mut())?;
            self.input.extend_from_slice(&buffer.filled()[taken..]);
            Poll::Ready(Ok(read))
        })
    }

    /// Reads on behind the start of an unfinished frame.
    fn poll_read_own(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<Result<usize, End>> {
        self.input.reserve(self.needed.saturating_sub(self.input.len()).max(READ_BYTES));
        // The future keeps no state: polling it once is reading once.
        let read = ready!(pin!(self.socket.read_buf(&mut self.input)).poll(cx)).map_err(|_| End::Gone)?;
        let mut input = std::mem::take(&mut self.input);
        let taken = self.take(link, &mut input)?;
        // An emptied buffer is given back; what is left of a long one does not keep all of it.
        if taken < input.len() {
            input.advance(taken);
            self.input = input;
        }
        Poll::Ready(Ok(read))
    }

    /// Takes whole frames and hands their messages to the node; returns how many bytes that was.
    fn take(&mut self, link: &Link, input: &mut [u8]) -> Result<usize, End> {
        self.heard = Instant::now();
        let mut closed = None;
        let ping = &mut self.ping;
        let (opened, len_max) = (&self.opened, self.len_max);
        let len_max = || {
            if !opened.get() {
                opened.set(link.has_session());
            }
            if opened.get() { len_max } else { len_max.min(UNADMITTED_BYTES_MAX) }
        };
        let taken = self.assembler.take(input, len_max, |event| match event {
            // What follows a close is not heard any more.
            _ if closed.is_some() => {}
            Event::Message(message) => link.receive(message),
            Event::Ping(payload) => *ping = Some(payload),
            Event::Pong => {}
            Event::Close(code) => closed = Some(code),
        });
        if let Some(code) = closed {
            return Err(End::Theirs(code.unwrap_or(1000)));
        }
        let (taken, needed) = taken.map_err(|error| {
            tracing::debug!(%error, "connection failed");
            End::Ours(error.code(), "")
        })?;
        self.needed = needed;
        Ok(taken)
    }

    /// Sends a close frame behind what is under way, and waits for the client to take it: closing a socket with
    /// unread input would make the client lose what was sent.
    async fn say_goodbye(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.push_frame(Opcode::Close, &payload);
        while !self.output.is_empty() {
            if poll_fn(|cx| self.poll_write(cx)).await.is_err() {
                return;
            }
        }
        if self.socket.shutdown().await.is_err() {
            return;
        }
        let mut rest = BytesMut::new();
        while self.socket.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {
            rest.clear();
        }
    }
}

fn is_short(len: &usize) -> bool {
    *len <= GATHER_BYTES_MAX
}
