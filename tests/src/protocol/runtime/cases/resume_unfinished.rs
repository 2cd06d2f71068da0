//! What was under way when a runtime stopped goes on, or is taken back (protocol 5.10).

use std::time::Duration;

use serde_json::{Value, json};

use super::resume::resume_reporter;
use super::resume_observers::resume_observer;
use crate::protocol::Verdict;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching, child};
use crate::protocol::runtime::line::{code, expect_code, is, is_kind};
use crate::protocol::runtime::scene::Scene;
use crate::protocol::runtime::{Ending, Script, Service};
use crate::{ensure, ensure_eq};

pub(super) async fn deletion_goes_on(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    reporting.line.send("delete", &own, &sm, json!({"resource": object}));
    let changes = format!("{object}/changes");
    watching.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
    // Nobody has acknowledged it when the runtime crashes.
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    let (mut line, answer) = resume_reporter(scene, "reporter").await?;
    let listed = answer["body"]["value"].to_string().contains(&object);
    ensure!("INV-RES-7", !listed, "an object that was being deleted came back: {answer}");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let held = scene.held(&object);
    ensure!(
        "INV-DEL-3",
        held.registered.is_empty() && held.routes.is_empty(),
        "what is left of it: {held:?}"
    );
    let answer = line.request("read", &own, &sm, json!({"resource": object})).await?;
    ensure!("INV-RES-7", code(&answer) >= 400, "a deleted object is read: {answer}");
    Ok(())
}

pub(super) async fn creation_is_taken_back(scene: &mut Scene) -> Verdict {
    scene.domain().script(Service::Registry, Some("create"), Script::Mute);
    let line = scene.seat("reporter")?;
    let body = Reporting::creation(scene, "reporter", &json!({"store": true}));
    line.send("create", &line.url, &scene.sm(), body);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.leave(line);
    scene.restart(Ending::Crash).await?;
    scene.domain().serve();
    let (line, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("INV-RES-7", &answer, &[404], "resuming what was never created")?;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let held = scene.held("comm://");
    ensure!(
        "INV-CRE-2",
        held.registered.is_empty() && held.routes.is_empty(),
        "what is left of it: {held:?}"
    );
    let mut reporting = Reporting::create_at(scene, line, "reporter", json!({"store": true})).await?;
    reporting.change("n", json!(1)).await
}

/// An operation on a child that nobody answered before the crash is sent again after it.
pub(super) async fn child_through_a_crash(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let following = Following::join(scene, "observer", &mut author, true).await?;
    let (channel, own) = (format!("{}/children/notes", author.object), following.line.url.clone());
    following.line.send("create", &own, &channel, child(&author.object, &own, 1, json!({"text": "hi"})));
    let first = author.line.until("M18", "the operation", |m| is(m, "create", &channel)).await?;
    scene.leave(following.line);
    scene.restart(Ending::Crash).await?;
    author.line.rest().await;
    let (line, answer) = resume_observer(scene, "observer").await?;
    expect_code("INV-RES-2", &answer, &[200], "a resume")?;
    let mut again = None;
    while again.is_none() {
        let message = author
            .line
            .until_within("M18", "the operation after a crash", Duration::from_secs(60), |m| {
                is(m, "create", &channel) || is_kind(m, "read")
            })
            .await?;
        if is_kind(&message, "read") {
            author.answer_read(&message);
        } else {
            again = Some(message);
        }
    }
    let again = again.unwrap_or_default();
    ensure_eq!("M18", again["id"], first["id"], "its id");
    ensure_eq!("M18", again["body"]["value"]["data"], first["body"]["value"]["data"], "the child");
    author.line.answer(&again, json!({"code": 200, "source": author.line.sm()}));
    let mut following = Following::sit_on(scene, line, "observer", &author.object);
    let text =
        |copy: &Value| copy["childrenObjects"]["notes"][format!("{own}#1")]["value"]["data"]["text"].clone();
    let copy = following.copy_when(scene, |copy| text(copy) == "hi").await?;
    ensure_eq!("M18", text(&copy), json!("hi"), "the child in the copy");
    Ok(())
}
