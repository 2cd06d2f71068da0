//! Hyperties find others at the registry of their domain, through their runtime (protocol 5.13).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, NAMES, Reporting};
use crate::protocol::runtime::line::{Line, expect_code, is_final};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

/// Long enough for a runtime to find its node again.
const RECONNECT: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("5.13.4/answers-as-they-are", ["5.13.4", "INV-MSG-1"], [], answers_as_they_are),
        case!("5.13.4/what-is-created-is-found", ["5.13.4", "INV-CRE-4"], [], created_is_found),
        case!("5.13.4/asked-while-away", ["5.13.4", "INV-MSG-1"], [Scripted], asked_while_away),
    ]
}

async fn search(scene: &Scene, line: &mut Line, resource: &str) -> Verdict<Value> {
    let own = line.url.clone();
    line.request("read", &own, &scene.reg(), json!({"resource": resource})).await
}

async fn tell(scene: &Scene, author: &mut Author, kind: &str, body: Value) -> Verdict {
    let from = format!("{}/registry", author.line.url);
    let answer = author.line.request(kind, &from, &scene.reg(), body).await?;
    expect_code("INV-REG-1", &answer, &[200], "what the registry is told")
}

/// Live, disconnected, deleted and unknown are four answers, and the records come with them.
async fn answers_as_they_are(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let object = author.object.clone();
    let mut line = scene.seat("seeker")?;
    let (reporter, runtime) = (author.hyperty.clone(), author.line.url.clone());
    let is_record = |answer: &Value| {
        let record = &answer["body"]["value"][&object];
        record["reporter"] == reporter.as_str() && record["runtime"] == runtime.as_str()
    };
    let answer = search(scene, &mut line, &object).await?;
    expect_code("5.13.4", &answer, &[200], "a search for what is live")?;
    ensure!("5.13.4", is_record(&answer), "the record of what is live: {answer}");

    let body = json!({"resource": object, "value": "disconnected", "attribute": "status"});
    tell(scene, &mut author, "update", body).await?;
    let answer = search(scene, &mut line, &object).await?;
    expect_code("5.13.4", &answer, &[408], "a search for what is disconnected")?;
    ensure!("5.13.4", is_record(&answer), "the record of what is disconnected: {answer}");

    let answer = search(scene, &mut line, &format!("{object}-other")).await?;
    expect_code("5.13.4", &answer, &[404], "a search for what nobody knows")?;
    ensure!("5.13.4", answer["body"]["reason"] != "no-route", "unknown, told as out of reach: {answer}");

    tell(scene, &mut author, "delete", json!({"resource": object})).await?;
    let answer = search(scene, &mut line, &object).await?;
    expect_code("5.13.4", &answer, &[410], "a search for what was deleted")
}

/// What this runtime registers says what others look for, to hyperties here and elsewhere.
async fn created_is_found(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let mut near = scene.seat("near")?;
    let answer = search(scene, &mut near, &object).await?;
    let mut far = scene.peer("far").await?;
    let from = format!("{}/registry", far.url);
    let also = far.request("read", &from, &scene.reg(), json!({"resource": object})).await?;
    for answer in [&answer, &also] {
        expect_code("5.13.4", answer, &[200], "a search for what is reported here")?;
        let record = &answer["body"]["value"][&object];
        let members = [
            ("url", json!(object)),
            ("runtime", json!(scene.url)),
            ("reporter", json!(reporting.line.url)),
            ("name", json!("board")),
            ("schema", json!(scene.schema)),
            ("dataSchemes", json!(["comm"])),
        ];
        for (member, wanted) in members {
            ensure_eq!("5.13.4", record[member], wanted, "the {member} of what is registered");
        }
        let children = record["childrenResources"].as_array().cloned().unwrap_or_default();
        ensure!("5.13.4", NAMES.iter().all(|name| children.contains(&json!(name))), "its children: {record}");
    }
    Ok(())
}

/// A search that is asked while there is no connection is answered once when there is one again.
async fn asked_while_away(scene: &mut Scene) -> Verdict {
    let author = Author::announce(scene, "author").await?;
    let mut line = scene.seat("seeker")?;
    scene.cut();
    scene.settle().await;
    let (own, body) = (line.url.clone(), json!({"resource": author.object}));
    let id = line.send("read", &own, &scene.reg(), body);
    scene.settle().await;
    scene.heal();
    let answer = line.final_within(&id, RECONNECT).await?;
    expect_code("5.13.4", &answer, &[200, 404, 408], "a search that was asked while away")?;
    line.never("INV-MSG-1", "a second answer", |message| is_final(message, &id)).await
}
