//! Questions to the application that must be answered once, whatever it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperty_message_bus::MiniBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All questions of a Syncher that are not decided yet.
pub(crate) struct Decisions {
    minibus: MiniBus,
    /// How long each may take.
    patience: Duration,
    limit: usize,
    table: Mutex<Table>,
    added: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// In the order in which they came, which is the order of their deadlines.
    open: BTreeMap<u64, Open>,
}

struct Open {
    request: Message,
    /// The code of the answer when nobody decides.
    refusal: StatusCode,
    /// What that answer says.
    expiry: Expiry,
    /// Set by the driver when it first sees the question: whoever posted it may be outside its clock.
    deadline: Option<Instant>,
}

/// The words of the answer to a question that nobody answered.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    why: &'static str,
    reason: Option<&'static str>,
}

impl Decisions {
    pub(crate) fn new(minibus: MiniBus, patience: Duration, limit: usize) -> Arc<Decisions> {
        Arc::new(Decisions { minibus, patience, limit, table: Mutex::default(), added: Notify::new() })
    }

    /// Notes a request that the application decides. Too many at once: this one is refused right away.
    pub(crate) fn ask(self: &Arc<Decisions>, request: &Message, refusal: StatusCode) -> Option<Decision> {
        let key = {
            let mut table = self.table.lock();
            (table.open.len() < self.limit).then(|| {
                table.next += 1;
                let key = table.next;
                let expiry = Expiry {
                    why: "nobody decided in time",
                    reason: (refusal == StatusCode::NOT_IMPLEMENTED).then_some("no-handler"),
                };
                table.open.insert(key, Open { request: request.clone(), refusal, expiry, deadline: None });
                key
            })
        };
        match key {
            Some(key) => {
                self.added.notify_one();
                Some(Decision { decisions: Arc::clone(self), key: AtomicU64::new(key) })
            }
            None => {
                let body = ResponseBody::failure(refusal, "too many requests wait for a decision");
                self.minibus.post(request.reply(body.with_reason("limit")));
                None
            }
        }
    }

    /// Refuses what nobody decides in time; never ends.
    pub(crate) async fn expire(&self) {
        loop {
            match self.next_deadline() {
                None => self.added.notified().await,
                Some(deadline) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(deadline) => {}
                    // A new one needs its deadline now, not when the first one is over.
                    () = self.added.notified() => {}
                },
            }
            for open in self.take_expired() {
                self.minibus.post(open.request.reply(open.expired()));
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let mut table = self.table.lock();
        let deadline = Instant::now() + self.patience;
        // New ones stand at the end.
        for open in table.open.values_mut().rev().take_while(|open| open.deadline.is_none()) {
            open.deadline = Some(deadline);
        }
        table.open.first_key_value().and_then(|(_, open)| open.deadline)
    }

    fn take_expired(&self) -> Vec<Open> {
        let now = Instant::now();
        let mut table = self.table.lock();
        let mut expired = Vec::new();
        while let Some(first) = table.open.first_entry() {
            if first.get().deadline.is_none_or(|deadline| deadline > now) {
                break;
            }
            expired.push(first.remove());
        }
        expired
    }
}

impl Open {
    fn expired(&self) -> ResponseBody {
        let body = refused(self.refusal, self.expiry.why);
        match self.expiry.reason {
            Some(reason) => body.with_reason(reason),
            None => body,
        }
    }
}

fn refused(code: StatusCode, why: &str) -> ResponseBody {
    match code {
        // A read that is not allowed is always answered in these words (protocol 5.5).
        StatusCode::UNAUTHORIZED => ResponseBody::failure(code, "unauthorized"),
        // Nobody has said no (protocol 5.2).
        StatusCode::TIMEOUT => ResponseBody::failure(code, why).with_reason("undecided"),
        _ => ResponseBody::failure(code, why),
    }
}

/// One question. Dropped undecided it is a refusal.
pub(crate) struct Decision {
    decisions: Arc<Decisions>,
    /// Its place in the table, which is later when it was prolonged.
    key: AtomicU64,
}

impl Decision {
    /// Answers with 200; false if the time was over.
    pub(crate) fn accept(&self) -> bool {
        self.settle(|_| ResponseBody::ok())
    }

    /// Refuses.
    pub(crate) fn reject(&self, why: &str) {
        self.settle(|open| refused(open.refusal, why));
    }

    /// Answers in words of one's own; false if the time was over.
    pub(crate) fn answer(&self, body: ResponseBody) -> bool {
        self.settle(|_| body)
    }

    /// Says that it is under way, and gives it the whole time again; false if the time was over.
    pub(crate) fn prolong(&self) -> bool {
        let request = {
            let mut table = self.decisions.table.lock();
            let Some(open) = table.open.remove(&self.key.load(Ordering::Relaxed)) else { return false };
            table.next += 1;
            let (key, request) = (table.next, open.request.clone());
            // The driver gives it a deadline, as to any new one.
            table.open.insert(key, Open { deadline: None, ..open });
            self.key.store(key, Ordering::Relaxed);
            request
        };
        self.decisions.added.notify_one();
        self.decisions.minibus.post(request.reply(ResponseBody::of(StatusCode::PROVISIONAL)));
        true
    }

    /// The application has it before it: what is answered if it says nothing from now on. False if the time was over.
    pub(crate) fn take_up(&self, refusal: StatusCode, why: &'static str, reason: &'static str) -> bool {
        let mut table = self.decisions.table.lock();
        let Some(open) = table.open.get_mut(&self.key.load(Ordering::Relaxed)) else { return false };
        open.refusal = refusal;
        open.expiry = Expiry { why, reason: Some(reason) };
        true
    }

    /// Whether it waits for an answer still.
    pub(crate) fn is_open(&self) -> bool {
        self.decisions.table.lock().open.contains_key(&self.key.load(Ordering::Relaxed))
    }

    fn settle(&self, body: impl FnOnce(&Open) -> ResponseBody) -> bool {
        let open = self.decisions.table.lock().open.remove(&self.key.load(Ordering::Relaxed));
        let Some(open) = open else { return false };
        let answer = open.request.reply(body(&open));
        self.decisions.minibus.post(answer);
        true
    }
}

impl Drop for Decision {
    fn drop(&mut self) {
        self.settle(|open| match open.expiry.reason {
            // An action, taken or not, that nobody is going to answer any more.
            Some(_) => refused(StatusCode::NOT_IMPLEMENTED, "nobody answers this").with_reason("no-handler"),
            None => refused(open.refusal, "rejected"),
        });
    }
}

impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decision({})", self.key.load(Ordering::Relaxed))
    }
}
