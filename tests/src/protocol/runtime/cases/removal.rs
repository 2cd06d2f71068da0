//! The Reporter removes observers (protocol 5.7, 10.4), and sees who observes (5.3.5).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching};
use crate::protocol::runtime::line::{Line, expect_code, is, is_change, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::runtime::{Ending, Way};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-KICK-1/removed", ["INV-KICK-1", "INV-LSN-2"], [], removed),
        case!("INV-LSN-2/removed-while-away", ["INV-LSN-2", "INV-KICK-1"], [], removed_while_away),
        case!("INV-KICK-1/after-a-crash", ["INV-KICK-1", "INV-RES-1"], [Crash, Store], after_a_crash),
        case!("INV-KICK-1/while-it-is-asked", ["INV-KICK-1", "INV-SUB-7"], [], while_it_is_asked),
        case!("INV-KICK-3/only-the-reporter", ["INV-KICK-3"], [], only_the_reporter),
        case!("INV-KICK-2/at-the-observer", ["INV-KICK-2", "INV-LSN-2"], [], at_the_observer),
        case!("INV-KICK-3/forged-at-the-observer", ["INV-KICK-3"], [], forged_at_the_observer),
        case!("INV-OBS-1/joins-and-leaves", ["INV-OBS-1"], [], joins_and_leaves),
    ]
}

/// The Reporter removes a hyperty; gives the answer.
async fn remove(scene: &Scene, reporting: &mut Reporting, who: &str) -> Verdict<Value> {
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let body = json!({"resource": reporting.object, "source": who});
    reporting.line.request("unsubscribe", &own, &sm, body).await
}

/// Everybody of the domain may observe; one who was removed may not, in any way.
async fn shut_out(watching: &mut Watching, object: &str) -> Verdict {
    let id = watching.line.send("read", &watching.hyperty, object, json!({}));
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-KICK-1", &answer, &[401, 403], "a read of one that was removed")?;
    ensure!("INV-KICK-1", answer["body"].get("value").is_none(), "a refusal tells: {answer}");
    let answer = watching.read(Some((0, 0))).await?;
    expect_code("INV-KICK-1", &answer, &[401, 403], "a repair of one that was removed")?;
    let answer = watching.subscribe(json!({})).await?;
    expect_code("INV-KICK-1", &answer, &[403], "a subscription of one that was removed")
}

async fn removed(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    reporting.change("n", json!(1)).await?;
    watching.update().await?;
    let who = watching.hyperty.clone();
    expect_code("INV-KICK-1", &remove(scene, &mut reporting, &who).await?, &[200], "a removal")?;
    watching.line.rest().await;
    reporting.change("n", json!(2)).await?;
    scene.stage.wait(Duration::from_secs(3), "an announcement of the position").await?;
    let unwanted = |message: &Value| is(message, "update", &format!("{object}/changes"));
    watching.line.never("INV-LSN-2", "the stream", unwanted).await?;
    shut_out(&mut watching, &object).await?;
    // The node was asked to cut it off, and the Reporter was asked nothing.
    let revoked = scene.boundary.trace_since(scene.born).into_iter().any(|entry| {
        let message = &entry.crossing.message;
        entry.crossing.way == Way::Out
            && is_kind(message, "unsubscribe")
            && message["body"]["revoke"] == true
            && message["body"]["source"] == watching.line.url.as_str()
    });
    ensure!("INV-LSN-2", revoked, "the node was not asked to cut the removed observer off");
    let own = reporting.line.url.clone();
    let asked = |m: &Value| is(m, "forward", &own) && m["body"]["authorised"] == false;
    reporting.line.never("INV-KICK-1", "a question about one that was removed", asked).await?;
    let again = remove(scene, &mut reporting, &who).await?;
    expect_code("INV-KICK-1", &again, &[200], "a removal that is repeated")?;
    let stranger = scene.hyperty("nobody");
    let unknown = remove(scene, &mut reporting, &stranger).await?;
    expect_code("INV-KICK-1", &unknown, &[404], "the removal of a stranger")
}

/// The node has to know of a removal before it is handed anything that was published since, whoever else has heard of it.
async fn removed_while_away(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    // Somebody is left to publish for.
    let (mut other, _) = Watching::join(scene, "other", &object, false).await?;
    scene.cut();
    scene.settle().await;
    let mark = scene.boundary.mark();
    expect_code("INV-KICK-1", &remove(scene, &mut reporting, &watching.hyperty).await?, &[200], "a removal")?;
    reporting.change("n", json!(1)).await?;
    scene.heal();
    let stream = |message: &Value| is(message, "update", &format!("{object}/changes"));
    other.line.until("M11", "the stream after a reconnect", stream).await?;
    let runtime = watching.line.url.as_str();
    let first = scene.boundary.trace_since(mark).into_iter().find(|entry| {
        let message = &entry.crossing.message;
        let revoked = message["body"]["revoke"] == true && message["body"]["source"] == runtime;
        entry.crossing.way == Way::Out && (revoked || stream(message))
    });
    let first = first.map(|entry| entry.crossing.message).unwrap_or_default();
    ensure_eq!("INV-LSN-2", first["type"], json!("unsubscribe"), "what the node is told first");
    Ok(())
}

async fn after_a_crash(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    let who = watching.hyperty.clone();
    expect_code("INV-KICK-1", &remove(scene, &mut reporting, &who).await?, &[200], "a removal")?;
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    let mut line: Line = scene.seat("reporter")?;
    let own = line.url.clone();
    let answer = line.request("create", &own, &scene.sm(), json!({"resume": true})).await?;
    expect_code("INV-RES-1", &answer, &[200], "a resume")?;
    let mut reporting = Reporting { line, object: object.clone(), version: 0 };
    scene.settle().await;
    watching.line.rest().await;
    reporting.change("n", json!(1)).await?;
    watching.line.never("INV-KICK-1", "a change", |message| is_change(message, &object)).await?;
    shut_out(&mut watching, &object).await
}

/// The Reporter is still deciding when it removes whom it decides about.
async fn while_it_is_asked(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    let object = reporting.object.clone();
    let mut watching = Watching::listen(scene, "watcher", &object).await?;
    let id = watching.ask(&json!({}));
    let question = reporting.asked("subscribe").await?;
    let who = watching.hyperty.clone();
    expect_code("INV-KICK-1", &remove(scene, &mut reporting, &who).await?, &[200], "a removal")?;
    reporting.line.answer(&question, json!({"code": 200}));
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-KICK-1", &answer, &[403, 408], "the subscription that was under way")?;
    reporting.change("n", json!(1)).await?;
    watching.line.never("INV-KICK-1", "a change", |message| is_change(message, &object)).await
}

async fn only_the_reporter(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let mut other = scene.seat("other")?;
    let peer = scene.peer("peer").await?;
    let body = json!({"resource": object, "source": watching.hyperty});
    let (own, sm) = (other.url.clone(), scene.sm());
    let answer = other.request("unsubscribe", &own, &sm, body.clone()).await?;
    expect_code("INV-KICK-3", &answer, &[403, 404], "a removal by another hyperty")?;
    // In the name of the Reporter, from elsewhere.
    peer.send("unsubscribe", &reporting.line.url.clone(), &sm, body.clone());
    let from = peer.sm();
    peer.send("unsubscribe", &from, &sm, body);
    reporting.change("n", json!(1)).await?;
    ensure_eq!("INV-KICK-3", watching.update().await?["version"], json!(1), "the stream after forgeries");
    expect_code("INV-KICK-3", &watching.read(None).await?, &[200], "a read after forgeries")
}

async fn at_the_observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut one = Following::join(scene, "one", &mut author, false).await?;
    let mut two = Following::join(scene, "two", &mut author, false).await?;
    author.publish("n", json!(1));
    one.update().await?;
    two.update().await?;
    // Its Sync Manager's word; the hyperty need not cooperate.
    let from = format!("{}/subscription", author.object);
    let body = json!({"resource": author.object, "source": one.line.url, "reason": "removed"});
    let answer = author.line.request("unsubscribe", &from, &scene.sm(), body).await?;
    expect_code("INV-KICK-2", &answer, &[200], "what the Reporter's side says of a removal")?;
    let object = author.object.clone();
    let is_told = |m: &Value| is_kind(m, "unsubscribe") && m["body"]["resource"] == object.as_str();
    one.line.until("INV-KICK-2", "the end of the observation", is_told).await?;
    author.publish("n", json!(2));
    ensure_eq!("INV-KICK-2", two.update().await?["version"], json!(2), "what who stays gets");
    one.line.never("INV-LSN-2", "a change", |message| is_change(message, &object)).await?;
    let wanted = |m: &Value| is(m, "read", &object);
    let denies = async {
        loop {
            if let Some(read) = author.line.maybe(wanted).await {
                author.line.answer(&read, json!({"code": 401, "desc": "unauthorized"}));
            }
        }
    };
    let read = tokio::select! {
        biased;
        read = one.read(scene) => read?,
        () = denies => return Ok(()),
    };
    expect_code("INV-KICK-2", &read, &[401, 403], "a read of one that was removed")?;
    author.publish("n", json!(3));
    two.update().await.map(|_| ())
}

async fn forged_at_the_observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    let peer = scene.peer("peer").await?;
    let body = json!({"resource": author.object, "source": following.line.url, "reason": "removed"});
    for from in [scene.hyperty("peer"), peer.sm()] {
        peer.send("unsubscribe", &from, &scene.sm(), body.clone());
        peer.send("unsubscribe", &from, &following.line.url, body.clone());
    }
    author.publish("n", json!(1));
    let object = author.object.clone();
    let goes_on = |message: &Value| is_change(message, &object);
    following.line.until("INV-KICK-3", "the stream after forgeries", goes_on).await.map(|_| ())
}

async fn joins_and_leaves(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let to = format!("{object}/observers");
    let (mut one, _) = Watching::join(scene, "one", &object, false).await?;
    let (two, _) = Watching::join(scene, "two", &object, false).await?;
    expect_code("INV-UNS-1", &one.leave().await?, &[200], "leaving")?;
    let who = two.hyperty.clone();
    expect_code("INV-KICK-1", &remove(scene, &mut reporting, &who).await?, &[200], "a removal")?;
    for (operation, who) in
        [("add", &one.hyperty), ("add", &two.hyperty), ("remove", &one.hyperty), ("remove", &two.hyperty)]
    {
        let told = reporting.line.until("INV-OBS-1", "who observes", |m| is(m, "update", &to)).await?;
        let body = &told["body"];
        ensure_eq!("INV-OBS-1", body["operation"], json!(operation), "what happened");
        ensure_eq!("INV-OBS-1", body["value"][0]["url"], json!(who), "to whom");
        ensure_eq!("INV-OBS-1", body["attribute"], json!("observers"), "the attribute");
    }
    // It is nobody else's business.
    let left = scene.boundary.trace_since(scene.born).into_iter().any(|entry| {
        let of_node = entry.crossing.place == crate::protocol::runtime::Place::Node;
        of_node && entry.crossing.way == Way::Out && entry.crossing.message["to"] == to.as_str()
    });
    ensure!("INV-OBS-1", !left, "who observes is told outside the runtime");
    Ok(())
}
