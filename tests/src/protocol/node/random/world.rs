//! What is true of the runtimes and the node by then, and what has to come to whom.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{OBJECTS, RUNTIMES, Step};
use crate::ensure_eq;
use crate::protocol::client::{Client, code};
use crate::protocol::node::stage::NodeStage;
use crate::protocol::{Stop, Verdict};

/// What has to come to somebody, or came: `update 3`, `read 4`, `200 to 105`.
type Arrival = String;

/// A request that waits for a lost session, and which session of which runtime sent it.
#[derive(Clone)]
struct Waiting {
    arrival: Arrival,
    /// Who asked, with which session, under which id.
    asker: Option<(usize, u64, u64)>,
}

/// What should be true of one runtime.
struct Session {
    number: u64,
    listens: BTreeSet<usize>,
    /// What came while its connection was lost; `None` while there is one.
    lost: Option<Vec<Waiting>>,
}

pub(super) struct World {
    pub(super) stage: NodeStage,
    clients: [Option<Client>; RUNTIMES],
    tokens: [Option<String>; RUNTIMES],
    sessions: [Option<Session>; RUNTIMES],
    holders: [Option<usize>; OBJECTS],
    /// What has to have come to each client by the end of the step.
    due: [Vec<Arrival>; RUNTIMES],
    count: u64,
}

impl World {
    pub(super) fn new(stage: NodeStage) -> World {
        World {
            stage,
            clients: [const { None }; RUNTIMES],
            tokens: [const { None }; RUNTIMES],
            sessions: [const { None }; RUNTIMES],
            holders: [None; OBJECTS],
            due: [const { Vec::new() }; RUNTIMES],
            count: 0,
        }
    }

    pub(super) fn object(&self, object: usize) -> String {
        self.stage.object(&format!("o{object}"))
    }

    pub(super) fn name(who: usize) -> &'static str {
        ["alice", "bob", "carol"][who]
    }

    pub(super) fn address(&self, who: usize) -> String {
        format!("{}/sm", self.stage.runtime(World::name(who)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Something goes to the session of `to`, wherever that is; `false` if there is none.
    pub(super) fn deliver(&mut self, to: usize, arrival: Arrival, asker: Option<(usize, u64, u64)>) -> bool {
        match self.sessions[to].as_mut() {
            None => return false,
            Some(Session { lost: Some(waiting), .. }) => waiting.push(Waiting { arrival, asker }),
            Some(_) => self.due[to].push(arrival),
        }
        true
    }

    /// The session of `who` is over: its routes go, and who waits for it is told.
    pub(super) fn ends(&mut self, who: usize) {
        let Some(session) = self.sessions[who].take() else { return };
        self.holders.iter_mut().filter(|holder| **holder == Some(who)).for_each(|holder| *holder = None);
        for waiting in session.lost.into_iter().flatten() {
            let Some((asker, number, id)) = waiting.asker else { continue };
            if self.sessions[asker].as_ref().is_some_and(|session| session.number == number) {
                self.deliver(asker, format!("404 to {id}"), None);
            }
        }
    }

    pub(super) async fn act(&mut self, step: Step) -> Verdict {
        match step {
            Step::Open { who } => self.open(who).await?,
            Step::Reopen { who } => self.reopen(who).await?,
            Step::ReopenWithWrongToken { who } => self.wrong_token(who).await?,
            _ => {
                let who = step.who();
                let Some(mut client) = self.clients[who].take() else { return Ok(()) };
                let kept = match step {
                    Step::Lose { .. } => {
                        client.lose();
                        tokio::time::sleep(10 * self.stage.waits().quiet).await;
                        if let Some(session) = self.sessions[who].as_mut() {
                            session.lost = Some(Vec::new());
                        }
                        None
                    }
                    Step::Close { .. } => {
                        let got = client.close().await?;
                        ensure_eq!("5.15", got.len(), 0, "messages after close");
                        self.ends(who);
                        None
                    }
                    _ => {
                        self.say(step, who, &mut client).await?;
                        Some(client)
                    }
                };
                self.clients[who] = kept;
            }
        }
        self.check(step.who()).await
    }

    /// What is said over an open connection.
    pub(super) async fn say(&mut self, step: Step, who: usize, client: &mut Client) -> Verdict {
        let (own, mn) = (client.sm(), self.stage.mn());
        match step {
            Step::Subscribe { object, .. } => {
                client.subscribe(&self.stage, &[&format!("{}/changes", self.object(object))]).await?;
                self.sessions[who].iter_mut().for_each(|session| {
                    session.listens.insert(object);
                });
            }
            Step::Unsubscribe { object, .. } => {
                client.unsubscribe(&self.stage, &[&format!("{}/changes", self.object(object))]).await?;
                self.sessions[who].iter_mut().for_each(|session| {
                    session.listens.remove(&object);
                });
            }
            Step::Hold { object, .. } => {
                let free = self.holders[object].is_none_or(|holder| holder == who);
                let body = json!({"resources": [self.object(object)]});
                let answer = client.request("subscribe", &own, &mn, body).await?;
                let wanted = if free { 200 } else { 409 };
                ensure_eq!("M17", code(&answer), wanted, "the code of the answer to who wants the route O");
                if free {
                    self.holders[object] = Some(who);
                }
            }
            Step::GiveUp { object, .. } => {
                client.unsubscribe(&self.stage, &[&self.object(object)]).await?;
                self.holders[object] = self.holders[object].filter(|&holder| holder != who);
            }
            Step::Publish { object, times, .. } => {
                for _ in 0..times {
                    self.publish(who, object, client).await?;
                }
            }
            Step::Ask { whom, .. } => {
                let number = self.next();
                let to = self.address(whom);
                let id = client.send("read", &own, &to, json!({"version": number})).await?;
                let session = self.sessions[who].as_ref().map_or(0, |session| session.number);
                let asker = Some((who, session, id));
                if whom == who || !self.deliver(whom, format!("read {number}"), asker) {
                    self.due[who].push(format!("404 to {id}"));
                }
            }
            Step::AskNobody { .. } => {
                let id = client.send("read", &own, &self.stage.hyperty("nobody"), json!({})).await?;
                self.due[who].push(format!("404 to {id}"));
            }
            Step::Forge { as_whom, .. } if as_whom != who => {
                let from = self.address(as_whom);
                let to =
                    self.address((0..RUNTIMES).find(|other| ![who, as_whom].contains(other)).unwrap_or(0));
                let id = client.send("read", &from, &to, json!({"version": 0})).await?;
                self.due[who].push(format!("403 to {id}"));
            }
            Step::Noise { .. } => {
                client.send_text("{\"id\":").await?;
                let number = self.next();
                let to = self.object(0);
                client
                    .send_text(format!(
                        r#"{{"id":"n{number}","type":"noise","from":"{own}","to":"{to}","body":{{}}}}"#
                    ))
                    .await?;
                self.due[who].push(format!("400 to \"n{number}\""));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn publish(&mut self, who: usize, object: usize, client: &mut Client) -> Verdict {
        let number = self.next();
        let url = self.object(object);
        let body = json!({"version": number, "attribute": "a", "value": number});
        let id = client.send("update", &url, &format!("{url}/changes"), body).await?;
        if self.holders[object].is_some_and(|holder| holder != who) {
            self.due[who].push(format!("403 to {id}"));
            return Ok(());
        }
        for other in (0..RUNTIMES).filter(|&other| other != who) {
            if self.sessions[other].as_ref().is_some_and(|session| session.listens.contains(&object)) {
                self.deliver(other, format!("update {number}"), None);
            }
        }
        Ok(())
    }

    pub(super) async fn open(&mut self, who: usize) -> Verdict {
        let mut client = self.stage.connect(World::name(who)).await?;
        let answer = client.open().await?;
        if self.clients[who].is_some() {
            ensure_eq!("INV-MN-5", code(&answer), 409, "the code of the answer to a second open");
            return Ok(());
        }
        ensure_eq!("5.15", code(&answer), 200, "the code of the answer to open");
        self.ends(who);
        let number = self.next();
        self.sessions[who] = Some(Session { number, listens: BTreeSet::new(), lost: None });
        self.tokens[who] = Some(client.token.clone());
        self.clients[who] = Some(client);
        Ok(())
    }

    pub(super) async fn reopen(&mut self, who: usize) -> Verdict {
        let (None, Some(token)) = (&self.clients[who], &self.tokens[who]) else { return Ok(()) };
        let mut client = self.stage.connect(World::name(who)).await?;
        let answer = client.reopen(token).await?;
        let Some(session) = self.sessions[who].as_mut() else {
            ensure_eq!("INV-SES-2", code(&answer), 500, "re-open of a session that was closed");
            return Ok(());
        };
        ensure_eq!("INV-SES-1", code(&answer), 200, "the code of the answer to re-open");
        let waiting = session.lost.take().unwrap_or_default();
        self.due[who].extend(waiting.into_iter().map(|waiting| waiting.arrival));
        self.clients[who] = Some(client);
        Ok(())
    }

    pub(super) async fn wrong_token(&mut self, who: usize) -> Verdict {
        let mut client = self.stage.connect(World::name(who)).await?;
        let answer = client.reopen("00000000000000000000000000000000").await?;
        ensure_eq!("INV-SES-2", code(&answer), 500, "the code of the answer to re-open with a wrong token");
        Ok(())
    }

    /// Everybody has got what is due, in that order, each once, and nothing else; and has answered what was asked,
    /// which makes other things due.
    ///
    /// Who did something is asked first: once the node has answered that, what was sent before it is where it belongs.
    pub(super) async fn check(&mut self, first: usize) -> Verdict {
        loop {
            let mut answered = false;
            for who in (0..RUNTIMES).map(|turn| (first + turn) % RUNTIMES) {
                let Some(mut client) = self.clients[who].take() else { continue };
                let got = client.queued(&self.stage).await?;
                let arrivals: Vec<Arrival> = got.iter().map(arrival).collect();
                let due = std::mem::take(&mut self.due[who]);
                ensure_eq!("INV-MN-1", arrivals, due, "what came to {}", client.name);
                for request in got.iter().filter(|message| message["type"] == "read") {
                    client.answer(request, json!({"code": 200})).await?;
                    // To whatever session has that address now.
                    let asker = (0..RUNTIMES).find(|&one| request["from"] == json!(self.address(one)));
                    if let Some(asker) = asker {
                        self.deliver(asker, format!("200 to {}", request["id"]), None);
                    }
                    answered = true;
                }
                // What was answered is at the node, before anybody else has a turn.
                if answered {
                    client.queued(&self.stage).await.and_then(|got| match got.is_empty() {
                        true => Ok(()),
                        false => Err(Stop::Broken(format!("{} received {got:?} out of turn", client.name))),
                    })?;
                }
                self.clients[who] = Some(client);
            }
            if !answered {
                return Ok(());
            }
        }
    }

    /// Nothing comes late.
    pub(super) async fn end(mut self) -> Verdict {
        for client in self.clients.iter_mut().flatten() {
            let late = client.rest().await?;
            ensure_eq!("INV-MN-1", late.len(), 0, "late messages at {}: {late:?}", client.name);
        }
        Ok(())
    }
}

fn arrival(message: &Value) -> Arrival {
    let version = &message["body"]["version"];
    match message["type"].as_str() {
        Some("response") => format!("{} to {}", code(message), message["id"]),
        kind => format!("{} {version}", kind.unwrap_or("?")),
    }
}
