//! What cases for a node share: names, and sessions.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ensure_eq;
use crate::protocol::client::{Client, SESSION, code};
use crate::protocol::{Capability, Failure, Stage, Stop, Verdict};

use super::NodeUnderTest;

/// What a case for a node is given.
pub type NodeStage = Stage<dyn NodeUnderTest>;

impl Stage<dyn NodeUnderTest> {
    /// The domain of the node.
    pub fn domain(&self) -> String {
        self.subject.domain().to_owned()
    }

    /// Whether the node declares this.
    pub fn has(&self, capability: Capability) -> bool {
        self.subject.capabilities().contains(&capability)
    }

    /// The node's Subscription Manager.
    pub fn mn(&self) -> String {
        format!("domain://msg-node.{}/sm", self.subject.domain())
    }

    /// The node's address allocation.
    pub fn mna(&self) -> String {
        format!("domain://msg-node.{}/address-allocation", self.subject.domain())
    }

    /// The domain registry.
    pub fn reg(&self) -> String {
        format!("domain://registry.{}", self.subject.domain())
    }

    /// The schema catalogue.
    pub fn catalogue(&self) -> String {
        format!("domain://catalogue.{}", self.subject.domain())
    }

    /// Where records are kept for the devices of users.
    pub fn backup(&self) -> String {
        format!("domain://msg-node.{}/backup", self.subject.domain())
    }

    /// The URL of a runtime that only this case has.
    pub fn runtime(&self, name: &str) -> String {
        format!("hyperty-runtime://{}/{}-{name}", self.subject.domain(), self.nonce)
    }

    /// The URL of a hyperty that nobody allocated.
    pub fn hyperty(&self, name: &str) -> String {
        format!("hyperty://{}/{}-{name}", self.subject.domain(), self.nonce)
    }

    /// The URL of an object that nobody allocated.
    pub fn object(&self, name: &str) -> String {
        format!("comm://{}/{}-{name}", self.subject.domain(), self.nonce)
    }

    /// The URL of a user.
    pub fn user(&self, name: &str) -> String {
        format!("user://{}/{}-{name}", self.subject.domain(), self.nonce)
    }

    /// A connection without a session, of the runtime of this name.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub async fn connect(&self, name: &str) -> Verdict<Client> {
        self.connect_for(name, name).await
    }

    async fn connect_for(&self, name: &str, user: &str) -> Verdict<Client> {
        let connection = self.subject.connect().await;
        let connection =
            connection.map_err(|error| Stop::Broken(format!("{name} cannot connect: {error}")))?;
        let mut client = Client::new(name, self.runtime(name), connection, self.trace.clone(), self.waits());
        if let Some(token) = self.subject.token(&self.user(user)) {
            client.admission = json!({"accessToken": token});
        }
        Ok(client)
    }

    /// A connection with a session, of the runtime of this name.
    ///
    /// # Errors
    /// When the session is refused.
    pub async fn open(&self, name: &str) -> Verdict<Client> {
        self.open_for(name, name).await
    }

    /// As `open`, of a runtime of this user's.
    ///
    /// # Errors
    /// When the session is refused.
    pub async fn open_for(&self, name: &str, user: &str) -> Verdict<Client> {
        let mut client = self.connect_for(name, user).await?;
        let began = Instant::now();
        let answer = client.open().await?;
        self.pace.measured(began.elapsed());
        ensure_eq!("5.15", code(&answer), 200, "the code of the answer to open by {name}");
        Ok(client)
    }

    /// Stops the node and starts it again; every connection is gone.
    ///
    /// # Errors
    /// When that is not possible.
    pub async fn restart(&self) -> Verdict {
        self.trace.note("the node is stopped and started again");
        self.subject.restart().await.map_err(Stop::Broken)
    }
}

impl Client {
    /// Sends `open` and notes the token.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn open(&mut self) -> Verdict<Value> {
        let from = self.runtime.clone();
        let answer = self.request("open", &from, SESSION, self.admission.clone()).await?;
        self.token = answer["body"]["runtimeToken"].as_str().unwrap_or_default().to_owned();
        Ok(answer)
    }

    /// Sends `re-open` with the token of an earlier connection.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn reopen(&mut self, token: &str) -> Verdict<Value> {
        let from = format!("{}/{token}", self.runtime);
        let answer = self.request("re-open", &from, SESSION, self.admission.clone()).await?;
        if code(&answer) == 200 {
            self.token = token.to_owned();
        }
        Ok(answer)
    }

    /// Ends the session, and waits for the connection to be closed. Returns what came before.
    ///
    /// # Errors
    /// When it is not closed.
    pub async fn close(mut self) -> Verdict<Vec<Value>> {
        let from = self.proof();
        self.send("close", &from, SESSION, Value::Null).await?;
        self.closed().await
    }

    /// Asks the node to send these addresses here; returns the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_subscribe(&mut self, stage: &NodeStage, urls: &[&str]) -> Verdict<Value> {
        let (sm, source) = (self.sm(), self.runtime.clone());
        self.request("subscribe", &sm, &stage.mn(), json!({"resources": urls, "source": source})).await
    }

    /// As [`Client::try_subscribe`], and it has to be granted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn subscribe(&mut self, stage: &NodeStage, urls: &[&str]) -> Verdict {
        let answer = self.try_subscribe(stage, urls).await?;
        granted(&answer, "5.14", "subscribe")
    }

    /// Asks the node to send these addresses no longer; it has to be granted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn unsubscribe(&mut self, stage: &NodeStage, urls: &[&str]) -> Verdict {
        let sm = self.sm();
        let answer = self.request("unsubscribe", &sm, &stage.mn(), json!({"resources": urls})).await?;
        granted(&answer, "5.14", "unsubscribe")
    }

    /// Addresses from the node's allocation.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn allocate(&mut self, stage: &NodeStage, scheme: &str, number: u64) -> Verdict<Vec<String>> {
        let from = format!("{}/address-allocation", self.runtime);
        let body = json!({"scheme": scheme, "value": {"number": number}});
        let answer = self.request("create", &from, &stage.mna(), body).await?;
        granted(&answer, "5.12", "an allocation")?;
        allocated(&answer)
    }

    /// Publishes a change of `object`.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn publish(&mut self, object: &str, version: u64) -> Verdict {
        let body = json!({"version": version, "attribute": "a", "value": version});
        self.send("update", object, &format!("{object}/changes"), body).await.map(|_| ())
    }

    /// What `to` received up to now from here: a message sent from here now overtakes nothing (INV-MN-2).
    ///
    /// # Errors
    /// When that message does not arrive.
    pub async fn fence(&mut self, to: &mut Client) -> Verdict<Vec<Value>> {
        let (from, address) = (self.sm(), to.sm());
        let marker = format!("fence {}", self.next_mark());
        self.send("update", &from, &address, json!({"value": marker})).await?;
        let what = format!("{marker} of {}", self.name);
        to.before(|message| message["body"]["value"] == marker, &what).await
    }

    /// What the node had queued for this client up to now, and what it answered to what was sent from here.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn queued(&mut self, stage: &NodeStage) -> Verdict<Vec<Value>> {
        let (sm, nothing) = (self.sm(), stage.object("nobody-listens"));
        let body = json!({"resources": [format!("{nothing}/changes")]});
        self.request("unsubscribe", &sm, &stage.mn(), body).await?;
        Ok(self.kept())
    }

    /// What came up to now that the node itself sends, or had queued before: an answer of the node overtakes nothing
    /// that it had queued for this session.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn settled(&mut self, stage: &NodeStage) -> Verdict<Vec<Value>> {
        let mut found = self.queued(stage).await?;
        found.extend(self.rest().await?);
        Ok(found)
    }
}

/// The versions in a list of messages.
pub(super) fn versions(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["body"]["version"].as_u64().unwrap_or_default()).collect()
}

/// Cases, one a line.
macro_rules! node_cases {
    ($($id:literal checks [$($invariant:literal),*] needs [$($need:ident),*] => $run:path;)*) => {
        vec![$($crate::protocol::Case {
            id: $id,
            invariants: &[$($invariant),*],
            needs: &[$($crate::protocol::Capability::$need),*],
            run: |stage| Box::pin($run(stage)),
        }),*]
    };
}
pub(super) use node_cases;

/// The addresses in an answer of the allocation.
pub(super) fn allocated(answer: &Value) -> Verdict<Vec<String>> {
    serde_json::from_value(answer["body"]["value"]["allocated"].clone())
        .map_err(|_| Failure::new("5.12", format!("no list of addresses in {}", answer["body"])).into())
}

/// That something was granted.
pub(super) fn granted(answer: &Value, rule: &'static str, what: &str) -> Verdict {
    ensure_eq!(rule, code(answer), 200, "the code of the answer to {what} ({})", answer["body"]);
    Ok(())
}

/// That a request was refused by the node itself, with this code, in the form of M12: from where it was sent to, with
/// the node as source, a reason, and text under both names.
///
/// # Errors
/// When the answer is another.
pub fn refused_by_node(
    stage: &NodeStage,
    answer: &Value,
    wanted: u64,
    rule: &'static str,
    what: &str,
) -> Verdict {
    let body = &answer["body"];
    ensure_eq!(rule, code(answer), wanted, "the code of the answer to {what} ({body})");
    if stage.has(Capability::Reasons) {
        ensure_eq!("M12", body["source"], json!(stage.mn()), "body.source of the node's own error to {what}");
        let reason = body["reason"].as_str().unwrap_or_default();
        if reason.is_empty() {
            return Err(
                Failure::new("M12", format!("no body.reason in the node's own error to {what}")).into()
            );
        }
        ensure_eq!("2.5", body["desc"], body["description"], "desc and description");
    }
    Ok(())
}
