//! Observers come back after a restart of their runtime, and after the loss of their connection (protocol 5.10.2).

use std::time::Duration;

use serde_json::{Value, json};

use super::resume::only;
use crate::protocol::Verdict;
use crate::protocol::runtime::Ending;
use crate::protocol::runtime::actors::{Author, Following, stream};
use crate::protocol::runtime::line::{Line, expect_code, is, is_change};
use crate::protocol::runtime::scene::Scene;
use crate::{ensure, ensure_eq};

pub(super) async fn resume_observer(scene: &Scene, name: &str) -> Verdict<(Line, Value)> {
    let mut line = scene.seat(name)?;
    let own = line.url.clone();
    let answer = line.request("subscribe", &own, &scene.sm(), json!({"resume": true})).await?;
    Ok((line, answer))
}

pub(super) async fn observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    for n in 1..=3 {
        author.publish("n", json!(n));
        following.update().await?;
    }
    scene.settle().await;
    scene.leave(following.line);
    scene.restart(Ending::Crash).await?;
    author.commit("missed", json!(4));
    let (line, answer) = resume_observer(scene, "observer").await?;
    expect_code("INV-RES-2", &answer, &[200], "a resume")?;
    let value = only(&answer)?;
    let mut following = Following::sit_on(scene, line, "observer", &author.object);
    following.take_state(&value);
    ensure!("INV-RES-2", following.version >= 3, "the copy that was kept: {value}");
    if following.version < 4 {
        let read = author.serve_read().await?;
        let since = &read["body"]["criteria"]["since"];
        ensure_eq!("INV-RES-2", since["version"], json!(3), "since when it repairs");
    }
    following.reach(scene, "INV-RES-2", 4).await?;
    ensure_eq!("INV-RES-2", following.data, author.data, "the copy");
    let wanted = stream(&author.object).into_iter().collect();
    let routes = scene.held_when(&author.object, |held| held.routes == wanted).await.routes;
    ensure_eq!("INV-RES-2", routes, wanted, "the routes after a resume");
    author.publish("n", json!(5));
    ensure_eq!("INV-RES-2", following.update().await?["version"], json!(5), "the next change");
    Ok(())
}

/// The table of 5.10.2: refused readers subscribe again, and end if that is refused.
pub(super) async fn answers_to_a_resuming_observer(scene: &mut Scene) -> Verdict {
    for (n, again) in [200, 403].into_iter().enumerate() {
        let name = format!("observer-{n}");
        let mut author = Author::announce(scene, &format!("author-{n}")).await?;
        let following = Following::join(scene, &name, &mut author, true).await?;
        scene.settle().await;
        scene.leave(following.line);
        scene.restart(Ending::Crash).await?;
        author.commit("missed", json!(1));
        let (line, answer) = resume_observer(scene, &name).await?;
        expect_code("INV-RES-2", &answer, &[200], "a resume")?;
        let read = author.read_request("INV-RES-2").await?;
        author.line.answer(&read, json!({"code": 401, "desc": "unauthorized"}));
        let request = author.asked().await?;
        ensure_eq!("INV-RES-2", request["body"]["source"], json!(line.url), "who subscribes again");
        let mut following = Following::sit_on(scene, line, &name, &author.object);
        following.take_state(&only(&answer)?);
        if again == 200 {
            author.accept(&request);
            following.reach_served(scene, &mut author, ("INV-RES-2", 1)).await?;
            author.publish("n", json!(2));
            following.reach_served(scene, &mut author, ("INV-RES-2", 2)).await?;
        } else {
            author.line.answer(&request, json!({"code": 403, "desc": "no"}));
            scene.stage.wait(Duration::from_secs(3), "routes that are taken back").await?;
            following.line.rest().await;
            author.publish("n", json!("secret"));
            let object = author.object.clone();
            following.line.never("INV-SUB-7", "a change", |message| is_change(message, &object)).await?;
            let routes = scene.held_when(&object, |held| held.routes.is_empty()).await.routes;
            ensure!("INV-SUB-7", routes.is_empty(), "routes of one that was refused: {routes:?}");
        }
        scene.leave(following.line);
    }
    Ok(())
}

pub(super) async fn resumed_with_reporter_away(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let following = Following::join(scene, "observer", &mut author, true).await?;
    scene.settle().await;
    scene.leave(following.line);
    scene.restart(Ending::Crash).await?;
    let (line, answer) = resume_observer(scene, "observer").await?;
    expect_code("INV-RES-2", &answer, &[200], "a resume")?;
    let mut following = Following::sit_on(scene, line, "observer", &author.object);
    following.take_state(&only(&answer)?);
    author.commit("missed", json!(1));
    let object = author.object.clone();
    for _ in 0..2 {
        let patience = Duration::from_secs(60);
        let read =
            author.line.until_within("INV-RES-2", "a try", patience, |m| is(m, "read", &object)).await?;
        let body = json!({"code": 404, "desc": "no route", "reason": "no-route", "source": scene.mn()});
        author.line.answer(&read, body);
        let changes = format!("{object}/changes");
        following.line.never("M12", "a deletion", |message| is(message, "delete", &changes)).await?;
    }
    author.serve_read().await?;
    following.reach(scene, "INV-RES-2", 1).await?;
    ensure_eq!("INV-RES-2", following.data, author.data, "the copy");
    Ok(())
}

pub(super) async fn observer_reconnects(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    author.publish("n", json!(1));
    following.update().await?;
    for round in 2..=3 {
        scene.cut();
        scene.settle().await;
        author.publish("n", json!(round));
        scene.heal();
        author.serve_read().await?;
        following.reach(scene, "INV-SES-1", round).await?;
    }
    ensure_eq!("M11", following.data, author.data, "the copy after reconnects");
    author.publish("n", json!(4));
    ensure_eq!("INV-SES-1", following.update().await?["version"], json!(4), "the stream after reconnects");
    Ok(())
}
