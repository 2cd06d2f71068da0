//! An object changes hands (protocol 5.11): what the taking side promises to who gives, to whom it observes, and to its
//! own hyperty. The suite plays the giving side, and the hyperty that accepts.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use super::gift::Gift;
use crate::protocol::runtime::actors::{Following, merge};
use crate::protocol::runtime::held::Held;
use crate::protocol::runtime::line::{expect_code, is, is_final};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::runtime::{Ending, Script, Service};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

/// Longer than a taking side tries to host an object that it is refused to (10 s), and then to give it back.
pub(super) const HOSTING: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!(
            "INV-DLG-1/taken-when-granted",
            ["INV-DLG-1", "INV-DLG-3", "INV-DLG-6"],
            [],
            taken_when_granted
        ),
        case!("INV-DLG-7/claims-until-answered", ["INV-DLG-7", "INV-DLG-1"], [], claims_until_answered),
        case!("INV-DLG-7/claims-again", ["INV-DLG-7", "INV-DLG-1"], [Crash, Store], claims_again),
        case!("INV-DLG-7/taken-stays-taken", ["INV-DLG-7", "INV-DLG-1"], [Crash, Store], taken_stays_taken),
        case!("INV-DLG-5/refused-for-good", ["INV-DLG-5"], [Crash, Store], refused_for_good),
        case!("INV-DLG-5/never-accepted", ["INV-DLG-5"], [], never_accepted),
        case!("INV-DLG-1/no-such-grant", ["INV-DLG-1"], [Scripted], no_such_grant),
        case!("INV-DLG-4/held-until-served", ["INV-DLG-4"], [Scripted], held_until_served),
        case!("INV-DLG-4/held-until-granted", ["INV-DLG-4"], [], held_until_granted),
        case!("INV-DLG-7/goes-back", ["INV-DLG-7", "INV-DLG-1", "INV-DLG-5"], [Scripted], goes_back),
        case!("INV-DLG-7/not-taken-back", ["INV-DLG-7"], [Scripted], not_taken_back),
    ]
}

async fn taken_when_granted(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    // Who observes here goes on as before.
    let watching = Following::join(scene, "watching", &mut gift.author, false).await;
    let mut watching = watching?;
    let accepted = gift.accept(scene, &json!({}));
    let claim = gift.claimed(scene).await?;
    // A stranger knows the claim, and answers it in its own name.
    let stranger = scene.peer("stranger").await?;
    let forged = json!({"code": 200, "delegation": gift.name, "epoch": 1, "value": gift.author.snapshot()});
    let message = json!({
        "id": claim["id"], "type": "response", "from": stranger.sm(), "to": scene.sm(), "body": forged,
    });
    stranger.send_message(&message);
    gift.author.publish("n", json!(3));
    let observer = watching.line.url.clone();
    gift.nobody_acts("INV-DLG-1").await?;
    gift.grant(&claim, &json!({"subscriptions": [gift.author.hyperty, observer]}));
    gift.hand_over(scene).await?;
    let first = gift.heard().await?;
    ensure_eq!("INV-DLG-3", first["version"], json!(4), "the version of the first change of the new owner");
    ensure_eq!("INV-DLG-3", first["attribute"], json!("reporter"), "what it changes");
    ensure_eq!("INV-DLG-6", first["value"], json!(gift.seat.url), "who reports the object");
    let answer = gift.seat.final_within(&accepted, RESPONSE_TIME).await?;
    expect_code("INV-DLG-6", &answer, &[200], "an acceptance that is granted")?;
    ensure_eq!("INV-DLG-2", answer["body"]["value"]["data"]["n"], json!(3), "the data that is taken over");
    ensure_eq!("INV-DLG-1", answer["body"]["epoch"], json!(1), "the epoch that is told");
    let own = [object.clone(), format!("{object}/subscription")];
    let held = scene.held_when(&object, |held| own.iter().all(|url| held.routes.contains(url))).await;
    ensure!("INV-DLG-6", own.iter().all(|url| held.routes.contains(url)), "not routed here: {held:?}");
    // The same grant once more, as if it had been under way twice, changes nothing.
    gift.grant(&claim, &json!({"epoch": 7}));
    gift.write(5).await?;
    let second = gift.heard().await?;
    ensure_eq!("INV-DLG-3", second["version"], json!(5), "the version after it");
    watching.reach(scene, "INV-DLG-3", 5).await?;
    ensure_eq!("INV-DLG-3", watching.data["n"], json!(5), "what an observer here has");
    let (own, sm) = (gift.seat.url.clone(), scene.sm());
    let answer = gift.seat.request("delete", &own, &sm, json!({"resource": object})).await?;
    expect_code("INV-DLG-6", &answer, &[200], "a deletion by the new Reporter")
}

async fn claims_until_answered(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    gift.accept(scene, &json!({}));
    let first = gift.claimed(scene).await?;
    // Not known, and not for good: nobody could be asked, or not yet.
    gift.author.line.answer(&first, json!({"code": 408, "desc": "busy", "reason": "busy"}));
    let second = gift.claimed(scene).await?;
    gift.author.line.answer(&second, json!({"code": 500, "desc": "storage", "reason": "storage"}));
    // This one is lost.
    gift.claimed(scene).await?;
    let fourth = gift.claimed(scene).await?;
    gift.nobody_acts("INV-DLG-1").await?;
    gift.grant(&fourth, &json!({}));
    gift.hand_over(scene).await?;
    let first = gift.heard().await?;
    ensure_eq!("INV-DLG-3", first["version"], json!(3), "the version of the first change of the new owner");
    Ok(())
}

async fn claims_again(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    gift.accept(scene, &json!({}));
    gift.claimed(scene).await?;
    let Gift { author, seat, name } = gift;
    let url = seat.url.clone();
    scene.leave(seat);
    scene.restart(Ending::Crash).await?;
    let mut gift = Gift { author, seat: scene.seat("taker")?, name };
    ensure_eq!("5.11", gift.seat.url, url, "the seat");
    gift.author.line.rest().await;
    let claim = gift.claimed(scene).await?;
    gift.nobody_acts("INV-DLG-1").await?;
    gift.grant(&claim, &json!({}));
    gift.hand_over(scene).await?;
    let first = gift.heard().await?;
    ensure_eq!("INV-DLG-6", first["value"], json!(url), "who reports the object");
    let resumed = gift.seat.request("create", &url, &scene.sm(), json!({"resume": true})).await?;
    let mine = resumed["body"]["value"].as_array().cloned().unwrap_or_default();
    ensure!("INV-DLG-7", mine.iter().any(|one| one["url"] == *object), "not resumed: {resumed}");
    gift.write(4).await
}

async fn taken_stays_taken(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    gift.take(scene).await?;
    gift.heard().await?;
    gift.write(4).await?;
    gift.heard().await?;
    let Gift { author, seat, name } = gift;
    let url = seat.url.clone();
    scene.leave(seat);
    scene.restart(Ending::Crash).await?;
    let mut gift = Gift { author, seat: scene.seat("taker")?, name };
    let resumed = gift.seat.request("create", &url, &scene.sm(), json!({"resume": true})).await?;
    let mine = resumed["body"]["value"].as_array().cloned().unwrap_or_default();
    let mine = mine.iter().find(|one| one["url"] == *object).cloned().unwrap_or_default();
    ensure_eq!("INV-DLG-7", mine["version"], json!(4), "the version that comes back");
    ensure_eq!("INV-DLG-7", mine["epoch"], json!(1), "the epoch that comes back");
    let sm = gift.author.line.sm();
    gift.author.line.never("INV-DLG-7", "another claim", |m| is(m, "forward", &sm)).await?;
    gift.write(5).await?;
    let next = gift.heard().await?;
    ensure_eq!("INV-DLG-3", next["version"], json!(5), "the version after the crash");
    Ok(())
}

async fn refused_for_good(scene: &mut Scene) -> Verdict {
    let refusals = [
        (404, Value::Null),
        (403, Value::Null),
        (409, Value::Null),
        (412, Value::Null),
        (408, json!("expired")),
    ];
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    for (number, (code, reason)) in refusals.into_iter().enumerate() {
        gift.name = format!("d-{number}");
        let accepted = gift.accept(scene, &json!({}));
        let claim = gift.claimed(scene).await?;
        let mut body = json!({"code": code, "desc": "no"});
        merge(&mut body, &json!({"reason": reason}));
        gift.author.line.answer(&claim, body);
        let answer = gift.seat.final_answer(&accepted).await?;
        expect_code("INV-DLG-5", &answer, &[code], "an acceptance that is refused for good")?;
        // A grant that comes after it is none.
        gift.grant(&claim, &json!({}));
        gift.nobody_acts("INV-DLG-1").await?;
    }
    let left = scene.held_when(&object, Held::is_nothing).await;
    ensure_eq!("INV-DLG-5", left, Held::default(), "what is left at the node");
    let Gift { mut author, seat, .. } = gift;
    scene.leave(seat);
    scene.restart(Ending::Crash).await?;
    let sm = author.line.sm();
    author.line.rest().await;
    scene.stage.wait(RESPONSE_TIME, "the time of a claim").await?;
    author.line.never("INV-DLG-5", "a claim of what was refused", |m| is(m, "forward", &sm)).await
}

async fn never_accepted(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    let another = scene.hyperty("another");
    let elsewhere = format!("{object}-other");
    for (more, code) in [
        (json!({"delegate": another}), 403),
        (json!({"source": null}), 400),
        (json!({"resource": null}), 400),
        (json!({"resource": elsewhere}), 400),
        (json!({"value": null}), 400),
        (json!({"value": {"schema": 7}}), 400),
    ] {
        let id = gift.accept(scene, &more);
        let answer = gift.seat.final_answer(&id).await?;
        expect_code("INV-DLG-5", &answer, &[code], &format!("an acceptance with {more}"))?;
    }
    // Of another runtime's hyperty, or in its name.
    let (sm, url) = (gift.author.line.sm(), gift.seat.url.clone());
    for from in [sm, url] {
        let body = json!({
            "resource": object, "schema": scene.schema, "value": gift.metadata(), "delegate": gift.seat.url,
            "delegation": gift.name, "source": gift.author.line.sm(),
        });
        gift.author.line.send("create", &from, &scene.sm(), body);
    }
    let claim = gift.author.line.maybe(|m| m["type"] == "forward").await;
    ensure!("INV-DLG-5", claim.is_none(), "claimed by nobody who may: {claim:?}");
    gift.nobody_acts("INV-DLG-5").await?;
    let left = scene.held_when(&object, Held::is_nothing).await;
    ensure_eq!("INV-DLG-5", left, Held::default(), "what is left at the node");
    Ok(())
}

/// A grant that would make two owners of an epoch, or is of something else, makes nobody an owner.
async fn no_such_grant(scene: &mut Scene) -> Verdict {
    for more in [
        json!({"epoch": 0}),
        json!({"epoch": null}),
        json!({"value": null}),
        json!({"value": {"url": "comm://example.com/another"}}),
    ] {
        let mut gift = Gift::prepare(scene).await?;
        let object = gift.author.object.clone();
        let accepted = gift.accept(scene, &json!({}));
        let claim = gift.claimed(scene).await?;
        let mut wrong = more.clone();
        if wrong["value"].is_object() {
            let mut value = gift.author.snapshot();
            merge(&mut value, &more["value"]);
            wrong["value"] = value;
        }
        gift.grant(&claim, &wrong);
        let sm = gift.author.line.sm();
        let back = gift.author.line.until_within("INV-DLG-7", "that it goes back", HOSTING, |m| {
            is(m, "delete", &sm) || is(m, "forward", &sm)
        });
        let back = back.await?;
        // Either given back or claimed again; whichever it is, it is not known any more.
        gift.author.line.answer(&back, json!({"code": 404, "desc": "it was not given so"}));
        let answer = gift.seat.final_within(&accepted, HOSTING).await?;
        ensure!("INV-DLG-1", answer["body"]["code"] != 200, "owner by a grant with {more}: {answer}");
        gift.nobody_acts("INV-DLG-1").await?;
        let left = scene.held_when(&object, Held::is_nothing).await;
        ensure_eq!("INV-DLG-5", left, Held::default(), "what is left at the node");
        scene.leave(gift.seat);
    }
    Ok(())
}

/// What comes while it is set up is answered once, when it is: by the one it was passed on to, whichever way it came.
async fn held_until_served(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    scene.domain().script(Service::Registry, None, Script::Mute);
    let accepted = gift.accept(scene, &json!({}));
    let claim = gift.claimed(scene).await?;
    let everybody = format!("hyperty://{}/*", scene.home);
    gift.grant(&claim, &json!({"authorise": [everybody]}));
    scene.settle().await;
    let mut reader = scene.peer("reader").await?;
    let hyperty = scene.hyperty("reader");
    let id = reader.next_id();
    let body = json!({"source": hyperty, "subscriber": hyperty, "identity": scene.identity("reader")});
    let asked = json!({
        "id": id, "type": "subscribe", "from": reader.sm(), "to": format!("{object}/subscription"), "body": body,
    });
    let carried = json!({"message": asked, "delegation": gift.name});
    let sm = gift.author.line.sm();
    for _ in 0..2 {
        let answer = gift.author.line.request("forward", &sm, &scene.sm(), carried.clone()).await?;
        expect_code("INV-DLG-4", &answer, &[200], "a request that is passed on")?;
    }
    // Who did not give it passes nothing on.
    let mut stranger = scene.peer("stranger").await?;
    let (other, to) = (stranger.sm(), scene.sm());
    let forged = json!({"message": {
        "id": 1, "type": "read", "from": other, "to": object, "body": {},
    }, "delegation": gift.name});
    let answer = stranger.request("forward", &other, &to, forged).await?;
    expect_code("INV-DLG-4", &answer, &[400, 403, 404], "a request that a stranger passes on")?;
    let early = reader.maybe(|m| m["type"] == "response").await;
    ensure!("INV-DLG-4", early.is_none(), "answered before it is served here: {early:?}");
    scene.domain().serve();
    gift.hand_over(scene).await?;
    let answer = gift.seat.final_within(&accepted, HOSTING).await?;
    expect_code("INV-DLG-6", &answer, &[200], "an acceptance that is granted")?;
    let answered = |m: &Value| is_final(m, &json!(id));
    let answer = reader.until_within("INV-DLG-4", "an answer", RESPONSE_TIME, answered).await?;
    expect_code("INV-DLG-4", &answer, &[200], "a subscription that came meanwhile")?;
    ensure_eq!("INV-DLG-4", answer["from"], json!(format!("{object}/subscription")), "who answers it");
    ensure_eq!("INV-DLG-4", answer["body"]["value"]["data"]["n"], json!(2), "with what");
    reader.never("INV-DLG-4", "a second answer", |m| m["type"] == "response" && m["id"] == id).await
}

/// The domain may know whose the object is before the grant has arrived: what comes here ahead of it waits for it, or
/// for the end of the offer. Nobody is told that there is no such object.
async fn held_until_granted(scene: &mut Scene) -> Verdict {
    for granted in [false, true] {
        let mut gift = Gift::prepare(scene).await?;
        let object = gift.author.object.clone();
        let accepted = gift.accept(scene, &json!({}));
        // The answer to this one is lost.
        gift.claimed(scene).await?;
        gift.hand_over(scene).await?;
        let mut reader = scene.peer(if granted { "reader" } else { "early" }).await?;
        let hyperty = scene.hyperty("reader");
        let body = json!({"source": hyperty, "subscriber": hyperty, "identity": scene.identity("reader")});
        let subscribed = reader.send("subscribe", &reader.sm(), &format!("{object}/subscription"), body);
        let since = json!({"criteria": {"since": {"epoch": 0, "version": 1}}, "source": hyperty});
        let read = reader.send("read", &reader.sm(), &object, since);
        let early = reader.maybe(|m| m["type"] == "response").await;
        ensure!("INV-DLG-4", early.is_none(), "answered before it is anybody's here: {early:?}");
        let claim = gift.claimed(scene).await?;
        if granted {
            let everybody = format!("hyperty://{}/*", scene.home);
            gift.grant(&claim, &json!({"authorise": [everybody]}));
            let answer = gift.seat.final_within(&accepted, RESPONSE_TIME).await?;
            expect_code("INV-DLG-6", &answer, &[200], "an acceptance that is granted")?;
        } else {
            gift.author.line.answer(&claim, json!({"code": 404, "desc": "the offer is over"}));
        }
        for asked in [&subscribed, &read] {
            let answered = |m: &Value| is_final(m, asked);
            let answer = reader.until_within("INV-DLG-4", "an answer", RESPONSE_TIME, answered).await?;
            match granted {
                true => expect_code("INV-DLG-4", &answer, &[200], "a request that came before the grant")?,
                false => expect_code("INV-DLG-4", &answer, &[408], "a request for what is not given")?,
            }
            let again = |m: &Value| is_final(m, asked);
            reader.never("INV-DLG-4", "a second answer", again).await?;
        }
        scene.leave(gift.seat);
    }
    Ok(())
}

/// What cannot be hosted goes back, said until that is answered, and nobody has acted in between.
async fn goes_back(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let object = gift.author.object.clone();
    let accepted = gift.accept(scene, &json!({}));
    let claim = gift.claimed(scene).await?;
    gift.hand_over(scene).await?;
    scene.domain().script(Service::Registry, None, Script::Refuse(403));
    gift.grant(&claim, &json!({}));
    gift.returned().await?;
    // The first is lost.
    let back = gift.returned().await?;
    gift.author.line.answer(&back, json!({"code": 200, "resource": object}));
    let answer = gift.seat.final_within(&accepted, RESPONSE_TIME).await?;
    expect_code("INV-DLG-5", &answer, &[412], "an acceptance of what cannot be hosted")?;
    gift.nobody_acts("INV-DLG-1").await?;
    scene.domain().serve();
    // What the registry knows is for the one that has it again to say.
    let routes = scene.held_when(&object, |held| held.routes.is_empty()).await.routes;
    ensure_eq!("INV-DLG-5", routes, Held::default().routes, "what is left at the node");
    let (own, sm) = (gift.seat.url.clone(), scene.sm());
    let answer = gift.seat.request("delete", &own, &sm, json!({"resource": object})).await?;
    expect_code("INV-DLG-5", &answer, &[403, 404], "a deletion of what went back")
}

/// The giving side does not take it back: it is the other's all the same, and has to be hosted.
async fn not_taken_back(scene: &mut Scene) -> Verdict {
    let mut gift = Gift::prepare(scene).await?;
    let accepted = gift.accept(scene, &json!({}));
    let claim = gift.claimed(scene).await?;
    gift.hand_over(scene).await?;
    scene.domain().script(Service::Registry, None, Script::Refuse(403));
    gift.grant(&claim, &json!({}));
    let back = gift.returned().await?;
    scene.domain().serve();
    gift.author.line.answer(&back, json!({"code": 412, "desc": "the new owner has acted already"}));
    let claim = gift.claimed(scene).await?;
    gift.grant(&claim, &json!({}));
    let first = gift.heard().await?;
    ensure_eq!("INV-DLG-3", first["version"], json!(3), "the version of the first change of the new owner");
    let answer = gift.seat.final_within(&accepted, RESPONSE_TIME).await?;
    expect_code("INV-DLG-7", &answer, &[200], "an acceptance of what was not taken back")?;
    gift.write(4).await
}
