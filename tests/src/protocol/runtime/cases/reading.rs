//! Reads and repairs, as the Reporter's side answers them (protocol 5.5, 10.1).

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Reporting, Watching, child};
use crate::protocol::runtime::line::expect_code;
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Failure, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-READ-1/a-stranger", ["INV-READ-1", "INV-SUB-7", "INV-MSG-1"], [], a_stranger),
        case!("INV-READ-3/whole-and-in-part", ["INV-READ-3", "INV-DOM-4"], [], whole_and_in_part),
        case!("INV-EXT-1/since-three-answers", ["INV-EXT-1", "INV-DOM-2"], [Since], since_three_answers),
        case!("INV-EXT-1/since-in-numbers", ["INV-EXT-1"], [Since], since_in_numbers),
        case!("5.5.3/at-the-sync-manager", ["5.5.3", "INV-READ-3"], [], at_the_sync_manager),
        case!("INV-READ-1/public", ["INV-READ-1"], [], public),
    ]
}

async fn a_stranger(scene: &mut Scene) -> Verdict {
    let mut reporting =
        Reporting::create(scene, "reporter", json!({"value": {"data": {"topic": "secret"}}})).await?;
    let mut peer = scene.peer("stranger").await?;
    let (own, object) = (scene.hyperty("stranger"), reporting.object.clone());
    for body in
        [json!({}), json!({"attribute": "topic"}), json!({"criteria": {"since": {"epoch": 0, "version": 0}}})]
    {
        let id = peer.send("read", &own, &object, body);
        let question = reporting.decide("read", json!({"code": 401, "desc": "no"})).await?;
        ensure_eq!("INV-READ-1", question["body"]["from"], json!(own), "who wants to read");
        let answer = peer.final_answer(&id).await?;
        expect_code("INV-READ-1", &answer, &[401], "a read of a stranger")?;
        let told = answer["body"].to_string();
        let silent =
            !told.contains("secret") && !told.contains("board") && answer["body"].get("value").is_none();
        ensure!("INV-READ-1", silent, "a refusal tells of the object: {answer}");
    }
    // Undecided is refused too, in time; decided the other way it is answered.
    let id = peer.send("read", &own, &object, json!({}));
    reporting.decide("read", json!({"code": 200})).await?;
    let answer = peer.final_answer(&id).await?;
    expect_code("INV-READ-1", &answer, &[200], "a read that the Reporter allows")?;
    ensure_eq!("INV-READ-1", answer["body"]["value"]["data"]["topic"], json!("secret"), "what was read");
    Ok(())
}

async fn whole_and_in_part(scene: &mut Scene) -> Verdict {
    let everybody = format!("hyperty://{}/*", scene.home);
    let data = json!({"topic": "a", "map": {"x": {"y": [1, {"z": null}]}}});
    let more = json!({"value": {"authorise": [everybody], "data": data}});
    let mut reporting = Reporting::create(scene, "reporter", more).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let (sm, object) = (watching.line.sm(), reporting.object.clone());
    let parts =
        [("topic", json!("a")), ("map.x", json!({"y": [1, {"z": null}]})), ("map.x.y.1", json!({"z": null}))];
    for (attribute, wanted) in parts {
        let answer = watching.line.request("read", &sm, &object, json!({"attribute": attribute})).await?;
        expect_code("5.5", &answer, &[200], "a read of an attribute")?;
        ensure_eq!("5.5", answer["body"]["value"], wanted, "the attribute {attribute}");
    }
    for attribute in ["none", "topic.inside", "map.x.y.7"] {
        let answer = watching.line.request("read", &sm, &object, json!({"attribute": attribute})).await?;
        expect_code("5.5", &answer, &[404], &format!("a read of {attribute}"))?;
    }
    let before = watching.read(None).await?;
    let again = watching.read(None).await?;
    ensure_eq!("INV-READ-3", before["body"], again["body"], "two reads with nothing between");
    for n in 1..=3 {
        reporting.change("topic", json!(n.to_string())).await?;
        let answer = watching.read(None).await?;
        let value = &answer["body"]["value"];
        ensure_eq!("INV-DOM-4", value["version"], json!(n), "the version read");
        ensure_eq!("INV-DOM-4", value["data"]["topic"], json!(n.to_string()), "the data of version {n}");
    }
    Ok(())
}

async fn since_three_answers(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    for n in 1..=10 {
        reporting.change("n", json!(n)).await?;
    }
    for from in 0..10_u64 {
        let answer = watching.read(Some((0, from))).await?;
        let body = &answer["body"];
        expect_code("INV-EXT-1", &answer, &[200], "a repair")?;
        ensure_eq!("INV-EXT-1", body["recovered"], json!(true), "a repair from version {from}");
        ensure_eq!(
            "INV-EXT-1",
            (&body["epoch"], &body["version"]),
            (&json!(0), &json!(10)),
            "where it leads"
        );
        let versions = changes(&answer)?.iter().map(|change| change["version"].clone()).collect::<Vec<_>>();
        let wanted: Vec<Value> = (from + 1..=10).map(|version| json!(version)).collect();
        ensure_eq!("INV-EXT-1", versions, wanted, "the changes since version {from}");
        for change in changes(&answer)? {
            ensure_eq!("INV-EXT-1", change["value"], change["version"], "the content of a change");
        }
    }
    let answer = watching.read(Some((0, 10))).await?;
    ensure_eq!("INV-EXT-1", answer["body"]["recovered"], json!(true), "a repair with nothing to add");
    ensure!("INV-EXT-1", changes(&answer)?.is_empty(), "changes for one who has all: {answer}");
    for (epoch, version) in [(0, 11), (0, 5_000_000), (7, 3), (7, 30)] {
        let answer = watching.read(Some((epoch, version))).await?;
        let body = &answer["body"];
        expect_code("M8", &answer, &[200], "a repair from another history")?;
        ensure!("M8", body["recovered"] != true, "changes for one at {epoch}/{version}: {answer}");
        ensure_eq!("M8", body["value"]["version"], json!(10), "the snapshot for one at {epoch}/{version}");
        ensure_eq!("M8", body["value"]["data"], json!({"topic": "a", "n": 10}), "its data");
    }
    reporting.change("n", json!(11)).await
}

fn changes(answer: &Value) -> Verdict<&Vec<Value>> {
    answer["body"]["changes"].as_array().ok_or_else(|| {
        Failure::new("INV-EXT-1", format!("recovered, and no list of changes: {answer}")).into()
    })
}

/// Whatever the bound of the log is: an answer by changes has all of them, or there is a snapshot.
async fn since_in_numbers(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let ids: Vec<Value> = (1..=1_100).map(|n| reporting.put("n", json!(n))).collect();
    for id in ids {
        expect_code("M2", &reporting.line.final_answer(&id).await?, &[200], "a change")?;
    }
    for from in [0_u64, 1, 99, 100, 101, 599, 1_000, 1_099, 1_100] {
        let answer = watching.read(Some((0, from))).await?;
        if answer["body"]["recovered"] == true {
            let mut at = from;
            for change in changes(&answer)? {
                at += 1;
                ensure_eq!("INV-EXT-1", change["version"], json!(at), "the next change since {from}");
            }
            ensure_eq!("INV-EXT-1", at, 1_100, "where the changes since {from} end");
        } else {
            ensure_eq!("INV-EXT-1", answer["body"]["value"]["version"], json!(1_100), "the snapshot");
            ensure_eq!("INV-EXT-1", answer["body"]["value"]["data"]["n"], json!(1_100), "its data");
        }
    }
    Ok(())
}

async fn at_the_sync_manager(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (own, object, sm) = (reporting.line.url.clone(), reporting.object.clone(), scene.sm());
    let child = child(&object, &own, 1, json!({"text": "hi"}));
    let notes = reporting.children("notes");
    let answer = reporting.line.request("create", &own, &notes, child).await?;
    expect_code("INV-CHD-1", &answer, &[200], "a child of the Reporter")?;
    reporting.change("topic", json!("b")).await?;
    let answer = reporting.line.request("read", &own, &sm, json!({"resource": object})).await?;
    expect_code("5.5.3", &answer, &[200], "a read of the Reporter")?;
    let value = &answer["body"]["value"];
    ensure_eq!("5.5.3", value["data"]["topic"], json!("b"), "what the Reporter reads");
    let id = format!("{own}#1");
    let read = &value["childrenObjects"]["notes"][&id];
    ensure_eq!("INV-CHD-4", read["value"]["data"], json!({"text": "hi"}), "the child in it");
    for (body, code) in
        [(json!({}), 400), (json!({"resource": format!("comm://{}/nowhere", scene.home)}), 404)]
    {
        let answer = reporting.line.request("read", &own, &sm, body.clone()).await?;
        expect_code("5.5.3", &answer, &[code], &format!("a read of {body}"))?;
    }
    Ok(())
}

async fn public(scene: &mut Scene) -> Verdict {
    let reporting =
        Reporting::create(scene, "reporter", json!({"value": {"publicObservation": true}})).await?;
    let mut peer = scene.peer("anybody").await?;
    let answer = peer.request("read", &scene.hyperty("anybody"), &reporting.object, json!({})).await?;
    expect_code("INV-READ-1", &answer, &[200], "a read of a public object")
}
