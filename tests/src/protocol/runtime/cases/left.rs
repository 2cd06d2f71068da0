//! What a runtime says of its observers to the Reporter's side: that they have left, until it is heard (protocol 5.6), and
//! who is there, when it is asked (5.3.5).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::ensure_eq;
use crate::protocol::runtime::Ending;
use crate::protocol::runtime::actors::{Author, Following};
use crate::protocol::runtime::line::{expect_code, is};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};

/// Longer than the longest pause between two tries, and the wait for an answer before it.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-UNS-4/told-until-it-is-heard", ["INV-UNS-4", "INV-UNS-2"], [], told_until_heard),
        case!("INV-UNS-4/told-after-a-crash", ["INV-UNS-4", "INV-UNS-2"], [Crash, Store], told_after_a_crash),
        case!("INV-UNS-4/a-new-subscription-stands", ["INV-UNS-4"], [], new_subscription_stands),
        case!("INV-UNS-2/accepted-too-late", ["INV-UNS-2", "M9"], [], accepted_too_late),
        case!("INV-OBS-2/who-observes-here", ["INV-OBS-2"], [], who_observes_here),
    ]
}

/// Leaves, and is not heard.
async fn leave_unheard(scene: &Scene, author: &mut Author, following: &mut Following) -> Verdict {
    let to = format!("{}/subscription", author.object);
    let (answer, told) = tokio::join!(
        following.leave(scene),
        author.line.until("5.6", "the leave", |message| is(message, "unsubscribe", &to))
    );
    told?;
    expect_code("INV-UNS-4", &answer?, &[200], "leaving, of which nobody answers").map(drop)
}

/// The leave of a hyperty, once more; it is answered.
async fn hear(author: &mut Author, who: &str) -> Verdict {
    let to = format!("{}/subscription", author.object);
    let wanted = |message: &Value| is(message, "unsubscribe", &to);
    let told = author.line.until_within("INV-UNS-4", "the leave once more", PATIENCE, wanted).await?;
    ensure_eq!("INV-UNS-4", told["body"]["source"], json!(who), "who has left");
    author.line.answer(&told, json!({"code": 200}));
    Ok(())
}

async fn no_leave(scene: &Scene, author: &mut Author, what: &str) -> Verdict {
    scene.stage.wait(PATIENCE, what).await?;
    let to = format!("{}/subscription", author.object);
    author.line.never("INV-UNS-4", what, |message| is(message, "unsubscribe", &to)).await
}

async fn told_until_heard(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    leave_unheard(scene, &mut author, &mut following).await?;
    hear(&mut author, &following.line.url).await?;
    no_leave(scene, &mut author, "a leave that was answered").await
}

async fn told_after_a_crash(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let who = following.line.url.clone();
    leave_unheard(scene, &mut author, &mut following).await?;
    scene.leave(following.line);
    scene.restart(Ending::Crash).await?;
    hear(&mut author, &who).await?;
    no_leave(scene, &mut author, "a leave that was answered").await
}

async fn new_subscription_stands(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    leave_unheard(scene, &mut author, &mut following).await?;
    author.line.rest().await;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    author.accept(&request);
    following.accepted(&id).await?;
    no_leave(scene, &mut author, "a leave of who observes again").await
}

/// The subscription is given up, its end is unknown to the Reporter's side, and then it is accepted: who asked has long
/// been refused, and must not stay an observer there.
async fn accepted_too_late(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    let refused = following.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("M9", &refused, &[408], "a subscription that nobody answers")?;
    let to = format!("{}/subscription", author.object);
    let wanted = |message: &Value| is(message, "unsubscribe", &to);
    let told = author.line.until_within("INV-UNS-2", "that it was given up", PATIENCE, wanted).await?;
    author.line.answer(&told, json!({"code": 404}));
    author.accept(&request);
    hear(&mut author, &following.line.url).await?;
    no_leave(scene, &mut author, "a leave that was answered").await
}

async fn who_observes_here(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    let (object, sm) = (author.object.clone(), scene.sm());
    let from = format!("{object}/subscription");
    let question = json!({"resource": object});
    let answer = author.line.request("read", &from, &sm, question.clone()).await?;
    expect_code("INV-OBS-2", &answer, &[200], "asking who observes")?;
    ensure_eq!("INV-OBS-2", answer["body"]["value"], json!([following.line.url]), "who observes");
    // Nobody else is told.
    let mut other = scene.peer("other").await?;
    let own = other.sm();
    let answer = other.request("read", &own, &sm, question.clone()).await?;
    expect_code("INV-OBS-2", &answer, &[400, 403, 404], "somebody else who asks")?;
    let (answer, served) = tokio::join!(following.leave(scene), async {
        let request = author.line.until("5.6", "the leave", |m| is(m, "unsubscribe", &from)).await?;
        author.line.answer(&request, json!({"code": 200}));
        Ok(())
    });
    let served: Verdict = served;
    served?;
    expect_code("INV-UNS-1", &answer?, &[200], "leaving")?;
    let answer = author.line.request("read", &from, &sm, question).await?;
    ensure_eq!("INV-OBS-2", answer["body"]["value"], json!([]), "who observes after leaving");
    Ok(())
}
