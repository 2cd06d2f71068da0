//! Hyperties listen outside of data objects, at the runtime's subscription manager (protocol 5.14).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::Author;
use crate::protocol::runtime::line::{Line, expect_code, is};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::runtime::{Script, Service};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

/// Long enough for a runtime to find its node again.
const RECONNECT: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-RSM-1/each-event-once", ["INV-RSM-1", "INV-REG-2"], [Subscriptions], each_event_once),
        case!("INV-RSM-1/own-list", ["INV-RSM-1"], [Subscriptions], own_list),
        case!("INV-RSM-1/in-ones-own-name", ["INV-RSM-1"], [Subscriptions], in_ones_own_name),
        case!(
            "INV-RSM-2/the-nodes-answer",
            ["INV-RSM-2", "INV-MSG-1"],
            [Subscriptions, Scripted],
            nodes_answer
        ),
        case!("INV-RSM-2/status-only", ["INV-RSM-2"], [Subscriptions], status_only),
        case!("INV-RSM-2/malformed", ["INV-RSM-2", "INV-MSG-1"], [Subscriptions], malformed),
        case!("INV-RSM-3/one-route-for-all", ["INV-RSM-3"], [Subscriptions], one_route_for_all),
        case!("INV-RSM-3/a-new-session", ["INV-RSM-3", "INV-SES-1"], [Subscriptions, Scripted], new_session),
        case!("INV-RSM-3/ends-with-the-hyperty", ["INV-RSM-3"], [Subscriptions], ends_with_the_hyperty),
    ]
}

/// An object elsewhere, and where its status is told.
async fn elsewhere(scene: &Scene) -> Verdict<(Author, String)> {
    let author = Author::announce(scene, "author").await?;
    let told = format!("{}/registration", author.object);
    Ok((author, told))
}

async fn ask(scene: &Scene, line: &mut Line, kind: &str, body: Value) -> Verdict<Value> {
    let own = line.url.clone();
    let id = line.send(kind, &own, &scene.subscriptions(), body);
    line.final_within(&id, RESPONSE_TIME).await
}

async fn listen(scene: &Scene, line: &mut Line, url: &str) -> Verdict {
    let answer = ask(scene, line, "subscribe", json!({"resources": [url]})).await?;
    expect_code("INV-RSM-2", &answer, &[200], "listening to a status")
}

async fn leave(scene: &Scene, line: &mut Line, url: &str) -> Verdict {
    let answer = ask(scene, line, "unsubscribe", json!({"resources": [url]})).await?;
    expect_code("INV-RSM-2", &answer, &[200], "listening no more")
}

/// What a hyperty is told that it listens to.
async fn list(scene: &Scene, line: &mut Line) -> Verdict<BTreeSet<String>> {
    let answer = ask(scene, line, "read", json!({})).await?;
    expect_code("INV-RSM-1", &answer, &[200], "one's own list")?;
    let urls = answer["body"]["value"].as_array().cloned().unwrap_or_default();
    Ok(urls.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Has the registry set a status.
async fn turn(scene: &Scene, author: &mut Author, status: &str) -> Verdict {
    let object = &author.object;
    let body = match status {
        "disconnected" => json!({"resource": object, "value": status, "attribute": "status"}),
        _ => json!({"resource": object, "value": {"status": status}}),
    };
    let from = format!("{}/registry", author.line.url);
    let answer = author.line.request("update", &from, &scene.reg(), body).await?;
    expect_code("INV-REG-1", &answer, &[200], "a change of status")
}

async fn hears(line: &mut Line, told: &str, status: &str) -> Verdict {
    let message = line.until("INV-RSM-1", "a status", |message| is(message, "update", told)).await?;
    ensure_eq!("INV-RSM-1", message["body"]["value"], json!(status), "the status that is told");
    Ok(())
}

async fn hears_nothing(line: &mut Line, told: &str) -> Verdict {
    line.never("INV-RSM-1", "a status that it was told, or never asked for", |m| is(m, "update", told)).await
}

/// No routes.
const NONE: BTreeSet<String> = BTreeSet::new();

/// What the node sends the runtime of an object that is not its own, once it is what is wanted or nothing more happens.
async fn routed(scene: &Scene, object: &str, wanted: &BTreeSet<String>) -> BTreeSet<String> {
    scene.settle().await;
    scene.held_when(object, |held| held.routes == *wanted).await.routes
}

async fn each_event_once(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let (mut one, mut two) = (scene.seat("one")?, scene.seat("two")?);
    let mut stranger = scene.seat("stranger")?;
    listen(scene, &mut one, &told).await?;
    // Twice is once.
    listen(scene, &mut one, &told).await?;
    listen(scene, &mut two, &told).await?;
    for status in ["disconnected", "live"] {
        turn(scene, &mut author, status).await?;
        hears(&mut one, &told, status).await?;
        hears(&mut two, &told, status).await?;
        hears_nothing(&mut one, &told).await?;
        hears_nothing(&mut two, &told).await?;
    }
    hears_nothing(&mut stranger, &told).await?;
    leave(scene, &mut one, &told).await?;
    turn(scene, &mut author, "disconnected").await?;
    hears(&mut two, &told, "disconnected").await?;
    hears_nothing(&mut one, &told).await
}

async fn own_list(scene: &mut Scene) -> Verdict {
    let (_author, told) = elsewhere(scene).await?;
    let (mut one, mut two) = (scene.seat("one")?, scene.seat("two")?);
    listen(scene, &mut one, &told).await?;
    ensure_eq!("INV-RSM-1", list(scene, &mut one).await?, BTreeSet::from([told.clone()]), "one's own list");
    ensure_eq!(
        "INV-RSM-1",
        list(scene, &mut two).await?,
        BTreeSet::new(),
        "the list of one who asked for none"
    );
    let answer = ask(scene, &mut two, "read", json!({"resource": one.url})).await?;
    expect_code("INV-RSM-1", &answer, &[403], "another's list")?;
    let answer = ask(scene, &mut two, "unsubscribe", json!({"resources": [told]})).await?;
    expect_code("INV-RSM-2", &answer, &[404], "an end of what never began")?;
    leave(scene, &mut one, &told).await?;
    ensure_eq!("INV-RSM-1", list(scene, &mut one).await?, BTreeSet::new(), "one's own list after the end");
    Ok(())
}

/// Neither in the name of another hyperty, nor from elsewhere.
async fn in_ones_own_name(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let (mut victim, mallory) = (scene.seat("victim")?, scene.seat("mallory")?);
    let to = scene.subscriptions();
    for kind in ["subscribe", "unsubscribe", "read"] {
        mallory.send(kind, &victim.url, &to, json!({"resources": [told]}));
        let (sm, body) = (author.line.sm(), json!({"resources": [told]}));
        let answer = author.line.request(kind, &sm, &to, body).await?;
        expect_code("INV-RSM-1", &answer, &[403, 404], &format!("a {kind} from elsewhere"))?;
    }
    ensure_eq!(
        "INV-RSM-1",
        list(scene, &mut victim).await?,
        BTreeSet::new(),
        "what another asked for in its name"
    );
    let routes = routed(scene, &author.object, &NONE).await;
    ensure!("INV-RSM-1", routes.is_empty(), "routes that nobody may have asked for: {routes:?}");
    // Nor does another end what it asked for.
    listen(scene, &mut victim, &told).await?;
    mallory.send("unsubscribe", &victim.url, &to, json!({"resources": [told]}));
    scene.settle().await;
    turn(scene, &mut author, "disconnected").await?;
    hears(&mut victim, &told, "disconnected").await
}

/// Whatever the node says is what the hyperty is told, and a list that was refused has no effect.
async fn nodes_answer(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let mut line = scene.seat("listener")?;
    let unreachable = |answer: &Value| answer["body"]["reason"] == "no-route";
    for (script, code) in [
        (Script::Refuse(403), 403),
        (Script::Refuse(409), 409),
        (Script::Mute, 408),
        (Script::LoseAnswer, 408),
    ] {
        scene.domain().script(Service::Routes, Some("subscribe"), script);
        let answer = ask(scene, &mut line, "subscribe", json!({"resources": [told]})).await?;
        expect_code("INV-RSM-2", &answer, &[code], &format!("listening at a node that does {script:?}"))?;
        ensure!("INV-RSM-2", code != 408 || unreachable(&answer), "a node that is silent: {answer}");
        scene.domain().serve();
        ensure_eq!("INV-RSM-2", list(scene, &mut line).await?, BTreeSet::new(), "the list after {script:?}");
        let routes = routed(scene, &author.object, &NONE).await;
        ensure!("INV-RSM-2", routes.is_empty(), "routes that are left after {script:?}: {routes:?}");
    }
    turn(scene, &mut author, "disconnected").await?;
    hears_nothing(&mut line, &told).await?;
    // A node that is away; and one that there is none of.
    scene.cut();
    scene.settle().await;
    let answer = ask(scene, &mut line, "subscribe", json!({"resources": [told]})).await?;
    expect_code("INV-RSM-2", &answer, &[408], "listening at a node that is away")?;
    ensure!("INV-RSM-2", unreachable(&answer), "a node that is away: {answer}");
    scene.heal();
    tokio::time::sleep(RECONNECT).await;
    ensure_eq!("INV-RSM-2", routed(scene, &author.object, &NONE).await, NONE, "the routes at the node, back");
    let nowhere = "comm://nowhere.example/1/registration";
    let answer = ask(scene, &mut line, "subscribe", json!({"resources": [told, nowhere]})).await?;
    expect_code("INV-RSM-2", &answer, &[404], "listening in a domain without a node")?;
    ensure_eq!(
        "INV-RSM-2",
        list(scene, &mut line).await?,
        BTreeSet::new(),
        "the list after half of it failed"
    );
    listen(scene, &mut line, &told).await?;
    turn(scene, &mut author, "live").await?;
    hears(&mut line, &told, "live").await
}

/// Who observes is the Sync Manager's to decide: streams are not to be had, nor what has a receiver.
async fn status_only(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let mut line = scene.seat("listener")?;
    let object = author.object.clone();
    let derived = ["", "/changes", "/subscription", "/observers", "/children/notes"]
        .map(|tail| format!("{object}{tail}"));
    let others = [author.line.sm(), author.hyperty.clone(), scene.mn(), scene.reg()];
    for url in derived.iter().chain(&others) {
        for urls in [json!([url]), json!([told, url]), json!([url, told])] {
            let answer = ask(scene, &mut line, "subscribe", json!({"resources": urls})).await?;
            expect_code("INV-RSM-2", &answer, &[403], &format!("listening to {urls}"))?;
        }
    }
    ensure_eq!("INV-RSM-2", list(scene, &mut line).await?, BTreeSet::new(), "the list after refusals");
    let routes = routed(scene, &object, &NONE).await;
    ensure!("INV-RSM-2", routes.is_empty(), "routes that were refused: {routes:?}");
    author.publish("n", json!(1));
    turn(scene, &mut author, "disconnected").await?;
    line.never("INV-RSM-2", "what it was refused", |message| is(message, "update", &derived[1])).await?;
    hears_nothing(&mut line, &told).await
}

async fn malformed(scene: &mut Scene) -> Verdict {
    let (_author, told) = elsewhere(scene).await?;
    let mut line = scene.seat("listener")?;
    for kind in ["subscribe", "unsubscribe"] {
        for body in
            [json!({}), json!({"resources": []}), json!({"resources": [7]}), json!({"resources": ["x y"]})]
        {
            let answer = ask(scene, &mut line, kind, body.clone()).await?;
            expect_code("INV-RSM-2", &answer, &[400], &format!("{kind} {body}"))?;
        }
    }
    for kind in ["create", "delete", "execute"] {
        let answer = ask(scene, &mut line, kind, json!({"resources": [told]})).await?;
        expect_code("INV-RSM-2", &answer, &[400], &format!("a {kind}"))?;
    }
    ensure_eq!("INV-RSM-2", list(scene, &mut line).await?, BTreeSet::new(), "the list after nonsense");
    Ok(())
}

async fn one_route_for_all(scene: &mut Scene) -> Verdict {
    let (author, told) = elsewhere(scene).await?;
    let (mut one, mut two) = (scene.seat("one")?, scene.seat("two")?);
    let all = BTreeSet::from([told.clone()]);
    listen(scene, &mut one, &told).await?;
    ensure_eq!("INV-RSM-3", routed(scene, &author.object, &all).await, all, "the routes for one");
    listen(scene, &mut two, &told).await?;
    leave(scene, &mut one, &told).await?;
    ensure_eq!("INV-RSM-3", routed(scene, &author.object, &all).await, all, "the routes for the other");
    leave(scene, &mut two, &told).await?;
    ensure_eq!("INV-RSM-3", routed(scene, &author.object, &NONE).await, NONE, "the routes for nobody");
    Ok(())
}

async fn new_session(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let mut line = scene.seat("listener")?;
    listen(scene, &mut line, &told).await?;
    for status in ["disconnected", "live"] {
        scene.cut();
        scene.settle().await;
        ensure_eq!(
            "INV-RSM-3",
            routed(scene, &author.object, &NONE).await,
            NONE,
            "what a lost session leaves"
        );
        scene.heal();
        tokio::time::sleep(RECONNECT).await;
        let wanted = BTreeSet::from([told.clone()]);
        ensure_eq!(
            "INV-RSM-3",
            routed(scene, &author.object, &wanted).await,
            wanted,
            "what a new session is told"
        );
        turn(scene, &mut author, status).await?;
        hears(&mut line, &told, status).await?;
        hears_nothing(&mut line, &told).await?;
    }
    Ok(())
}

async fn ends_with_the_hyperty(scene: &mut Scene) -> Verdict {
    let (mut author, told) = elsewhere(scene).await?;
    let (mut guest, mut other) = (scene.seat("guest")?, scene.seat("other")?);
    listen(scene, &mut guest, &told).await?;
    listen(scene, &mut other, &told).await?;
    scene.leave(guest);
    let wanted = BTreeSet::from([told.clone()]);
    let routes = routed(scene, &author.object, &wanted).await;
    ensure_eq!("INV-RSM-3", routes, wanted, "the routes for the one that is left");
    scene.leave(other);
    ensure_eq!(
        "INV-RSM-3",
        routed(scene, &author.object, &NONE).await,
        NONE,
        "what hyperties leave that are gone"
    );
    // Who comes to the same seat has asked for nothing.
    let mut next = scene.seat("guest")?;
    ensure_eq!("INV-RSM-3", list(scene, &mut next).await?, BTreeSet::new(), "the list of who comes after");
    turn(scene, &mut author, "disconnected").await?;
    hears_nothing(&mut next, &told).await
}
