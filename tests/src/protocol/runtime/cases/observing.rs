//! Subscription at the Observer's side (protocol 5.3 steps 1 to 7, 10 and 11).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::Held;
use crate::protocol::runtime::actors::{Author, Following, Reporting, stream};
use crate::protocol::runtime::boundary::{Place, Way};
use crate::protocol::runtime::line::{code, expect_code, is, is_change, is_kind, same_id};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-SUB-2/provisional-then-final", ["INV-SUB-2", "INV-SUB-1"], [], provisional_then_final),
        case!("INV-SUB-3/refused-leaves-nothing", ["INV-SUB-3", "INV-SUB-2"], [], refused_leaves_nothing),
        case!("INV-SUB-2/provisional-is-not-final", ["INV-SUB-2", "INV-SUB-7"], [], provisional_is_not_final),
        case!("INV-MSG-3/mute-reporter", ["INV-MSG-3", "M9"], [], mute_reporter),
        case!("INV-SUB-3/unusable-acceptance", ["INV-SUB-3", "INV-MSG-1"], [], unusable_acceptance),
        case!(
            "INV-SUB-4/many-in-one-runtime",
            ["INV-SUB-4", "INV-UPD-4", "INV-UNS-1"],
            [],
            many_in_one_runtime
        ),
        case!("INV-SUB-5/again", ["INV-SUB-5"], [], again),
        case!("INV-SUB-6/same-runtime", ["INV-SUB-6", "INV-SUB-1"], [], same_runtime),
        case!("INV-SUB-2/no-route", ["INV-SUB-2", "INV-MSG-1"], [], no_route),
        case!(
            "INV-SUB-1/changes-before-the-answer",
            ["INV-SUB-1", "INV-UPD-4"],
            [],
            changes_before_the_answer
        ),
        case!("INV-EXT-2/one-pause-for-all", ["INV-EXT-2"], [Scripted], one_pause_for_all),
    ]
}

/// A try that fails is tried again after a pause that doubles (0.2), once for each try: not once for each observer whose
/// subscription came to nothing in it.
async fn one_pause_for_all(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut followings = Vec::new();
    for name in ["one", "two", "three"] {
        followings.push(Following::join(scene, name, &mut author, false).await?);
    }
    author.commit("n", json!(1));
    author.beat();
    // The Reporter's side knows none of them any more, and then cannot be reached.
    for _ in 0..5 {
        let read = author.read_request("INV-EXT-2").await?;
        author.line.answer(&read, json!({"code": 403, "desc": "no observer"}));
        for _ in &followings {
            let asked = author.asked().await?;
            author.line.answer(&asked, json!({"code": 404, "desc": "no route", "reason": "no-route"}));
        }
    }
    // 0.2 s, 0.4 s, …: the last pause is 3.2 s.
    let object = author.object.clone();
    let wanted = |message: &Value| is(message, "read", &object);
    let soon = Duration::from_secs(8);
    let read = author.line.until_within("INV-EXT-2", "a read of the object", soon, wanted).await?;
    author.answer_read(&read);
    for following in &mut followings {
        following.update().await?;
        ensure_eq!("INV-EXT-2", following.data["n"], json!(1), "the change that was missed");
    }
    Ok(())
}

async fn provisional_then_final(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let known = scene.vouch("observer", "observer")?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({"store": true}));
    let request = author.asked().await?;
    let body = &request["body"];
    ensure_eq!("5.3", request["from"], json!(scene.sm()), "who asks the Reporter's side");
    ensure_eq!("5.3", body["source"], json!(following.line.url), "for whom");
    // What a hyperty says of itself need not be passed on; what its runtime knows is. A node that knows whose the
    // session is says that.
    let told = &body["identity"];
    let of_session = told["userProfile"]["userURL"] == scene.user("owner").as_str();
    let right = *told == scene.identity("observer") || (!known && (told.is_null() || of_session));
    ensure!("5.3", right, "who is behind it: {told}");
    ensure!("2.2", body.get("auth").is_none(), "what stays in the runtime left it: {request}");
    let provisional = |m: &Value| is_kind(m, "response") && same_id(&m["id"], &id) && code(m) < 200;
    let first = following.line.until("INV-SUB-2", "the provisional answer", provisional).await?;
    ensure_eq!("INV-SUB-2", first["body"]["childrenResources"], json!(["notes", "news"]), "the names in it");
    ensure_eq!(
        "INV-SUB-4",
        scene.held(&author.object).routes,
        listened(&author.object),
        "routes at the node"
    );
    author.accept(&request);
    let answer = following.accepted(&id).await?;
    ensure_eq!("INV-SUB-1", answer["body"]["value"]["data"], json!({"topic": "a"}), "the copy");
    ensure_eq!("INV-SUB-2", answer["from"], json!(scene.sm()), "who answers");
    following
        .line
        .never("INV-SUB-2", "another answer", |m| is_kind(m, "response") && same_id(&m["id"], &id))
        .await?;
    for n in 1..=3 {
        author.publish("n", json!(n));
        ensure_eq!("INV-SUB-1", following.update().await?["version"], json!(n), "the change");
    }
    Ok(())
}

fn listened(object: &str) -> BTreeSet<String> {
    stream(object).into_iter().collect()
}

async fn refused_leaves_nothing(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    for refusal in [403, 404, 410, 500] {
        let id = following.ask(scene, json!({"store": true}));
        let request = author.asked().await?;
        author.line.answer(&request, json!({"code": refusal, "desc": "no", "description": "no"}));
        let answer = following.line.final_answer(&id).await?;
        expect_code("INV-SUB-3", &answer, &[refusal], "a refused subscription")?;
        author.publish("topic", json!("secret"));
        let object = author.object.clone();
        following.line.never("INV-SUB-7", "a change", |message| is_change(message, &object)).await?;
        scene.stage.wait(Duration::from_secs(3), "routes that are taken back").await?;
        let left = scene.held_when(&object, Held::is_nothing).await;
        ensure_eq!("INV-SUB-3", left, Held::default(), "what is left at the node");
        // A read is the Reporter's to decide.
        let (answer, denied) = tokio::join!(following.read(scene), async {
            let read = author.read_request("INV-SUB-3").await?;
            author.line.answer(&read, json!({"code": 401, "desc": "unauthorized"}));
            Ok(())
        });
        let denied: Verdict = denied;
        denied?;
        expect_code("INV-SUB-7", &answer?, &[401], "a read without subscription")?;
    }
    Ok(())
}

async fn provisional_is_not_final(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    author.line.answer(&request, json!({"code": 100, "childrenResources": ["notes", "news"]}));
    let is_final = |m: &Value| is_kind(m, "response") && same_id(&m["id"], &id) && code(m) >= 200;
    following.line.never("INV-SUB-2", "a final answer for a provisional one", is_final).await?;
    author.line.answer(&request, json!({"code": 403, "desc": "no", "description": "no"}));
    let answer = following.line.final_answer(&id).await?;
    expect_code("INV-SUB-2", &answer, &[403], "a refusal after a provisional answer")
}

async fn mute_reporter(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    scene.stage.wait(Duration::ZERO, "a Reporter that says nothing").await?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    scene.stage.wait(Duration::from_secs(5), "half of the time to answer").await?;
    let answer = following.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-MSG-3", &answer, &[408], "a subscription that nobody answers")?;
    // M9: who accepts too late is told that nobody waits any more.
    author.accept(&request);
    let to = format!("{}/subscription", author.object);
    let given_back =
        author.line.until("M9", "the late acceptance given back", |m| is(m, "unsubscribe", &to)).await?;
    ensure_eq!("M9", given_back["body"]["source"], json!(following.line.url), "for whom it is given back");
    author.publish("topic", json!("late"));
    let object = author.object.clone();
    following.line.never("M9", "a change", |message| is_change(message, &object)).await
}

async fn unusable_acceptance(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut other = author.snapshot();
    other["url"] = json!(format!("comm://{}/another", scene.home));
    let mut following = Following::sit(scene, "observer", &author.object)?;
    for answer in
        [json!({"code": 200}), json!({"code": 200, "value": 7}), json!({"code": 200, "value": other})]
    {
        let id = following.ask(scene, json!({}));
        let request = author.asked().await?;
        author.line.answer(&request, answer);
        let answer = following.line.final_answer(&id).await?;
        ensure!("INV-SUB-3", code(&answer) >= 300, "an unusable acceptance was taken: {answer}");
    }
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    author.accept(&request);
    following.accepted(&id).await.map(drop)
}

async fn many_in_one_runtime(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut all = Vec::new();
    for n in 0..4 {
        let following = Following::join(scene, &format!("observer-{n}"), &mut author, false).await?;
        all.push(following);
    }
    let object = author.object.clone();
    let mn = scene.mn();
    let asked = scene.boundary.trace().into_iter().filter(|entry| {
        let (crossing, message) = (&entry.crossing, &entry.crossing.message);
        let lists = message["body"]["resources"].to_string().contains(&object);
        crossing.place == Place::Node && crossing.way == Way::Out && is(message, "subscribe", &mn) && lists
    });
    ensure_eq!("INV-SUB-4", asked.count(), 1, "subscriptions at the node for four observers");
    author.publish("n", json!(1));
    for following in &mut all {
        ensure_eq!("INV-SUB-4", following.update().await?["version"], json!(1), "what each gets");
    }
    // One leaves; the others notice nothing.
    let mut left = all.remove(1);
    let leaving = left.leave(scene);
    let serve = async {
        let to = format!("{object}/subscription");
        let request = author.line.until("5.6", "the leave", |m| is(m, "unsubscribe", &to)).await?;
        ensure_eq!("5.6", request["body"]["source"], json!(scene.hyperty("observer-1")), "who leaves");
        author.line.answer(&request, json!({"code": 200}));
        Ok(())
    };
    let (answer, served): (Verdict<Value>, Verdict) = tokio::join!(leaving, serve);
    served?;
    expect_code("INV-UNS-1", &answer?, &[200], "leaving")?;
    author.publish("n", json!(2));
    for following in &mut all {
        ensure_eq!("INV-UNS-1", following.update().await?["version"], json!(2), "what those who stay get");
        following.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await?;
    }
    left.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await?;
    let routes = scene.held_when(&object, |held| held.routes == listened(&object)).await.routes;
    ensure_eq!("INV-UNS-3", routes, listened(&object), "the routes of those who stay");
    Ok(())
}

async fn again(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, false).await?;
    author.publish("n", json!(1));
    following.update().await?;
    let id = following.ask(scene, json!({}));
    let object = author.object.clone();
    let request = author
        .line
        .until("INV-SUB-5", "a question of the second subscription", |m| {
            is(m, "read", &object) || is(m, "subscribe", &format!("{object}/subscription"))
        })
        .await?;
    if is_kind(&request, "read") {
        author.answer_read(&request);
    } else {
        author.accept(&request);
    }
    let answer = following.accepted(&id).await?;
    ensure_eq!("INV-SUB-5", answer["body"]["value"]["version"], json!(1), "the fresh snapshot");
    author.publish("n", json!(2));
    ensure_eq!("INV-SUB-5", following.update().await?["version"], json!(2), "the change after it");
    following.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await
}

async fn same_runtime(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    scene.settle().await;
    let mark = scene.boundary.mark();
    let mut following = Following::sit(scene, "observer", &reporting.object)?;
    let id = following.ask(scene, json!({}));
    reporting.decide("subscribe", json!({"code": 200})).await?;
    following.accepted(&id).await?;
    for n in 1..=3 {
        reporting.change("n", json!(n)).await?;
        ensure_eq!("INV-SUB-1", following.update().await?["version"], json!(n), "the change");
    }
    expect_code("INV-UNS-1", &following.leave(scene).await?, &[200], "leaving")?;
    reporting.change("n", json!(4)).await?;
    let object = reporting.object.clone();
    following.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await?;
    let outside = scene.boundary.trace_since(mark).into_iter().find(|entry| {
        entry.crossing.place == Place::Node
            && entry.crossing.way == Way::Out
            && entry.crossing.message.to_string().contains(&object)
    });
    ensure!("INV-SUB-6", outside.is_none(), "it left the runtime: {outside:?}");
    Ok(())
}

async fn no_route(scene: &mut Scene) -> Verdict {
    let nowhere = format!("comm://{}/nowhere-{}", scene.home, scene.stage.nonce);
    let elsewhere = "comm://elsewhere.example/object".to_owned();
    for (n, object) in [nowhere, elsewhere].into_iter().enumerate() {
        let mut following = Following::sit(scene, &format!("observer-{n}"), &object)?;
        let id = following.ask(scene, json!({}));
        let answer = following.line.final_within(&id, RESPONSE_TIME).await?;
        expect_code("INV-SUB-2", &answer, &[404, 408], "subscribing to what is nowhere")?;
        let left = scene.held_when(&object, Held::is_nothing).await;
        ensure_eq!("INV-SUB-3", left, Held::default(), "what is left at the node");
    }
    let mut line = scene.seat("observer")?;
    let (own, sm) = (line.url.clone(), scene.sm());
    let answer = line.request("subscribe", &own, &sm, json!({"identity": "user://a/b"})).await?;
    expect_code("INV-MSG-1", &answer, &[400], "subscribing to nothing")
}

/// The stream begins before the acceptance arrives, and after its snapshot.
async fn changes_before_the_answer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    for n in 1..=3 {
        author.commit("n", json!(n));
    }
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    // Two that the snapshot has, twice; then the snapshot at 5; then one more.
    for n in 4..=5 {
        let message = author.commit("n", json!(n));
        author.line.send_message(&message);
        author.line.send_message(&message);
    }
    author.accept(&request);
    author.publish("n", json!(6));
    let answer = following.accepted(&id).await?;
    let from = answer["body"]["value"]["version"].as_u64().unwrap_or(0);
    ensure!("INV-SUB-1", from >= 5, "the snapshot is older than what the Reporter sent: {answer}");
    following.reach(scene, "INV-SUB-1", 6).await?;
    ensure_eq!("INV-SUB-1", following.data, author.data, "the copy");
    Ok(())
}
