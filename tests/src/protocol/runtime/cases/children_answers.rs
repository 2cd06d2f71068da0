//! An operation on a child is sent until the Reporter's side has answered it; whoever made it hears one answer (protocol
//! 5.9, INV-MSG-1).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use super::children::edit;
use crate::ensure;
use crate::protocol::runtime::actors::{Author, Following, child};
use crate::protocol::runtime::line::{code, expect_code, is, is_final};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-MSG-1/refused-on-the-way", ["INV-MSG-1", "M18"], [Children], refused_on_the_way),
        case!("INV-MSG-1/answered-twice", ["INV-MSG-1", "M18"], [Children], answered_twice),
        case!("INV-MSG-1/undone-with-another", ["INV-MSG-1", "M18"], [Children], undone_with_another),
        case!("INV-MSG-1/posted-twice", ["INV-MSG-1", "M18"], [Children], posted_twice),
        case!("INV-MSG-1/left-unanswered", ["INV-MSG-1", "M18"], [Children], left_unanswered),
    ]
}

/// Longer than it takes until an operation without an answer is sent again (T_CHILD).
const AGAIN: Duration = Duration::from_secs(4);

/// An observer here, of an object elsewhere with children.
struct Writing {
    author: Author,
    following: Following,
    channel: String,
    own: String,
}

impl Writing {
    async fn begin(scene: &Scene) -> Verdict<Writing> {
        let mut author = Author::announce(scene, "author").await?;
        let following = Following::join(scene, "observer", &mut author, true).await?;
        let channel = format!("{}/children/notes", author.object);
        let own = following.line.url.clone();
        Ok(Writing { author, following, channel, own })
    }

    fn create(&self) -> Value {
        let body = child(&self.author.object, &self.own, 1, json!({"text": "hi"}));
        self.following.line.send("create", &self.own, &self.channel, body)
    }

    /// The operation as it comes to the Reporter's side, the next time.
    async fn comes(&mut self, kind: &str) -> Verdict<Value> {
        let channel = self.channel.clone();
        self.author.line.until("M18", &format!("the {kind}"), |m| is(m, kind, &channel)).await
    }

    fn answer(&self, operation: &Value, code: u64) {
        self.author.line.answer(operation, json!({"code": code, "source": self.author.line.sm()}));
    }

    async fn no_answer(&mut self, id: &Value, what: &str) -> Verdict {
        self.following.line.never("INV-MSG-1", what, |m| is_final(m, id)).await
    }
}

/// A message node that does not let it pass, or knows no way, has not answered for the Reporter.
async fn refused_on_the_way(scene: &mut Scene) -> Verdict {
    let mut writing = Writing::begin(scene).await?;
    let id = writing.create();
    for (refusal, reason) in [(403, "forbidden"), (404, "no-route")] {
        let operation = writing.comes("create").await?;
        let body = json!({"code": refusal, "desc": "not here", "reason": reason, "source": scene.mn()});
        writing.author.line.answer(&operation, body);
        writing.no_answer(&id, "what a node on the way says").await?;
        scene.stage.wait(AGAIN, "the time after which it is sent again").await?;
    }
    let operation = writing.comes("create").await?;
    writing.answer(&operation, 200);
    expect_code("M19", &writing.following.line.final_answer(&id).await?, &[200], "the operation")?;
    // The others of it are on their way yet.
    writing.answer(&operation, 200);
    writing.no_answer(&id, "another answer").await
}

/// Sent twice it is answered twice, by who did it once.
async fn answered_twice(scene: &mut Scene) -> Verdict {
    let mut writing = Writing::begin(scene).await?;
    let id = writing.create();
    let first = writing.comes("create").await?;
    scene.stage.wait(AGAIN, "the time after which it is sent again").await?;
    let second = writing.comes("create").await?;
    writing.answer(&first, 200);
    expect_code("M19", &writing.following.line.final_answer(&id).await?, &[200], "the operation")?;
    writing.answer(&second, 409);
    writing.no_answer(&id, "the answer to its repetition").await
}

/// A change of a child that is not to be: refused with it, whatever was said of it before and is said after.
async fn undone_with_another(scene: &mut Scene) -> Verdict {
    let mut writing = Writing::begin(scene).await?;
    let creation = writing.create();
    let body = edit(&format!("{}#1", writing.own), 1, "hi!");
    let change = writing.following.line.send("update", &writing.own, &writing.channel, body);
    let (create, update) = (writing.comes("create").await?, writing.comes("update").await?);
    writing.answer(&update, 404);
    writing.no_answer(&change, "a refusal because of an operation that was lost").await?;
    writing.answer(&create, 403);
    let answer = writing.following.line.final_answer(&creation).await?;
    expect_code("M19", &answer, &[403], "a creation that is refused")?;
    let answer = writing.following.line.final_answer(&change).await?;
    ensure!("INV-MSG-1", code(&answer) >= 400, "a change of what never was, answered {answer}");
    writing.answer(&update, 404);
    writing.no_answer(&change, "another answer").await
}

/// Who does not wait for its answer and posts it again, under the same id, is answered once it is answered.
async fn posted_twice(scene: &mut Scene) -> Verdict {
    let mut writing = Writing::begin(scene).await?;
    let body = child(&writing.author.object, &writing.own, 1, json!({"text": "hi"}));
    let id = json!(writing.following.line.next_id());
    let message =
        json!({"id": id, "type": "create", "from": writing.own, "to": writing.channel, "body": body});
    writing.following.line.send_message(&message);
    let operation = writing.comes("create").await?;
    writing.following.line.send_message(&message);
    writing.no_answer(&id, "an answer that nobody gave").await?;
    writing.answer(&operation, 200);
    expect_code("M19", &writing.following.line.final_answer(&id).await?, &[200], "the operation")?;
    // And goes on.
    writing.author.publish("n", json!(1));
    ensure!("INV-MSG-1", writing.following.update().await?["version"] == 1, "the next change");
    Ok(())
}

/// What became of it nobody will say any more; that is said.
async fn left_unanswered(scene: &mut Scene) -> Verdict {
    let mut writing = Writing::begin(scene).await?;
    let id = writing.create();
    let operation = writing.comes("create").await?;
    let to = format!("{}/subscription", writing.author.object);
    let (left, served) = tokio::join!(writing.following.leave(scene), async {
        let leave = writing.author.line.until("5.6", "the leave", |m| is(m, "unsubscribe", &to)).await?;
        writing.author.line.answer(&leave, json!({"code": 200}));
        Ok(())
    });
    let served: Verdict = served;
    served?;
    expect_code("INV-UNS-1", &left?, &[200], "leaving")?;
    let answer = writing.following.line.final_within(&id, RESPONSE_TIME).await?;
    ensure!("INV-MSG-1", code(&answer) >= 400, "an operation that nobody answered: {answer}");
    writing.answer(&operation, 404);
    Ok(())
}
