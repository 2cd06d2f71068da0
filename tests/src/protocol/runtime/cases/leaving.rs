//! Observers leave (protocol 5.6, 5.7): by themselves, or removed by the Reporter.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching};
use crate::protocol::runtime::line::{expect_code, is, is_change};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-UNS-2/at-the-reporter", ["INV-UNS-2", "INV-UNS-1", "INV-KICK-1"], [], at_the_reporter),
        case!("INV-UNS-1/others-stay", ["INV-UNS-1", "INV-UNS-2"], [], others_stay),
        case!(
            "INV-KICK-3/only-the-observer-itself",
            ["INV-KICK-3", "INV-UNS-2"],
            [],
            only_the_observer_itself
        ),
        case!("INV-UNS-3/at-the-observer", ["INV-UNS-3", "INV-UNS-1"], [], at_the_observer),
        case!("INV-UNS-4/reporter-away", ["INV-UNS-4", "INV-UNS-3"], [], reporter_away),
        case!("INV-UNS-4/reporter-says-no", ["INV-UNS-4", "INV-UNS-1"], [], reporter_says_no),
        case!("INV-UNS-1/unknown", ["INV-UNS-1", "INV-MSG-1"], [], unknown),
    ]
}

async fn at_the_reporter(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let object = reporting.object.clone();
    let mut watching = Watching::listen(scene, "watcher", &object).await?;
    let id = watching.ask(&json!({}));
    reporting.decide("subscribe", json!({"code": 200})).await?;
    expect_code("INV-SUB-2", &watching.line.final_answer(&id).await?, &[200], "a subscription")?;
    reporting.change("n", json!(1)).await?;
    watching.update().await?;
    expect_code("INV-UNS-2", &watching.leave().await?, &[200], "leaving")?;
    let told = reporting.asked("unsubscribe").await?;
    ensure_eq!("INV-UNS-2", told["body"]["from"], json!(watching.hyperty), "who left");
    // It still listens at the node; nothing is published for it any more.
    reporting.change("n", json!(2)).await?;
    scene.stage.wait(Duration::from_secs(3), "an announcement of the position").await?;
    let unwanted = |message: &Value| is(message, "update", &format!("{object}/changes"));
    watching.line.never("INV-UNS-1", "the stream", unwanted).await?;
    // Nor may it read without being asked for again, nor does it come back by subscribing.
    let id = watching.line.send("read", &watching.hyperty, &object, json!({}));
    reporting.decide("read", json!({"code": 401})).await?;
    expect_code("INV-UNS-2", &watching.line.final_answer(&id).await?, &[401], "a read after leaving")?;
    let id = watching.ask(&json!({}));
    reporting.decide("subscribe", json!({"code": 403, "desc": "no"})).await?;
    expect_code("INV-UNS-2", &watching.line.final_answer(&id).await?, &[403], "subscribing after leaving")?;
    expect_code("INV-UNS-2", &watching.leave().await?, &[404], "leaving twice")
}

async fn others_stay(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut one, _) = Watching::join(scene, "one", &object, false).await?;
    let (mut two, _) = Watching::join(scene, "two", &object, false).await?;
    reporting.change("n", json!(1)).await?;
    one.update().await?;
    two.update().await?;
    expect_code("INV-UNS-1", &one.leave().await?, &[200], "leaving")?;
    for n in 2..=4 {
        reporting.change("n", json!(n)).await?;
        ensure_eq!("INV-UNS-1", two.update().await?["version"], json!(n), "what who stays gets");
    }
    expect_code("INV-UNS-1", &two.read(None).await?, &[200], "a read of who stays")?;
    expect_code("INV-UNS-1", &two.leave().await?, &[200], "leaving")?;
    reporting.change("n", json!(5)).await?;
    two.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await
}

async fn only_the_observer_itself(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let mut other = scene.peer("other").await?;
    let (sm, to) = (other.sm(), format!("{object}/subscription"));
    for identity in [Value::Null, scene.identity("other")] {
        let mut body = json!({"source": watching.hyperty, "resource": object});
        if !identity.is_null() {
            body["identity"] = identity;
        }
        let answer = other.request("unsubscribe", &sm, &to, body).await?;
        expect_code("INV-KICK-3", &answer, &[403], "removing another's subscription")?;
    }
    // Only a node tells of the end of a session.
    let body = json!({"source": watching.line.url, "reason": "session-ended"});
    other.request("unsubscribe", &sm, &to, body).await?;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("INV-KICK-3", watching.update().await?["version"], json!(1), "the stream after forgeries");
    expect_code("INV-KICK-3", &watching.read(None).await?, &[200], "a read after forgeries")
}

async fn at_the_observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    author.publish("n", json!(1));
    following.update().await?;
    let to = format!("{}/subscription", author.object);
    let (answer, served) = tokio::join!(following.leave(scene), async {
        let request = author.line.until("5.6", "the leave", |m| is(m, "unsubscribe", &to)).await?;
        ensure_eq!("5.6", request["from"], json!(scene.sm()), "who says that it leaves");
        author.line.answer(&request, json!({"code": 200}));
        Ok(())
    });
    let served: Verdict = served;
    served?;
    expect_code("INV-UNS-1", &answer?, &[200], "leaving")?;
    let routes = scene.held_when(&author.object, |held| held.routes.is_empty()).await.routes;
    ensure_eq!("INV-UNS-3", routes, BTreeSet::new(), "routes after the last left");
    author.publish("n", json!(2));
    author.line.send("update", &author.object, &format!("{}/changes", author.object), json!({"version": 3}));
    let object = author.object.clone();
    following.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await?;
    author.line.never("INV-UNS-1", "a repair for nobody", |message| is(message, "read", &object)).await?;
    // And it can come back.
    let mut again = Following::sit(scene, "another", &author.object)?;
    let id = again.ask(scene, json!({}));
    let request = author.asked().await?;
    author.accept(&request);
    again.accepted(&id).await?;
    ensure_eq!("INV-UNS-1", again.data, author.data, "the copy of who comes later");
    Ok(())
}

async fn reporter_away(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let (object, home) = (author.object.clone(), author.line.url.clone());
    drop(author);
    scene.settle().await;
    scene.stage.wait(Duration::ZERO, "a Reporter that is away").await?;
    let answer = following.leave(scene).await?;
    expect_code("INV-UNS-4", &answer, &[200], &format!("leaving with {home} away"))?;
    let routes = scene.held_when(&object, |held| held.routes.is_empty()).await.routes;
    ensure_eq!("INV-UNS-3", routes, BTreeSet::new(), "routes after leaving");
    expect_code("INV-UNS-1", &following.leave(scene).await?, &[404], "leaving twice")
}

async fn reporter_says_no(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let object = author.object.clone();
    let to = format!("{object}/subscription");
    for (n, refusal) in [403, 404, 410, 500].into_iter().enumerate() {
        let mut following = Following::join(scene, &format!("observer-{n}"), &mut author, false).await?;
        let (answer, served) = tokio::join!(following.leave(scene), async {
            let request = author.line.until("5.6", "the leave", |m| is(m, "unsubscribe", &to)).await?;
            author.line.answer(&request, json!({"code": refusal, "desc": "no"}));
            Ok(())
        });
        let served: Verdict = served;
        served?;
        expect_code("INV-UNS-4", &answer?, &[200], &format!("leaving, answered {refusal}"))?;
        author.publish("n", json!(n));
        following.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await?;
        author.line.rest().await;
    }
    Ok(())
}

async fn unknown(scene: &mut Scene) -> Verdict {
    let author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    expect_code("INV-UNS-1", &following.leave(scene).await?, &[404], "leaving what was never joined")?;
    let (own, sm) = (following.line.url.clone(), scene.sm());
    let id = following.line.send("unsubscribe", &own, &sm, json!({}));
    let answer = following.line.final_within(&id, RESPONSE_TIME).await?;
    ensure!(
        "INV-MSG-1",
        [400, 404].contains(&super::super::line::code(&answer)),
        "leaving nothing: {answer}"
    );
    Ok(())
}
