//! Observers ask the Reporter to do something: `execute` to the object.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Reporting, Watching};
use crate::protocol::runtime::line::{code, expect_code, is, is_final, is_kind, same_id};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-EXE-1/handed-on", ["INV-EXE-1", "INV-EXE-2"], [], handed_on),
        case!("INV-EXE-1/observers-only", ["INV-EXE-1"], [], observers_only),
        case!("INV-EXE-2/one-answer", ["INV-EXE-2", "INV-MSG-1"], [], one_answer),
        case!("INV-EXE-2/malformed", ["INV-EXE-2", "INV-MSG-1"], [], malformed),
    ]
}

fn ask(watching: &Watching, body: Value) -> Value {
    watching.line.send("execute", &watching.hyperty, &watching.object, body)
}

async fn handed_on(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let id = ask(&watching, json!({"method": "move", "params": [1, {"to": "a"}]}));
    let question = reporting.asked("execute").await?;
    let body = &question["body"];
    ensure_eq!("INV-EXE-1", body["from"], json!(watching.hyperty), "who asks");
    ensure_eq!("INV-EXE-1", body["method"], json!("move"), "what for");
    ensure_eq!("INV-EXE-1", body["params"], json!([1, {"to": "a"}]), "with what");
    // It takes longer than an answer may: each provisional one gives more time, and is passed on.
    for _ in 0..4 {
        scene.stage.wait(Duration::from_secs(6), "an action that takes its time").await?;
        reporting.line.answer(&question, json!({"code": 100}));
        let provisional = |m: &Value| is_kind(m, "response") && same_id(&m["id"], &id) && code(m) == 100;
        watching.line.until("INV-EXE-2", "a provisional answer", provisional).await?;
    }
    reporting.line.answer(&question, json!({"code": 200, "value": {"moved": true}}));
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-EXE-1", &answer, &[200], "an action")?;
    ensure_eq!("INV-EXE-1", answer["body"]["value"], json!({"moved": true}), "what came of it");
    let id = ask(&watching, json!({"method": "move", "params": []}));
    reporting.decide("execute", json!({"code": 422, "desc": "no"})).await?;
    expect_code("INV-EXE-1", &watching.line.final_answer(&id).await?, &[422], "an action that is refused")
}

async fn observers_only(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let mut stranger = Watching::listen(scene, "stranger", &object).await?;
    let mut near = scene.seat("near")?;
    let body = json!({"method": "move", "params": []});
    let id = ask(&stranger, body.clone());
    let answer = stranger.line.final_answer(&id).await?;
    expect_code("INV-EXE-1", &answer, &[403], "an action of a stranger")?;
    let own = near.url.clone();
    let answer = near.request("execute", &own, &object, body.clone()).await?;
    expect_code("INV-EXE-1", &answer, &[403], "an action of a stranger in the same runtime")?;
    // In an observer's name.
    near.send("execute", &watching.hyperty, &object, body.clone());
    expect_code("INV-UNS-2", &watching.leave().await?, &[200], "leaving")?;
    let id = ask(&watching, body);
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-EXE-1", &answer, &[403], "an action of one that has left")?;
    let own = reporting.line.url.clone();
    let handed = |m: &Value| is(m, "forward", &own) && m["body"]["type"] == "execute";
    reporting.line.never("INV-EXE-1", "an action of a stranger", handed).await
}

/// Whatever the Reporter does, the observer gets one final answer.
async fn one_answer(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let id = ask(&watching, json!({"method": "move", "params": []}));
    let question = reporting.asked("execute").await?;
    for value in [1, 2] {
        reporting.line.answer(&question, json!({"code": 200, "value": value}));
    }
    let answer = watching.line.final_answer(&id).await?;
    ensure_eq!("INV-EXE-2", answer["body"]["value"], json!(1), "the answer that counts");
    watching.line.never("INV-EXE-2", "a second answer", |message| is_final(message, &id)).await?;
    // It says nothing at all; then it is gone.
    for gone in [false, true] {
        let id = ask(&watching, json!({"method": "move", "params": []}));
        if gone {
            let answer = watching.line.final_within(&id, RESPONSE_TIME).await?;
            ensure!("INV-EXE-2", code(&answer) >= 300, "an action that nobody did: {answer}");
            break;
        }
        reporting.asked("execute").await?;
        let answer = watching.line.final_within(&id, RESPONSE_TIME).await?;
        ensure!("INV-EXE-2", code(&answer) >= 300, "an action that nobody answered: {answer}");
        let away = std::mem::replace(&mut reporting.line, scene.seat("another")?);
        scene.leave(away);
    }
    Ok(())
}

async fn malformed(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    for body in [json!({}), json!({"method": 7}), json!({"method": "", "params": []})] {
        let id = ask(&watching, body.clone());
        let answer = watching.line.final_answer(&id).await?;
        expect_code("INV-EXE-2", &answer, &[400], &format!("the action {body}"))?;
    }
    let own = reporting.line.url.clone();
    let handed = |m: &Value| is(m, "forward", &own) && m["body"]["type"] == "execute";
    reporting.line.never("INV-EXE-2", "a malformed action", handed).await
}
