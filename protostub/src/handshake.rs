//! Opening and re-opening a session on a new connection (protocol 5.15).

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use hyperty_model::message::ResponseBody;
use hyperty_model::url::node;
use hyperty_model::{Body, Message, MessageId, MessageType, StatusCode, Url};
use serde_json::json;
use tokio::time::timeout;

use crate::driver::SessionDriver;
use crate::error::SessionError;
use crate::token::TokenError;
use crate::transport::{ConnectError, Connection, Incoming, Outgoing, TransportError};

impl SessionDriver {
    /// Connects, and re-opens the last session if the node still has it; else opens a fresh one.
    pub(crate) async fn establish(&mut self) -> Result<Connection, SessionError> {
        // Before the connection is there: a node does not wait for long.
        let body = self.admission().await?;
        let connecting = timeout(self.shared.config.connect_timeout, self.connector.connect());
        let mut connection = connecting.await.map_err(|_| ConnectError::TimedOut)??;
        if let Some(from) = self.session.reopen_from.clone() {
            let answer = self.ask(&mut connection, MessageType::ReOpen, &from, body.clone()).await?;
            if answer.code.is_success() {
                self.shared.renewal.begin(&answer);
                self.remember(&answer);
                tracing::info!(stub = %self.shared.config.url, "session re-opened");
                return Ok(connection);
            }
            if matches!(answer.code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                // It closes the connection behind that. The session may still be there for a better token.
                return Err(refused(&answer));
            }
            tracing::info!(stub = %self.shared.config.url, code = %answer.code, "the node has lost the session");
            self.session.reopen_from = None;
        }
        let runtime = self.shared.config.runtime.as_url().clone();
        let answer = self.ask(&mut connection, MessageType::Open, &runtime, body).await?;
        if !answer.code.is_success() {
            return Err(refused(&answer));
        }
        self.shared.renewal.begin(&answer);
        self.session.reopen_from = Some(runtime);
        self.remember(&answer);
        self.prepare_replay();
        tracing::info!(stub = %self.shared.config.url, "session opened");
        Ok(connection)
    }

    /// What is told of who asks: a token, if there is a source of them.
    async fn admission(&self) -> Result<Body, SessionError> {
        let Some(source) = &self.shared.config.token else { return Ok(Body::empty()) };
        let token = timeout(self.shared.config.answer_timeout, source.token()).await;
        let token = token.map_err(|_| TokenError("there is none in time".to_owned()))??;
        Ok(Body::of(json!({ "accessToken": token })))
    }

    /// Keeps the token, if there is one: a node without tokens is re-opened by the bare runtime URL.
    fn remember(&mut self, answer: &ResponseBody) {
        let Some(token) = answer.extra.get("runtimeToken").and_then(|token| token.as_str()) else { return };
        match self.shared.config.runtime.join(token) {
            Ok(url) => self.session.reopen_from = Some(url),
            Err(error) => {
                tracing::warn!(stub = %self.shared.config.url, %error, "the node's token is unusable")
            }
        }
    }

    /// Sends one message of the session and waits for its answer. Other messages may come before it: the node goes
    /// on where a re-opened session left off.
    async fn ask(
        &mut self,
        connection: &mut Connection,
        kind: MessageType,
        from: &Url,
        body: Body,
    ) -> Result<Arc<ResponseBody>, SessionError> {
        let message = Message::new(self.bus.next_id(), kind, from.clone(), node::session(), body);
        let limit = self.shared.config.answer_timeout;
        let mut inbound = self.inbound();
        let answer = async {
            connection.outgoing.send(Outgoing::Frame(message.wire().clone())).await?;
            loop {
                match connection.incoming.next().await.transpose()? {
                    Some(Incoming::Frame(frame)) => {
                        if let Some(answer) = inbound.accept(frame, Some(message.id())) {
                            return Ok(answer);
                        }
                    }
                    Some(Incoming::Alive) => {}
                    None => return Err(SessionError::Lost(TransportError::Closed)),
                }
            }
        };
        timeout(limit, answer).await.map_err(|_| SessionError::NoAnswer)?
    }
}

fn refused(answer: &ResponseBody) -> SessionError {
    let description = answer.description.clone().unwrap_or_default();
    SessionError::Refused { code: answer.code, description }
}

/// The answer to the session message `id`, if `message` is it.
pub(crate) fn session_answer(message: &Message, id: &MessageId) -> Option<Arc<ResponseBody>> {
    let ours = message.kind() == MessageType::Response && message.id() == id;
    let body = ours.then(|| message.decode::<ResponseBody>().ok())??;
    (!body.code.is_provisional()).then_some(body)
}
