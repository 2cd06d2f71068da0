//! The side that asks: whatever form the answer comes in, its caller gets the whole.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::{Decoded, Limits, ReadBody, ResponseBody};
use hyperty_model::parts::{JoinError, Joined, Piece, Pushed};
use hyperty_model::{Message, MessageType, ObjectUrl, StatusCode, Url};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::Refusal;
use crate::config::SyncManagerConfig;
use crate::manager::SyncManager;

/// How often one part is asked for.
const PART_TRIES: u32 = 3;

/// How often whoever waits here is told that parts still come: well within T_RESP.
const PROGRESS: Duration = Duration::from_secs(5);

/// What bounds the large answers that are being taken in.
pub(crate) struct Intake {
    /// Answers at a time: what bounds the memory for those that are not whole yet.
    wholes: Semaphore,
    /// Parts under way, of all answers together.
    parts: Arc<Semaphore>,
}

impl Intake {
    pub(crate) fn new(config: &SyncManagerConfig) -> Intake {
        let parts = Arc::new(Semaphore::new(config.parts_in_flight.max(1)));
        Intake { wholes: Semaphore::new(config.reassemblies_max.max(1)), parts }
    }
}

/// Tells whoever waits that the answer is still coming.
pub(crate) type Progress<'a> = &'a (dyn Fn() + Send + Sync);

/// Where the parts of an answer are fetched.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) object: &'a ObjectUrl,
    /// The object's own address, or that of the Sync Manager that gave the answer.
    pub(crate) at: &'a Url,
}

/// What came of the request itself.
enum First {
    Answer(Arc<ResponseBody>),
    /// The parts that were pushed, all of them provisional.
    Pushed(Arc<ResponseBody>),
}

impl SyncManager {
    /// Asks another Sync Manager for something that may be large, and waits so long for the first answer, or for each
    /// part that is pushed. A failure that was answered is an answer.
    ///
    /// # Errors
    /// 408 with the reason `parts` when the answer came in parts of which some did not: ask again. What else a part
    /// was refused with: that this runtime may not read any more, or that the object is deleted.
    pub(crate) async fn ask_whole(
        &self,
        message: Message,
        timeout: Duration,
        progress: Progress<'_>,
    ) -> Result<Arc<ResponseBody>, Refusal> {
        let Some((object, _)) = message.to().split_derived() else {
            return Err(Refusal::bad_request("nobody is asked for an object"));
        };
        let source = Source { object: &object, at: object.as_url() };
        self.ask_whole_from(message, source, timeout, progress).await
    }

    /// The same where the parts are fetched from another address than the object's.
    pub(crate) async fn ask_whole_from(
        &self,
        message: Message,
        source: Source<'_>,
        timeout: Duration,
        progress: Progress<'_>,
    ) -> Result<Arc<ResponseBody>, Refusal> {
        let answer = match self.ask_first(message, timeout, progress).await? {
            First::Answer(answer) => answer,
            First::Pushed(answer) => return Ok(answer),
        };
        match Piece::of(&answer).filter(|_| answer.code.is_success()) {
            Some(first) => self.fetch_others(source, first, progress).await,
            None => Ok(answer),
        }
    }

    /// The final answer, or the pushed parts if they are all there.
    async fn ask_first(
        &self,
        message: Message,
        timeout: Duration,
        progress: Progress<'_>,
    ) -> Result<First, Refusal> {
        let pushed = Arc::new(Mutex::new(Intaken::new(self.config().whole_bytes_max)));
        let (complete, completed) = oneshot::channel();
        let complete = Mutex::new(Some(complete));
        let news = Arc::new(Notify::new());
        let (taken, tell) = (Arc::clone(&pushed), Arc::clone(&news));
        let request = self.bus().request(message).timeout(timeout).on_provisional(move |answer| {
            let part = answer.decode::<ResponseBody>().ok().filter(|body| Pushed::is_part(body));
            let Some(part) = part else { return };
            if !taken.lock().take(&part) {
                return tell.notify_one();
            }
            if let Some(complete) = complete.lock().take() {
                // Whoever waits may have the final answer by now.
                let _ = complete.send(());
            }
        });
        let (mut request, mut completed) = (std::pin::pin!(request), std::pin::pin!(completed));
        let mut told = Instant::now();
        let answer = loop {
            tokio::select! {
                biased;
                Ok(()) = &mut completed => break None,
                answer = &mut request => break Some(answer.decode::<ResponseBody>()?),
                () = news.notified() => {
                    if told.elapsed() >= PROGRESS {
                        told = Instant::now();
                        progress();
                    }
                }
            }
        };
        let mut pushed = std::mem::replace(&mut *pushed.lock(), Intaken::new(0));
        match answer {
            Some(answer) if !Pushed::is_part(&answer) || !answer.code.is_success() => {
                Ok(First::Answer(answer))
            }
            Some(last) => {
                pushed.take(&last);
                pushed.finish().map(|whole| First::Pushed(Arc::new(whole)))
            }
            None => pushed.finish().map(|whole| First::Pushed(Arc::new(whole))),
        }
    }

    /// Fetches every part but the first, a few at a time, and reads the whole.
    async fn fetch_others(
        &self,
        source: Source<'_>,
        first: Piece,
        progress: Progress<'_>,
    ) -> Result<Arc<ResponseBody>, Refusal> {
        let intake = &self.shared.intake;
        let mut turn = std::pin::pin!(intake.wholes.acquire());
        let turn = loop {
            match tokio::time::timeout(PROGRESS, &mut turn).await {
                Ok(turn) => break turn,
                // Others are taken in before.
                Err(_) => progress(),
            }
        };
        // It is never closed.
        let _whole = turn.map_err(|_| incomplete(&"the runtime is ending"))?;
        let (Some(transfer), Some(parts), Some(bytes)) = (first.transfer, first.parts, first.bytes) else {
            return Err(incomplete(&"a part without what it is a part of"));
        };
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let joined = Joined::new(number(parts), number(bytes), self.config().whole_bytes_max);
        let mut joined = joined.map_err(|error| incomplete(&error))?;
        joined.put(number(first.part), &first.text).map_err(|error| incomplete(&error))?;
        let mut under_way = JoinSet::new();
        let mut wanted = 2..=parts;
        let mut told = Instant::now();
        loop {
            while under_way.len() < self.config().parts_in_flight.max(1) {
                let Some(part) = wanted.next() else { break };
                let (manager, transfer) = (self.clone(), transfer.clone());
                let (object, at) = (source.object.clone(), source.at.clone());
                under_way.spawn(async move {
                    manager.fetch_part(Source { object: &object, at: &at }, transfer, part).await
                });
            }
            let Some(fetched) = under_way.join_next().await else { break };
            let piece = fetched.map_err(|error| incomplete(&error))??;
            joined.put(number(piece.part), &piece.text).map_err(|error| incomplete(&error))?;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                progress();
            }
        }
        let text = joined.finish().map_err(|error| incomplete(&error))?;
        self.tally().joined.add(1);
        self.read_whole(source.object, &text)
    }

    async fn fetch_part(&self, source: Source<'_>, transfer: String, part: u64) -> Result<Piece, Refusal> {
        let _turn = self.shared.intake.parts.acquire().await.map_err(|_| incomplete(&"ending"))?;
        // The object's own address says which it is.
        let resource = Some(source.object.clone()).filter(|_| source.at != source.object.as_url());
        let body = ReadBody { transfer: Some(transfer), part: Some(part), resource, ..ReadBody::default() };
        let mut tries = 0;
        loop {
            tries += 1;
            let message = self.bus().new_message(MessageType::Read, self.address(), source.at, body.clone());
            let answer = self.bus().request(message).timeout(self.config().repair_timeout).await;
            let answer = answer.decode::<ResponseBody>()?;
            match answer.code {
                code if code.is_success() => {
                    let piece = Piece::of(&answer).filter(|piece| piece.part == part);
                    return piece.ok_or_else(|| incomplete(&format!("part {part} is another")));
                }
                StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(Refusal::relayed(&answer));
                }
                StatusCode::TIMEOUT if tries < PART_TRIES => {}
                // Not the object: the answer is no longer there.
                _ => return Err(incomplete(&format!("part {part}: {}", answer.why()))),
            }
        }
    }

    /// Reads a text as the body of one message is read: with the same checks.
    fn read_whole(&self, object: &ObjectUrl, text: &str) -> Result<Arc<ResponseBody>, Refusal> {
        let (id, from, to) = (0, object.as_url(), self.address());
        let frame = format!(r#"{{"id":{id},"type":"response","from":"{from}","to":"{to}","body":{text}}}"#);
        let limits = Limits { bytes: frame.len(), ..Limits::default() };
        match Message::from_frame(frame.into(), &limits) {
            Ok(Decoded::One(message)) => message.decode().map_err(|error| incomplete(&error)),
            Ok(Decoded::Many(_)) => Err(incomplete(&"not one message")),
            Err(error) => Err(incomplete(&error)),
        }
    }
}

fn incomplete(why: &dyn std::fmt::Display) -> Refusal {
    let text = format!("the answer did not come whole: {why}");
    Refusal::new(StatusCode::TIMEOUT, text).because(INCOMPLETE)
}

/// The reason of a refusal that is no sign that nobody can be reached.
const INCOMPLETE: &str = "parts";

impl Refusal {
    /// Whether an answer in parts did not come whole.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.reason.as_deref() == Some(INCOMPLETE)
    }
}

/// Pushed parts, and the first that did not belong to the others.
struct Intaken {
    pushed: Pushed,
    failed: Option<JoinError>,
}

impl Intaken {
    fn new(bytes_max: usize) -> Intaken {
        Intaken { pushed: Pushed::new(bytes_max), failed: None }
    }

    /// Whether all are there.
    fn take(&mut self, body: &ResponseBody) -> bool {
        if self.failed.is_some() {
            return false;
        }
        match self.pushed.take(body) {
            Ok(all) => all,
            Err(error) => {
                // Nothing more is kept of it.
                *self = Intaken { failed: Some(error), ..Intaken::new(0) };
                false
            }
        }
    }

    fn finish(self) -> Result<ResponseBody, Refusal> {
        match self.failed {
            Some(error) => Err(incomplete(&error)),
            None => self.pushed.finish().map_err(|error| incomplete(&error)),
        }
    }
}
