//! What a hyperty listens to outside data objects, as a stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use hyperty_message_bus::{BusError, Listener, MiniBus};
use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{Message, MessageType, StatusCode, Url};
use parking_lot::Mutex;

/// Messages that wait to be read; the oldest give way. Notices tell how something is now: the newest count.
pub const NOTICES_MAX: usize = 1_024;

/// Why an address cannot be listened to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Refused. 403: only `<url>/registration` and `<url>/status` can be listened to, or the node does not let this
    /// runtime; 404: there is no message node for the domain; 408: it cannot be reached now; 500: too many addresses.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// The hyperty listens on too many addresses.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
}

/// The addresses one hyperty listens to, and how often.
pub(crate) struct Listening {
    minibus: MiniBus,
    manager: Url,
    counts: Mutex<BTreeMap<Url, usize>>,
}

/// What is sent to an address from now on. Dropping it ends that.
pub struct Notices {
    url: Url,
    queue: Arc<Queue>,
    listening: Arc<Listening>,
    _listener: Listener,
}

#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    missed: u64,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&self, message: &Message) {
        let waker = {
            let mut waiting = self.0.lock();
            if waiting.messages.len() == NOTICES_MAX {
                waiting.messages.pop_front();
                waiting.missed += 1;
            }
            waiting.messages.push_back(message.clone());
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Listening {
    pub(crate) fn new(minibus: MiniBus, manager: Url) -> Arc<Listening> {
        Arc::new(Listening { minibus, manager, counts: Mutex::default() })
    }

    pub(crate) async fn listen(self: &Arc<Self>, url: &Url) -> Result<Notices, ListenError> {
        let queue = Arc::new(Queue::default());
        let into = Arc::clone(&queue);
        let listener = self.minibus.listen(url, move |message| into.push(message))?;
        *self.counts.lock().entry(url.clone()).or_default() += 1;
        // From here on it counts, and ends when it is dropped, whatever the answer is.
        let listening = Arc::clone(self);
        let notices = Notices { url: url.clone(), queue, listening, _listener: listener };
        let answer = self.minibus.request(self.message(MessageType::Subscribe, url)).await;
        let body = answer.decode::<ResponseBody>().unwrap_or_default();
        match body.code {
            code if code.is_success() => Ok(notices),
            code => Err(ListenError::Refused { code, reason: body.why().to_owned() }),
        }
    }

    fn message(&self, kind: MessageType, url: &Url) -> Message {
        let from = self.minibus.url().as_url();
        let body = RoutesBody::new(vec![url.clone()], from.clone());
        self.minibus.new_message(kind, from, &self.manager, body)
    }
}

impl Notices {
    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How many gave way because they were not read in time.
    pub fn missed(&self) -> u64 {
        self.queue.0.lock().missed
    }

    /// The next message.
    pub async fn next(&mut self) -> Message {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Message> {
        let mut waiting = self.queue.0.lock();
        match waiting.messages.pop_front() {
            Some(message) => Poll::Ready(message),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Stream for Notices {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll(context).map(Some)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let mut counts = self.listening.counts.lock();
        if let Some(count) = counts.get_mut(&self.url) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.url);
                // Posted with the lock held, so that it does not overtake a subscription that is made meanwhile.
                self.listening.minibus.post(self.listening.message(MessageType::Unsubscribe, &self.url));
            }
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notices({})", self.url)
    }
}
