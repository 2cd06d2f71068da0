//! The life of a session: connect, open or re-open, carry messages, and all over again (protocol 5.15).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use hyperty_message_bus::{MessageBus, Replay, StubStatus, publish_status};
use hyperty_model::{Ids, Message, MessageId, MessageType, Url};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::SessionError;
use crate::stub::{Shared, State};
use crate::transport::{Connection, Connector, TransportError};

/// What drives a [`SessionStub`](crate::SessionStub): somebody must run it, and dropping it is a hard stop.
pub struct SessionDriver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) bus: MessageBus,
    replay: Arc<dyn Replay>,
    ids: Arc<dyn Ids>,
    pub(crate) session: SessionState,
}

/// What outlives a connection.
#[derive(Default)]
pub(crate) struct SessionState {
    /// Where a lost session is re-opened from, `<RuntimeURL>/<token>`; `None` if a fresh one is needed.
    pub(crate) reopen_from: Option<Url>,
    /// What a fresh session must be told first, and is not yet handed to the connection.
    pub(crate) replay: VecDeque<Message>,
    /// Requests of the replay that the node has not answered. A session that is lost before they are may have lost
    /// them: it must not be re-opened.
    pub(crate) unconfirmed: HashSet<MessageId>,
    /// Taken from the outbox, and not yet handed to the connection.
    pub(crate) unsent: VecDeque<Message>,
}

/// How a connection ended.
pub(crate) enum End {
    /// The stub was closed.
    Closed,
    /// Anything else.
    Lost(SessionError),
}

impl SessionDriver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connector: Arc<dyn Connector>,
        bus: MessageBus,
        replay: Arc<dyn Replay>,
        ids: Arc<dyn Ids>,
    ) -> SessionDriver {
        SessionDriver { shared, connector, bus, replay, ids, session: SessionState::default() }
    }

    /// Keeps the session live until the stub is closed.
    pub async fn run(mut self) {
        let mut closing = self.shared.closing.subscribe();
        publish_status(&self.bus, &self.shared.config.url, StubStatus::Created, None);
        let mut failed = 0_u32;
        loop {
            self.enter(StubStatus::InProgress, None);
            let established = tokio::select! {
                biased;
                () = closed(&mut closing) => break,
                established = self.establish() => established,
            };
            match established {
                Ok(connection) => {
                    let since = Instant::now();
                    let End::Lost(error) = self.serve(connection).await else { break };
                    // A session that keeps dying at once is approached ever more slowly, like one that never opens.
                    if since.elapsed() >= self.shared.config.retry.max {
                        failed = 0;
                    }
                    self.fail(StubStatus::Disconnected, error);
                }
                Err(error) => self.fail(StubStatus::Failed, error),
            }
            failed = failed.saturating_add(1);
            let wait = self.shared.config.retry.wait(failed, &*self.ids);
            tokio::select! {
                biased;
                () = closed(&mut closing) => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.enter(StubStatus::Disconnected, None);
    }

    async fn serve(&mut self, connection: Connection) -> End {
        *self.shared.last_error.lock() = None;
        self.enter(StubStatus::Live, None);
        let end = self.pump(connection).await;
        if !self.session.unconfirmed.is_empty() {
            self.session.reopen_from = None;
        }
        end
    }

    /// A fresh session knows nothing: it is told everything, before what waits.
    pub(crate) fn prepare_replay(&mut self) {
        self.session.replay = self.replay.replay(&self.shared.config.domain).into();
        let awaited =
            |message: &&Message| message.kind().is_request() && message.kind() != MessageType::Update;
        let requests = self.session.replay.iter().filter(awaited);
        self.session.unconfirmed = requests.map(|message| message.id().clone()).collect();
    }

    fn fail(&self, status: StubStatus, error: SessionError) {
        let description = error.to_string();
        let before = self.shared.last_error.lock().replace(error.clone());
        let stub = &self.shared.config.url;
        // What lasts is told once.
        if before.as_ref() == Some(&error) {
            tracing::debug!(%stub, %error, "session is not live");
        } else if error == SessionError::Lost(TransportError::GoingAway) {
            tracing::info!(%stub, "the message node stops; coming back to it");
        } else {
            tracing::warn!(%stub, %error, "session is not live; trying again");
        }
        self.enter(status, Some(&description));
    }

    /// Changes the state, then tells whoever listens. Listeners run right here and may send at once.
    fn enter(&self, status: StubStatus, description: Option<&str>) {
        let changed = self.shared.state.send_if_modified(|state| {
            let changed = state.status != status;
            state.status = status;
            changed
        });
        if changed {
            publish_status(&self.bus, &self.shared.config.url, status, description);
        }
    }
}

impl Drop for SessionDriver {
    fn drop(&mut self) {
        self.shared.outbox.lock().open = false;
        self.shared.state.send_replace(State { status: StubStatus::Disconnected, ended: true });
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // The sender lives in what the driver shares: it is never gone before the driver.
    let _ = closing.wait_for(|closing| *closing).await;
}
