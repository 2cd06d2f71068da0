//! Waiting for what a runtime and its node do, who take as long as they take.

use serde_json::json;
use tokio::time::Instant;

use super::held::Held;
use super::line::Line;
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
