//! Waiting for what a runtime and its node do, who take as long as they take.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::boundary::{Entry, Place, Way};
use super::held::Held;
use super::line::{Line, code, is_kind};
use super::scene::Scene;
use crate::protocol::Verdict;

impl Scene {
    /// Lets everything come to rest that takes no time of the protocol: until nothing crosses the boundary for the time
    /// of quiet. What has to have happened then is still better waited for ([`Scene::held_when`],
    /// [`Following::copy_when`](super::actors::Following::copy_when)): how long a node takes to answer, nobody knows.
    pub async fn settle(&self) {
        let waits = self.stage.waits();
        let deadline = Instant::now() + waits.answer;
        loop {
            let mark = self.boundary.mark();
            tokio::time::sleep(waits.quiet).await;
            if self.boundary.mark() == mark || Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Whether the node is a real one, which takes its time.
    pub(super) fn is_at_a_node(&self) -> bool {
        self.scripted.is_none()
    }

    /// Waits until the node has answered that the runtime has a session there. Whoever spoke to it sooner would be told
    /// that there is no way, and rightly.
    pub(super) async fn attached_since(&self, mark: usize) {
        let waits = self.stage.waits();
        let deadline = Instant::now() + waits.answer;
        let opened = |Entry { crossing, .. }: &Entry| {
            let message = &crossing.message;
            let from_node = crossing.place == Place::Node && crossing.way == Way::In;
            from_node
                && message["from"] == "mn:/session"
                && is_kind(message, "response")
                && code(message) == 200
        };
        while !self.boundary.trace_since(mark).iter().any(opened) && Instant::now() < deadline {
            tokio::time::sleep(waits.quiet).await;
        }
    }

    /// Whether an answer only says that the node did not answer the runtime in time, which is nobody's fault at a node
    /// that is slow, and `since` is not so long ago that nothing better can be expected.
    pub(super) fn was_too_slow(&self, answer: &Value, since: Instant) -> bool {
        let late = code(answer) == 408 && answer["body"]["reason"] == "no-route";
        late && self.is_at_a_node() && since.elapsed() < self.stage.waits().answer
    }

    /// What the runtime holds at its node, of addresses that begin so, as soon as it is what is wanted; else as it is
    /// when an answer would have come.
    pub async fn held_when(&self, prefix: &str, wanted: impl Fn(&Held) -> bool) -> Held {
        let waits = self.stage.waits();
        let deadline = Instant::now() + waits.answer;
        loop {
            let held = self.held(prefix);
            if wanted(&held) || Instant::now() >= deadline {
                return held;
            }
            tokio::time::sleep(waits.quiet).await;
        }
    }

    /// Has the node know where a hyperty of a peer is: it is found where it spoke first, once the node has heard that.
    ///
    /// # Errors
    /// When the node does not answer it.
    pub async fn make_found(&self, line: &mut Line, hyperty: &str) -> Verdict {
        line.request("read", hyperty, &self.reg(), json!({"resource": hyperty})).await.map(drop)
    }
}
