//! In whose name a hyperty speaks (protocol 4.1, INV-MSG-6): what its runtime's components say, nobody else says.

use serde_json::{Value, json};

use super::case;
use crate::ensure_eq;
use crate::protocol::runtime::actors::{Author, Following, child};
use crate::protocol::runtime::line::{code, expect_code, is};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-MSG-6/in-ones-own-name", ["INV-MSG-6", "INV-KICK-3"], [], in_ones_own_name),
        case!("INV-MSG-6/answers-of-others", ["INV-MSG-6", "INV-MSG-1", "M19"], [], answers_of_others),
    ]
}

const KINDS: [&str; 9] =
    ["create", "read", "update", "delete", "subscribe", "unsubscribe", "execute", "forward", "event"];

/// What a component of the runtime may say to an observer, and nobody else: it changes nothing, is answered, and
/// nobody hears of it.
async fn in_ones_own_name(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    let mut neighbour = scene.seat("neighbour")?;
    let (object, observer) = (author.object.clone(), following.line.url.clone());
    following.line.rest().await;
    let names = [
        scene.sm(),
        format!("{}/registry", scene.url),
        scene.url.clone(),
        observer.clone(),
        author.hyperty.clone(),
        object.clone(),
        format!("{object}/subscription"),
        scene.mn(),
    ];
    let body =
        json!({"resource": object, "to": object, "source": observer, "reason": "removed", "code": 200});
    for name in &names {
        for kind in KINDS {
            let id = neighbour.send(kind, name, &observer, body.clone());
            if kind != "event" {
                let answer = neighbour.final_answer(&id).await?;
                expect_code("INV-MSG-6", &answer, &[403], &format!("a {kind} in the name of {name}"))?;
            }
        }
    }
    following.line.never("INV-MSG-6", "what its neighbour said in another name", |_| true).await?;
    author.publish("n", json!(1));
    following.update().await?;
    ensure_eq!("INV-KICK-3", following.data["n"], json!(1), "the next change");
    Ok(())
}

/// An answer comes from who was asked: nobody beside the Reporter's side settles an operation on a child.
async fn answers_of_others(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    // One that has the same channel.
    let neighbour = Following::join(scene, "neighbour", &mut author, false).await?;
    let (own, channel) = (following.line.url.clone(), format!("{}/children/notes", author.object));
    let id =
        following.line.send("create", &own, &channel, child(&author.object, &own, 1, json!({"text": "hi"})));
    let operation = author.line.until("M18", "the operation", |m| is(m, "create", &channel)).await?;
    for (from, refusal) in [(&channel, 403), (&author.object, 404), (&scene.sm(), 410)] {
        let body = json!({"code": refusal, "source": author.line.sm()});
        let message =
            json!({"id": operation["id"], "type": "response", "from": from, "to": own, "body": body});
        neighbour.line.send_message(&message);
    }
    let is_answer = |m: &Value| is(m, "response", &own) && code(m) >= 200;
    following.line.never("INV-MSG-6", "its neighbour's answer", is_answer).await?;
    author.line.answer(&operation, json!({"code": 200, "source": author.line.sm()}));
    expect_code("M19", &following.line.final_answer(&id).await?, &[200], "the operation")
}
