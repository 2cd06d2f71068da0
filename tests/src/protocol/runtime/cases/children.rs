//! Children (protocol 3.6, 5.9, M18, M19), from both sides.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use super::children_received::{of_others, snapshot_of_children};
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching, child};
use crate::protocol::runtime::line::{expect_code, is, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!(
            "INV-CHD-1/of-an-observer",
            ["INV-CHD-1", "INV-CHD-3", "INV-CHD-5"],
            [Children],
            of_an_observer
        ),
        case!(
            "INV-CHD-1/of-the-reporter",
            ["INV-CHD-1", "INV-CHD-3", "INV-CHD-4"],
            [Children],
            of_the_reporter
        ),
        case!("INV-CHD-2/one-writer", ["INV-CHD-2", "INV-CHD-3"], [Children], one_writer),
        case!("INV-CHD-2/strangers", ["INV-CHD-2", "INV-SUB-7"], [Children], strangers),
        case!("INV-CHD-1/deleted-stays-deleted", ["INV-CHD-1", "M18"], [Children], deleted_stays_deleted),
        case!("M18/sent-again", ["M18", "INV-CHD-3", "M19"], [Children], sent_again),
        case!("M18/kept-until-answered", ["M18", "M19"], [Children], kept_until_answered),
        case!("M18/through-a-lost-connection", ["M18", "INV-SES-1"], [Children], through_a_lost_connection),
        case!("INV-CHD-3/of-others", ["INV-CHD-3", "INV-CHD-2"], [Children], of_others),
        case!("INV-CHD-1/snapshot-of-children", ["INV-CHD-1", "M18"], [Children], snapshot_of_children),
        case!("INV-CHD-1/older-forms", ["INV-CHD-1", "INV-CHD-2"], [Children], older_forms),
        case!("M19/malformed", ["M19", "INV-MSG-1"], [Children], malformed),
    ]
}

/// The children of an object, as its Reporter's side tells a reader: `{id: {version, data}}`.
async fn notes(watching: &mut Watching) -> Verdict<Value> {
    let answer = watching.read(None).await?;
    expect_code("INV-CHD-1", &answer, &[200], "a read of the children")?;
    let mut found = json!({});
    let all = answer["body"]["value"]["childrenObjects"]["notes"].as_object().cloned().unwrap_or_default();
    for (id, entry) in all {
        if entry["value"].is_object() {
            found[id] = json!({"version": entry["value"]["version"], "data": entry["value"]["data"]});
        }
    }
    Ok(found)
}

async fn write(watching: &mut Watching, kind: &str, to: &str, body: Value) -> Verdict<Value> {
    let from = watching.hyperty.clone();
    watching.line.request(kind, &from, to, body).await
}

pub(super) fn edit(id: &str, version: u64, text: &str) -> Value {
    json!({"resource": id, "version": version, "attribute": "text", "value": text})
}

async fn of_an_observer(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let (mut eve, _) = Watching::join(scene, "eve", &object, false).await?;
    let channel = reporting.children("notes");
    let id = format!("{}#1", bob.hyperty);
    let body = child(&object, &bob.hyperty, 1, json!({"text": "hi"}));
    let answer = write(&mut bob, "create", &channel, body).await?;
    expect_code("INV-CHD-1", &answer, &[200], "a child of an observer")?;
    ensure_eq!("M19", answer["body"]["source"], json!(scene.sm()), "who answers");
    ensure_eq!("M19", answer["from"], json!(channel), "from where it is answered");
    let told = reporting.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
    ensure_eq!("INV-CHD-3", told["from"], json!(bob.hyperty), "whose child it is");
    ensure_eq!("INV-CHD-3", told["body"]["value"]["data"], json!({"text": "hi"}), "the child");
    expect_code(
        "INV-CHD-1",
        &write(&mut bob, "update", &channel, edit(&id, 1, "hi!")).await?,
        &[200],
        "a change",
    )?;
    reporting.line.until("INV-CHD-3", "the change", |m| is(m, "update", &channel)).await?;
    let wanted = json!({id.clone(): {"version": 1, "data": {"text": "hi!"}}});
    ensure_eq!("INV-CHD-1", notes(&mut eve).await?, wanted, "the children");
    let answer = write(&mut bob, "delete", &channel, json!({"resource": id})).await?;
    expect_code("INV-CHD-1", &answer, &[200], "a deletion")?;
    reporting.line.until("INV-CHD-3", "the deletion", |m| is(m, "delete", &channel)).await?;
    ensure_eq!("INV-CHD-1", notes(&mut eve).await?, json!({}), "the children");
    let again = |message: &Value| message["to"] == channel.as_str() && !is_kind(message, "response");
    reporting.line.never("INV-CHD-3", "an operation again", again).await?;
    bob.line
        .never("INV-CHD-3", "its own operation", |m| again(m) && m["from"] == bob.hyperty.as_str())
        .await?;
    let answer = eve.read(None).await?;
    ensure_eq!("INV-CHD-5", answer["body"]["value"]["version"], json!(0), "the object's version");
    reporting.change("n", json!(1)).await
}

async fn of_the_reporter(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own) = (reporting.object.clone(), reporting.line.url.clone());
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    for name in ["notes", "news"] {
        let channel = reporting.children(name);
        let mut body = child(&object, &own, 1, json!({"text": name}));
        body["value"]["children"] = json!(name);
        let answer = reporting.line.request("create", &own, &channel, body).await?;
        expect_code("INV-CHD-1", &answer, &[200], "a child of the Reporter")?;
        bob.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
        let unwanted = |m: &Value| m["to"] == channel.as_str() && !is_kind(m, "response");
        bob.line.never("INV-CHD-3", "the child again", unwanted).await?;
    }
    let mut late = Watching::listen(scene, "late", &object).await?;
    let answer = late.subscribe(json!({})).await?;
    expect_code("INV-SUB-2", &answer, &[200], "a later subscription")?;
    let found = &answer["body"]["value"]["childrenObjects"];
    for name in ["notes", "news"] {
        let data = &found[name][format!("{own}#1")]["value"]["data"];
        ensure_eq!("INV-CHD-4", *data, json!({"text": name}), "the child in the snapshot");
    }
    Ok(())
}

async fn one_writer(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own) = (reporting.object.clone(), reporting.line.url.clone());
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let (mut eve, _) = Watching::join(scene, "eve", &object, false).await?;
    let channel = reporting.children("notes");
    let id = format!("{}#1", bob.hyperty);
    let body = child(&object, &bob.hyperty, 1, json!({"text": "hi"}));
    expect_code("INV-CHD-1", &write(&mut bob, "create", &channel, body.clone()).await?, &[200], "a child")?;
    reporting.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
    let answer = write(&mut eve, "update", &channel, edit(&id, 1, "ha")).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a change of another's child")?;
    let answer = write(&mut eve, "delete", &channel, json!({"resource": id})).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a deletion of another's child")?;
    let answer = write(&mut eve, "create", &channel, body).await?;
    ensure!("INV-CHD-2", super::super::line::code(&answer) >= 300, "a child in another's name: {answer}");
    let answer = reporting.line.request("update", &own, &channel, edit(&id, 1, "ha")).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a change of another's child by the Reporter")?;
    let answer = reporting.line.request("delete", &own, &channel, json!({"resource": id})).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a deletion of another's child by the Reporter")?;
    let wanted = json!({id: {"version": 0, "data": {"text": "hi"}}});
    ensure_eq!("INV-CHD-2", notes(&mut bob).await?, wanted, "the child");
    let unwanted = |m: &Value| m["to"] == channel.as_str() && !is_kind(m, "response");
    reporting.line.never("INV-CHD-2", "what was refused", unwanted).await
}

/// Who does not observe does not write; nobody but the Reporter writes where observers may only read.
async fn strangers(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let object = reporting.object.clone();
    let mut stranger = Watching::listen(scene, "stranger", &object).await?;
    let channel = reporting.children("notes");
    let body = child(&object, &stranger.hyperty, 1, json!({"text": "hi"}));
    // A node that lets it wait drops what it writes there without an answer (10.4).
    if !stranger.waits {
        let answer = write(&mut stranger, "create", &channel, body.clone()).await?;
        expect_code("INV-CHD-2", &answer, &[403], "a child of a stranger")?;
    }
    let mut here = scene.seat("visitor")?;
    let own = here.url.clone();
    let answer = here.request("create", &own, &channel, child(&object, &own, 1, json!({}))).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a child of a stranger in the runtime")?;
    let id = stranger.ask(&json!({}));
    reporting.decide("subscribe", json!({"code": 200})).await?;
    expect_code("INV-SUB-2", &stranger.line.final_answer(&id).await?, &[200], "a subscription")?;
    let news = reporting.children("news");
    let answer = write(&mut stranger, "create", &news, body.clone()).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a child where observers may only read")?;
    let unwanted = |m: &Value| is(m, "create", &channel) || is(m, "create", &news);
    reporting.line.never("INV-CHD-2", "what was refused", unwanted).await?;
    expect_code(
        "INV-CHD-1",
        &write(&mut stranger, "create", &channel, body).await?,
        &[200],
        "a child at last",
    )?;
    expect_code("INV-UNS-2", &stranger.leave().await?, &[200], "leaving")?;
    if stranger.waits {
        return Ok(());
    }
    let body = child(&object, &stranger.hyperty, 2, json!({}));
    let answer = write(&mut stranger, "create", &channel, body).await?;
    expect_code("INV-CHD-2", &answer, &[403], "a child of one who left")
}

async fn deleted_stays_deleted(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let channel = reporting.children("notes");
    let id = format!("{}#1", bob.hyperty);
    let body = child(&object, &bob.hyperty, 1, json!({"text": "hi"}));
    expect_code("INV-CHD-1", &write(&mut bob, "create", &channel, body.clone()).await?, &[200], "a child")?;
    let gone = json!({"value": {"url": id}});
    expect_code("INV-CHD-1", &write(&mut bob, "delete", &channel, gone).await?, &[200], "its deletion")?;
    let answer = write(&mut bob, "update", &channel, edit(&id, 1, "late")).await?;
    expect_code("M18", &answer, &[404, 410], "a change of a deleted child")?;
    write(&mut bob, "create", &channel, body).await?;
    ensure_eq!("INV-CHD-1", notes(&mut bob).await?, json!({}), "the children after a late creation");
    Ok(())
}

/// The same operation again, with the same id, because its answer was lost: answered again, done once.
async fn sent_again(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let channel = reporting.children("notes");
    let id = format!("{}#1", bob.hyperty);
    let operations = [
        ("create", child(&object, &bob.hyperty, 1, json!({"text": "hi"}))),
        ("update", edit(&id, 1, "hi!")),
        ("delete", json!({"resource": id})),
    ];
    for (kind, body) in operations {
        let message =
            json!({"id": bob.line.next_id(), "type": kind, "from": bob.hyperty, "to": channel, "body": body});
        for time in 0..3 {
            bob.line.send_message(&message);
            let answer = bob.line.final_answer(&message["id"]).await?;
            expect_code("M18", &answer, &[200], &format!("a {kind}, time {time}"))?;
        }
        reporting.line.until("INV-CHD-3", "the operation", |m| is(m, kind, &channel)).await?;
        reporting.line.never("INV-CHD-3", "the operation again", |m| is(m, kind, &channel)).await?;
    }
    ensure_eq!("INV-CHD-1", notes(&mut bob).await?, json!({}), "the children in the end");
    Ok(())
}

/// An observer's own operation is sent until it is answered, always with the same id.
async fn kept_until_answered(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let channel = format!("{}/children/notes", author.object);
    let own = following.line.url.clone();
    let id =
        following.line.send("create", &own, &channel, child(&author.object, &own, 1, json!({"text": "hi"})));
    let first = author.line.until("M18", "the operation", |m| is(m, "create", &channel)).await?;
    ensure_eq!("M18", first["from"], json!(own), "in whose name it is sent");
    scene.stage.wait(Duration::from_secs(4), "the time after which it is sent again").await?;
    let again = author.line.until("M18", "the operation again", |m| is(m, "create", &channel)).await?;
    ensure_eq!("M18", again["id"], first["id"], "its id");
    ensure_eq!("M18", again["body"]["resource"], first["body"]["resource"], "the child");
    author.line.answer(&again, json!({"code": 200, "source": author.line.sm()}));
    let answer = following.line.final_answer(&id).await?;
    expect_code("M19", &answer, &[200], "the operation")?;
    author.line.rest().await;
    scene.stage.wait(Duration::from_secs(10), "nothing more to send").await?;
    author.line.never("M18", "an operation that was answered", |m| is(m, "create", &channel)).await?;
    // A refusal is an answer too.
    let id = following.line.send("update", &own, &channel, edit(&format!("{own}#1"), 1, "no"));
    let update = author.line.until("M18", "the change", |m| is(m, "update", &channel)).await?;
    author.line.answer(&update, json!({"code": 403, "desc": "no", "source": author.line.sm()}));
    let answer = following.line.final_answer(&id).await?;
    expect_code("M19", &answer, &[403], "a refused operation")?;
    scene.stage.wait(Duration::from_secs(10), "nothing more to send").await?;
    author.line.never("M18", "an operation that was refused", |m| is(m, "update", &channel)).await
}

async fn through_a_lost_connection(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let channel = format!("{}/children/notes", author.object);
    let own = following.line.url.clone();
    scene.cut();
    scene.settle().await;
    let id =
        following.line.send("create", &own, &channel, child(&author.object, &own, 1, json!({"text": "hi"})));
    scene.settle().await;
    scene.heal();
    let serve = async {
        loop {
            let message = author
                .line
                .until_within("M18", "the operation after a reconnect", Duration::from_secs(60), |m| {
                    is(m, "create", &channel) || is_kind(m, "read")
                })
                .await?;
            if is_kind(&message, "read") {
                author.answer_read(&message);
            } else {
                author.line.answer(&message, json!({"code": 200, "source": author.line.sm()}));
                return Ok(());
            }
        }
    };
    let served: Verdict = serve.await;
    served?;
    let answer = following.line.final_answer(&id).await?;
    expect_code("M18", &answer, &[200], "an operation that was made without connection")
}

/// A child update in the name of O with `source`, a whole value, a deletion by a text.
async fn older_forms(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    let channel = format!("{}/children/notes", author.object);
    let writer = author.hyperty.clone();
    let id = format!("{writer}#1");
    author.line.send("create", &writer, &channel, child(&author.object, &writer, 1, json!({"text": "hi"})));
    following.line.until("INV-CHD-3", "the child", |m| is(m, "create", &channel)).await?;
    let mut body = edit(&id, 1, "of old");
    body["source"] = json!(writer);
    author.line.send("update", &author.object, &channel, body);
    following.line.until("INV-CHD-1", "the change in O's name", |m| is(m, "update", &channel)).await?;
    let whole = json!({"resource": id, "version": 2, "value": {"text": "whole"}});
    author.line.send("update", &writer, &channel, whole);
    following.line.until("INV-CHD-1", "the whole value", |m| is(m, "update", &channel)).await?;
    let copy = following.read(scene).await?;
    let found = &copy["body"]["value"]["childrenObjects"]["notes"][&id]["value"];
    ensure_eq!("INV-CHD-1", found["data"], json!({"text": "whole"}), "the child");
    author.line.send("delete", &writer, &channel, json!({"value": id}));
    following.line.until("INV-CHD-1", "the deletion", |m| is(m, "delete", &channel)).await?;

    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let channel = reporting.children("notes");
    let id = format!("{}#1", bob.hyperty);
    let body = child(&object, &bob.hyperty, 1, json!({"text": "hi"}));
    expect_code("INV-CHD-1", &write(&mut bob, "create", &channel, body).await?, &[200], "a child")?;
    let whole = json!({"resource": id, "version": 1, "value": {"text": "whole"}});
    expect_code("INV-CHD-1", &write(&mut bob, "update", &channel, whole).await?, &[200], "a whole value")?;
    let wanted = json!({id.clone(): {"version": 1, "data": {"text": "whole"}}});
    ensure_eq!("INV-CHD-1", notes(&mut bob).await?, wanted, "the child");
    expect_code(
        "INV-CHD-1",
        &write(&mut bob, "delete", &channel, json!({"value": id})).await?,
        &[200],
        "a deletion",
    )
}

async fn malformed(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut bob, _) = Watching::join(scene, "bob", &object, false).await?;
    let channel = reporting.children("notes");
    let own = bob.hyperty.clone();
    let good = child(&object, &own, 1, json!({"text": "hi"}));
    let mut other = good.clone();
    other["resource"] = json!(format!("{own}#2"));
    let mut huge = good.clone();
    huge["value"]["data"] = json!({"n": 9_007_199_254_740_993_u64});
    let broken = [
        ("create", json!({})),
        ("create", json!({"resource": format!("{own}#1")})),
        ("create", json!({"resource": 7, "value": 7})),
        ("create", other),
        ("create", huge),
        ("update", json!({})),
        ("update", edit(&format!("{own}#9"), 1, "nobody")),
        ("delete", json!({})),
    ];
    for (kind, body) in broken {
        let answer = write(&mut bob, kind, &channel, body.clone()).await?;
        expect_code("M19", &answer, &[400, 404, 410], &format!("a {kind} of {body}"))?;
    }
    ensure_eq!("M19", notes(&mut bob).await?, json!({}), "the children after what is malformed");
    expect_code("M19", &write(&mut bob, "create", &channel, good).await?, &[200], "a child")
}
