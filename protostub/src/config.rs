use std::sync::Arc;
use std::time::Duration;

use hyperty_message_bus::Retry;
use hyperty_model::message::Limits;
use hyperty_model::queue::QueueLimits;
use hyperty_model::{Ids, RuntimeUrl, Url, UrlError};

use crate::token::TokenSource;

/// How long a node may take to answer `open` and `re-open` (T_SESS, protocol 0.2).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt to connect may take: beyond any healthy network, and short enough that a node that moved
/// is tried again soon.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a close may take, from the call to the end of the socket: a node that takes longer to read what is left
/// for it is not waited for.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a [`SessionStub`](crate::SessionStub) needs to know.
#[derive(Debug, Clone)]
pub struct StubConfig {
    /// The runtime whose session it is.
    pub runtime: RuntimeUrl,
    /// The domain of the node.
    pub domain: String,
    /// The stub's own address.
    pub url: Url,
    /// What may wait for the connection.
    pub queue: QueueLimits,
    /// What a frame may be at most, from the node and to it.
    pub frames: Limits,
    /// The pace of attempts to connect. Their number is not limited, whatever stands there.
    pub retry: Retry,
    /// Where the token comes from, for a node that admits by token.
    pub token: Option<Arc<dyn TokenSource>>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long the node may take to answer `open` and `re-open`.
    pub answer_timeout: Duration,
    /// How long a close may take.
    pub close_timeout: Duration,
}

impl StubConfig {
    /// Everything at its default; the stub's address is `hyperty-runtime://<domain>/protostub/<uuid>`.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no domain.
    pub fn new(runtime: RuntimeUrl, domain: &str, ids: &dyn Ids) -> Result<StubConfig, UrlError> {
        Ok(StubConfig {
            runtime,
            domain: domain.to_owned(),
            url: Url::parse(&format!("hyperty-runtime://{domain}/protostub/{}", ids.uuid()))?,
            queue: QueueLimits::default(),
            frames: Limits::default(),
            retry: Retry::default(),
            token: None,
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
        })
    }
}
