//! Subscription at the Reporter's side (protocol 5.3 step 8).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{NAMES, Reporting, Watching};
use crate::protocol::runtime::line::{code, expect_code, is, is_change};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-SUB-1/snapshot-then-stream", ["INV-SUB-1", "INV-UPD-1"], [], snapshot_then_stream),
        case!("INV-SUB-1/joining-amid-changes", ["INV-SUB-1", "INV-UPD-4"], [], joining_amid_changes),
        case!("INV-SUB-2/accepted", ["INV-SUB-2", "INV-SUB-3"], [], accepted),
        case!("INV-SUB-3/refused", ["INV-SUB-3", "INV-SUB-7", "INV-READ-1"], [], refused),
        case!("INV-SUB-7/undecided", ["INV-SUB-7", "INV-MSG-3"], [], undecided),
        case!("INV-SUB-7/who-is-admitted", ["INV-SUB-7", "INV-INV-2"], [], who_is_admitted),
        case!("INV-SUB-5/again", ["INV-SUB-5"], [], again),
        case!("INV-SUB-5/its-own-object", ["INV-SUB-5", "INV-MSG-1"], [], its_own_object),
        case!("INV-MSG-2/older-forms", ["INV-MSG-2", "INV-SUB-2"], [], older_forms),
        case!("INV-SUB-2/unknown-object", ["INV-SUB-2", "INV-MSG-1"], [], unknown_object),
        case!("INV-UPD-3/one-away-delays-nobody", ["INV-UPD-3", "M13"], [Scripted], one_away_delays_nobody),
        case!("M13/back-after-its-session-ended", ["M13", "INV-SES-1"], [Scripted], back_after_session_ended),
    ]
}

async fn snapshot_then_stream(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    reporting.change("topic", json!("b")).await?;
    let (mut watching, answer) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let value = &answer["value"];
    ensure_eq!("INV-SUB-1", value["version"], json!(1), "the version of the snapshot");
    ensure_eq!("INV-SUB-1", value["data"], json!({"topic": "b"}), "the data of the snapshot");
    ensure_eq!("3.2", value["url"], json!(reporting.object), "the object of the snapshot");
    ensure_eq!("3.2", value["reporter"], json!(reporting.line.url), "the Reporter in the snapshot");
    ensure_eq!("3.2", value["runtime"], json!(scene.url), "the runtime in the snapshot");
    ensure!("3.2", value["childrenObjects"].is_object(), "a snapshot without children: {value}");
    ensure_eq!("M21", answer["childrenResources"], json!(NAMES), "the names of children");
    ensure_eq!("5.3", answer["owner"], json!(reporting.line.url), "the owner");

    reporting.change("members", json!([])).await?;
    let insert = json!({
        "version": 3, "attribute": "members.0", "attributeType": "array", "operation": "add",
        "value": [{"n": "bob"}], "receipt": true,
    });
    let id = reporting.post(insert);
    expect_code("M2", &reporting.line.final_answer(&id).await?, &[200], "an insertion")?;
    let remove = json!({
        "version": 4, "attribute": "members.0", "attributeType": "array", "operation": "remove", "value": 1,
        "receipt": true,
    });
    let id = reporting.post(remove);
    expect_code("M2", &reporting.line.final_answer(&id).await?, &[200], "a removal")?;
    for (version, attribute, operation) in
        [(2, "members", Value::Null), (3, "members.0", json!("add")), (4, "members.0", json!("remove"))]
    {
        let body = watching.update().await?;
        ensure_eq!("INV-SUB-1", body["version"], json!(version), "the version that follows");
        ensure_eq!("INV-UPD-1", body["attribute"], json!(attribute), "what is changed");
        ensure_eq!("INV-UPD-1", body["operation"], operation, "how it is changed");
        ensure_eq!("INV-UPD-2", body["source"], json!(reporting.line.url), "who changed it");
    }
    let answer = watching.read(None).await?;
    ensure_eq!("INV-UPD-1", answer["body"]["value"]["data"], json!({"topic": "b", "members": []}), "the end");
    Ok(())
}

/// The Reporter does not wait for anything while observers come.
async fn joining_amid_changes(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let mut joined: Vec<(Watching, Value)> = Vec::new();
    for round in 0..6_u64 {
        let watching = Watching::listen(scene, &format!("watcher-{round}"), &reporting.object).await?;
        for n in 0..8 {
            reporting.put("n", json!(round * 8 + n));
        }
        let id = watching.ask(&json!({}));
        for n in 0..8 {
            reporting.put("m", json!(round * 8 + n));
        }
        joined.push((watching, id));
    }
    reporting.change("end", json!(true)).await?;
    let wanted = json!({"topic": "a", "n": 47, "m": 47, "end": true});
    for (mut watching, id) in joined {
        let answer = watching.line.final_answer(&id).await?;
        expect_code("INV-SUB-2", &answer, &[200], "a subscription amid changes")?;
        let value = &answer["body"]["value"];
        let (mut version, mut data) = (value["version"].as_u64().unwrap_or(0), value["data"].clone());
        let from = version;
        // What was sent before the acceptance is older than the snapshot: a listener of the node may have seen it.
        while version < reporting.version {
            let body = watching.update().await?;
            let next = body["version"].as_u64().unwrap_or(0);
            if next <= version {
                continue;
            }
            ensure_eq!("INV-SUB-1", next, version + 1, "the change after version {version}");
            version = next;
            data[body["attribute"].as_str().unwrap_or_default()] = body["value"].clone();
        }
        ensure_eq!("INV-SUB-1", data, wanted, "what the snapshot and the changes after it make");
        let object = watching.object.clone();
        // Those before its acceptance came because it listened.
        let late = |message: &Value| {
            is_change(message, &object) && message["body"]["version"].as_u64().is_some_and(|late| late > from)
        };
        watching.line.never("INV-UPD-4", "the last change again", late).await?;
    }
    Ok(())
}

async fn accepted(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let id = watching.ask(&json!({}));
    let question = reporting.decide("subscribe", json!({"code": 200})).await?;
    let body = &question["body"];
    ensure_eq!("INV-SUB-7", body["authorised"], json!(false), "whether the Reporter is asked");
    ensure_eq!("INV-SUB-7", body["from"], json!(watching.hyperty), "who asks");
    ensure_eq!("INV-SUB-7", body["to"], json!(reporting.object), "for what");
    let user = &body["identity"]["userProfile"]["userURL"];
    ensure_eq!("INV-SUB-7", *user, json!(scene.user("watcher")), "who is behind it");
    ensure_eq!("INV-SUB-2", question["from"], json!(reporting.object), "in whose name the Reporter is asked");
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-SUB-2", &answer, &[200], "an accepted subscription")?;
    let from = format!("{}/subscription", reporting.object);
    ensure_eq!("INV-SUB-2", answer["from"], json!(from), "who answers");
    reporting.change("topic", json!("b")).await?;
    ensure_eq!("INV-SUB-3", watching.update().await?["version"], json!(1), "what an observer gets");
    let answer = watching.read(None).await?;
    expect_code("INV-SUB-3", &answer, &[200], "a read of an observer")
}

async fn refused(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let id = watching.ask(&json!({"resumable": true}));
    reporting.decide("subscribe", json!({"code": 403, "desc": "no"})).await?;
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-SUB-3", &answer, &[403], "a refused subscription")?;
    ensure!("INV-SUB-7", answer["body"].get("value").is_none(), "a refusal with data: {answer}");
    reporting.change("topic", json!("secret")).await?;
    let object = reporting.object.clone();
    watching.line.never("INV-SUB-7", "a change", |message| is_change(message, &object)).await?;

    // Nor does it count as an observer when it reads.
    let (sm, from) = (watching.line.sm(), watching.hyperty.clone());
    let id = watching.line.send("read", &from, &object, json!({"source": from}));
    reporting.decide("read", json!({"code": 401})).await?;
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-SUB-3", &answer, &[401], "a read of a refused observer")?;
    ensure!("INV-READ-1", !answer.to_string().contains("secret"), "a refusal with data: {answer}");
    let body = json!({"source": from, "resource": object});
    let answer = watching.line.request("unsubscribe", &sm, &format!("{object}/subscription"), body).await?;
    expect_code("INV-SUB-3", &answer, &[404], "leaving what was never joined")
}

async fn undecided(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let id = watching.ask(&json!({}));
    let question = reporting.asked("subscribe").await?;
    reporting.change("topic", json!("secret")).await?;
    let object = reporting.object.clone();
    watching.line.never("INV-SUB-7", "a change", |message| is_change(message, &object)).await?;
    scene.stage.wait(Duration::from_secs(9), "a Reporter that does not decide").await?;
    let answer = watching.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-MSG-3", &answer, &[408], "a subscription that nobody decides")?;
    reporting.line.answer(&question, json!({"code": 200}));
    reporting.change("topic", json!("more")).await?;
    watching.line.never("INV-SUB-7", "a change", |message| is_change(message, &object)).await
}

/// Domains, users and hyperties in the list of creation, and everybody in a public object; nobody by a prefix.
async fn who_is_admitted(scene: &mut Scene) -> Verdict {
    let (bob, user) = (scene.hyperty("bob"), scene.identity("carol")["userProfile"]["userURL"].clone());
    let lists = [
        ("bob", json!({"authorise": [bob]}), true),
        ("carol", json!({"authorise": [user]}), true),
        ("dave", json!({"authorise": [format!("hyperty://{}/*", scene.home)]}), true),
        ("erin", json!({"publicObservation": true}), true),
        ("bobby", json!({"authorise": [bob]}), false),
        ("frank", json!({"authorise": ["hyperty://elsewhere.example/*"]}), false),
    ];
    let mut seat = scene.seat("reporter")?;
    for (who, list, admitted) in lists {
        let mut reporting = Reporting::create_at(scene, seat, "reporter", json!({"value": list})).await?;
        let mut watching = Watching::listen(scene, who, &reporting.object).await?;
        let id = watching.ask(&json!({}));
        let told = reporting.asked("subscribe").await?;
        ensure_eq!(
            "INV-INV-2",
            told["body"]["authorised"],
            json!(admitted),
            "whether {who} is admitted by {list}"
        );
        if admitted {
            reporting.line.answer(&told, json!({"code": 200}));
        } else {
            reporting.line.answer(&told, json!({"code": 403, "desc": "no"}));
        }
        let answer = watching.line.final_answer(&id).await?;
        expect_code("INV-SUB-7", &answer, &[if admitted { 200 } else { 403 }], who)?;
        seat = reporting.line;
    }
    Ok(())
}

async fn again(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let id = watching.ask(&json!({}));
    reporting.decide("subscribe", json!({"code": 200})).await?;
    expect_code("INV-SUB-2", &watching.line.final_answer(&id).await?, &[200], "the first subscription")?;
    reporting.change("topic", json!("b")).await?;
    // Asked again, nobody is: it observes already.
    let answer = watching.subscribe(json!({})).await?;
    expect_code("INV-SUB-5", &answer, &[200], "the same subscription again")?;
    ensure_eq!("INV-SUB-5", answer["body"]["value"]["version"], json!(1), "a fresh snapshot");
    reporting.change("topic", json!("c")).await?;
    let mut versions = Vec::new();
    for _ in 0..2 {
        versions.push(watching.update_by("INV-SUB-5").await?["version"].clone());
    }
    for message in watching.line.rest().await {
        if is_change(&message, &watching.object) {
            versions.push(message["body"]["version"].clone());
        }
    }
    ensure_eq!("INV-SUB-5", versions, vec![json!(1), json!(2)], "what comes after subscribing twice");
    let answer = watching.leave().await?;
    expect_code("INV-SUB-5", &answer, &[200], "leaving once after subscribing twice")?;
    reporting.change("topic", json!("d")).await?;
    let object = reporting.object.clone();
    watching.line.never("INV-UNS-1", "a change", |message| is_change(message, &object)).await
}

/// A Reporter is none of its observers, also if its subscription was under way when it became the Reporter.
async fn its_own_object(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (url, sm) = (reporting.line.url.clone(), scene.sm());
    let answer =
        reporting.line.request("subscribe", &url, &sm, json!({"resource": reporting.object})).await?;
    expect_code("INV-SUB-5", &answer, &[409], "a subscription of its own object")?;
    reporting.change("topic", json!("b")).await
}

/// An id that is a text, a type in capitals, the older name of the subscriber, an identity that is a text.
async fn older_forms(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, false).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let id = json!(watching.line.next_id().to_string());
    watching.line.send_message(&json!({
        "id": id, "type": "SUBSCRIBE", "from": watching.line.sm(), "to": format!("{}/subscription", reporting.object),
        "body": {"subscriber": watching.hyperty, "identity": "user://example.com/somebody", "x-unknown": [1]},
    }));
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-SUB-2", &answer, &[200], "a subscription in older forms")?;
    ensure_eq!("INV-MSG-2", answer["id"], id, "the id of the answer");
    let id = watching.line.next_id();
    let own = watching.hyperty.clone();
    watching.line.send_text(format!(
        r#"{{"to":"{}","from":"{own}","type":"READ","id":"{id}","body":{{}}}}"#,
        reporting.object
    ));
    let answer = watching.line.final_answer(&json!(id)).await?;
    ensure_eq!("INV-MSG-2", answer["id"], json!(id.to_string()), "the id of the answer");
    ensure!("INV-MSG-2", code(&answer) == 200, "a read in older forms: {answer}");
    Ok(())
}

async fn unknown_object(scene: &mut Scene) -> Verdict {
    // Its address has a route at the node that leads here: only then is this runtime asked.
    let mut reporting = Reporting::open(scene, false).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let id = reporting.line.send("delete", &own, &sm, json!({"resource": reporting.object}));
    let answer = reporting.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-DEL-1", &answer, &[200], "a deletion")?;
    let answer = watching.subscribe(json!({})).await?;
    expect_code("INV-SUB-2", &answer, &[404, 410], "subscribing to an object that is gone")?;
    let answer = watching.read(None).await?;
    expect_code("INV-MSG-1", &answer, &[404, 410], "reading an object that is gone")
}

async fn one_away_delays_nobody(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (gone, _) = Watching::join(scene, "gone", &reporting.object, true).await?;
    let (mut there, _) = Watching::join(scene, "there", &reporting.object, false).await?;
    drop(gone);
    scene.settle().await;
    for n in 1..=50 {
        reporting.change("n", json!(n)).await?;
        ensure_eq!("INV-UPD-3", there.update().await?["version"], json!(n), "what the other observer gets");
    }
    Ok(())
}

async fn back_after_session_ended(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({})).await?;
    for (name, resumable) in [("stays", true), ("goes", false)] {
        let watching = Watching::listen(scene, name, &reporting.object).await?;
        let id = watching.ask(&json!({"resumable": resumable}));
        reporting.decide("subscribe", json!({"code": 200})).await?;
        let mut watching = watching;
        expect_code("INV-SUB-2", &watching.line.final_answer(&id).await?, &[200], "a subscription")?;
        drop(watching);
        // The node tells that its session ended.
        scene.settle().await;
        reporting.change("left", json!(name)).await?;
        let mut back = Watching::listen(scene, name, &reporting.object).await?;
        let id = back.line.send("read", &back.line.sm(), &reporting.object, json!({}));
        if resumable {
            let answer = back.line.final_answer(&id).await?;
            expect_code("M13", &answer, &[200], "the first read of an observer that was away")?;
            reporting.change("back", json!(name)).await?;
            ensure_eq!("M13", back.update().await?["value"], json!(name), "the stream after it");
        } else {
            let url = reporting.line.url.clone();
            let told =
                |message: &Value| is(message, "forward", &url) && message["body"]["type"] == "unsubscribe";
            reporting.line.until("M13", "the news that an observer left", told).await?;
            reporting.decide("read", json!({"code": 401})).await?;
            let answer = back.line.final_answer(&id).await?;
            expect_code("M13", &answer, &[401], "a read of one that is no observer any more")?;
        }
    }
    Ok(())
}
