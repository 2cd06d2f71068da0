//! Changes at the Reporter's side (protocol 3.3, 3.5, 5.4, 10.2): checked, kept, published in order.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Following, Reporting, Watching};
use crate::protocol::runtime::line::{code, expect_code, is, is_change};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-UPD-1/many-in-flight", ["INV-UPD-1", "INV-UPD-4", "M2"], [], many_in_flight),
        case!("INV-DOM-3/every-kind-of-change", ["INV-DOM-3", "INV-UPD-1"], [], every_kind_of_change),
        case!("M2/out-of-order", ["M2", "INV-UPD-1"], [], out_of_order),
        case!("M2/metadata-of-its-version", ["M2", "INV-DOM-7"], [], metadata_of_its_version),
        case!("M2/impossible-changes", ["M2", "M26", "INV-DOM-3"], [], impossible_changes),
        case!("INV-UPD-2/only-the-reporter", ["INV-UPD-2", "INV-DEL-4"], [], only_the_reporter),
        case!("INV-UPD-4/here-and-elsewhere", ["INV-UPD-4", "INV-SUB-4"], [], here_and_elsewhere),
        case!("INV-EXT-2/position-after-a-burst", ["INV-EXT-2"], [Beats], position_after_a_burst),
        case!("M11/position-after-a-reconnect", ["M11", "INV-SES-1"], [Beats], position_after_a_reconnect),
    ]
}

async fn many_in_flight(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let ids: Vec<Value> = (1..=300).map(|n| reporting.put("n", json!(n))).collect();
    for id in &ids {
        let answer = reporting.line.final_answer(id).await?;
        expect_code("M2", &answer, &[200], "one of many changes in flight")?;
    }
    for n in 1..=300 {
        let body = watching.update().await?;
        ensure_eq!("INV-UPD-1", body["version"], json!(n), "the order of what is published");
        ensure_eq!("INV-UPD-1", body["value"], json!(n), "the content of version {n}");
    }
    let object = reporting.object.clone();
    watching.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await
}

async fn every_kind_of_change(scene: &mut Scene) -> Verdict {
    let data = json!({"list": [1, 2, 3], "map": {"a": {"b": 1}, "x.y": 1}, "gone": 1});
    let everybody = format!("hyperty://{}/*", scene.home);
    let more = json!({"value": {"authorise": [everybody], "data": data}});
    let mut reporting = Reporting::create(scene, "reporter", more).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let set = |attribute: &str, value: Value| json!({"attribute": attribute, "value": value});
    let array = |attribute: &str| json!({"attribute": attribute, "attributeType": "array"});
    let with = |mut body: Value, member: &str, value: Value| {
        body[member] = value;
        body
    };
    let insert = |attribute: &str, value: Value| {
        with(with(array(attribute), "operation", json!("add")), "value", value)
    };
    let remove = |attribute: &str, count: Value| {
        with(with(array(attribute), "operation", json!("remove")), "value", count)
    };
    let changes = [
        set("nothing", Value::Null),
        set("no", json!(false)),
        set("zero", json!(0)),
        set("empty", json!("")),
        set("double", json!(0.1)),
        set("tiny", json!(5e-324)),
        set("text", json!("\u{1F600} \"\\\n\u{0}")),
        set("map.a.b", json!([[[]]])),
        set("map.x.y", json!(2)),
        json!({"attribute": "gone"}),
        with(array("list.0"), "value", json!([9])),
        with(array("list.3"), "value", json!("appended")),
        insert("list.1", json!(["i", "j"])),
        insert("list.6", json!("single")),
        insert("list.0", json!([[0]])),
        remove("list.0", json!(1)),
        remove("list.4", json!(2)),
        set("list", json!([])),
    ];
    let count = changes.len() as u64;
    for body in changes {
        reporting.version += 1;
        let body = with(with(body, "version", json!(reporting.version)), "receipt", json!(true));
        let id = reporting.post(body.clone());
        let answer = reporting.line.final_answer(&id).await?;
        expect_code("INV-DOM-3", &answer, &[200], &format!("the change {body}"))?;
        let told = watching.update().await?;
        for member in ["version", "attribute", "attributeType", "operation", "value"] {
            // One element may be sent as a list of one.
            let same = told.get(member) == body.get(member) || told[member] == json!([body[member]]);
            ensure!("INV-DOM-3", same, "{member} of {body} was published as {}", told[member]);
        }
    }
    let wanted = json!({
        "list": [], "map": {"a": {"b": [[[]]]}, "x.y": 2}, "nothing": null, "no": false, "zero": 0, "empty": "",
        "double": 0.1, "tiny": 5e-324, "text": "\u{1F600} \"\\\n\u{0}",
    });
    let answer = watching.read(None).await?;
    ensure_eq!("INV-DOM-3", answer["body"]["value"]["data"], wanted, "what the changes make");
    ensure_eq!("INV-UPD-1", answer["body"]["value"]["version"], json!(count), "their number");
    Ok(())
}

async fn out_of_order(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    reporting.change("n", json!(1)).await?;
    watching.update().await?;
    for version in [json!(3), json!(1), json!(0), Value::Null] {
        let mut body = json!({"attribute": "n", "value": "never", "receipt": true});
        if !version.is_null() {
            body["version"] = version.clone();
        }
        let id = reporting.post(body);
        let answer = reporting.line.final_answer(&id).await?;
        expect_code("M2", &answer, &[400, 409], &format!("version {version} after version 1"))?;
    }
    let object = reporting.object.clone();
    watching.line.never("M2", "a change that was refused", |message| is_change(message, &object)).await?;
    reporting.change("n", json!(2)).await?;
    let told = watching.update().await?;
    ensure_eq!(
        "INV-UPD-1",
        (&told["version"], &told["value"]),
        (&json!(2), &json!(2)),
        "what follows a refusal"
    );
    let answer = watching.read(None).await?;
    ensure_eq!("M2", answer["body"]["value"]["data"]["n"], json!(2), "the data after refusals");
    Ok(())
}

/// Metadata is of the version that it is told with, also while a change of it is being kept.
async fn metadata_of_its_version(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let (own, sm, object) = (reporting.line.url.clone(), scene.sm(), reporting.object.clone());
    for (version, name) in [(1, "renamed"), (2, "board")] {
        let before = if version == 1 { "board" } else { "renamed" };
        let mut body = json!({"attribute": "name", "attributeType": "metadata", "value": name});
        (body["version"], body["receipt"]) = (json!(version), json!(true));
        let id = reporting.post(body);
        let at_once = reporting.line.request("read", &own, &sm, json!({"resource": object})).await?;
        let value = &at_once["body"]["value"];
        let wanted = if value["version"] == version { name } else { before };
        ensure_eq!("M2", value["name"], json!(wanted), "the name at version {}", value["version"]);
        let answer = reporting.line.final_answer(&id).await?;
        expect_code("M2", &answer, &[200], "a change of metadata")?;
        let told = watching.update().await?;
        ensure_eq!(
            "M2",
            (&told["attribute"], &told["value"]),
            (&json!("name"), &json!(name)),
            "what is told"
        );
        let value = &watching.read(None).await?["body"]["value"];
        let seen = (&value["version"], &value["name"]);
        ensure_eq!("M2", seen, (&json!(version), &json!(name)), "what is read once it is answered");
    }
    Ok(())
}

async fn impossible_changes(scene: &mut Scene) -> Verdict {
    let everybody = format!("hyperty://{}/*", scene.home);
    let more = json!({"value": {"authorise": [everybody], "data": {"list": [1], "s": "x"}}});
    let mut reporting = Reporting::create(scene, "reporter", more).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let impossible = [
        json!({"attribute": "no.such.place", "value": 1}),
        json!({"attribute": "s.inside", "value": 1}),
        json!({"attribute": "list.7", "attributeType": "array", "value": 1}),
        json!({"attribute": "list.7", "attributeType": "array", "operation": "add", "value": [1]}),
        json!({"attribute": "list.0", "attributeType": "array", "operation": "remove", "value": 9}),
        json!({"attributeType": "array", "operation": "add", "value": [1]}),
        json!({"attribute": "n", "value": 9_007_199_254_740_993_u64}),
        json!({"attribute": "topic", "value": 7}),
    ];
    for mut body in impossible {
        body["version"] = json!(1);
        body["receipt"] = json!(true);
        let id = reporting.post(body.clone());
        let answer = reporting.line.final_answer(&id).await?;
        expect_code("M2", &answer, &[400], &format!("the change {body}"))?;
    }
    let object = reporting.object.clone();
    watching.line.never("M2", "a change that was refused", |message| is_change(message, &object)).await?;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("M2", watching.update().await?["version"], json!(1), "the version after refusals");
    let answer = watching.read(None).await?;
    let wanted = json!({"list": [1], "s": "x", "n": 1});
    ensure_eq!("INV-DOM-3", answer["body"]["value"]["data"], wanted, "the data after refusals");
    Ok(())
}

async fn only_the_reporter(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let stranger = scene.seat("stranger")?;
    let mut following = Following::sit(scene, "observer", &object)?;
    let id = following.ask(scene, json!({}));
    reporting.asked("subscribe").await?;
    following.accepted(&id).await?;
    let changes = format!("{object}/changes");
    let body = json!({"version": 1, "attribute": "topic", "value": "forged"});
    // In O's name, in the Reporter's, in one's own; by a stranger and by an observer; also as a deletion.
    for line in [&stranger, &following.line] {
        for from in [&object, &reporting.line.url, &line.url] {
            for source in [Value::Null, json!(reporting.line.url), json!(line.url)] {
                let mut body = body.clone();
                if !source.is_null() {
                    body["source"] = source;
                }
                line.send("update", from, &changes, body);
            }
        }
        line.send("delete", &format!("{object}/subscription"), &changes, json!({"resource": object}));
    }
    // And the Reporter itself, in the name of somebody else.
    reporting.line.send("update", &object, &changes, {
        let mut body = body.clone();
        body["source"] = json!(stranger.url);
        body
    });
    let unwanted =
        |message: &Value| is_change(message, &object) || is(message, "delete", &format!("{object}/changes"));
    watching.line.never("INV-UPD-2", "what is not the Reporter's", unwanted).await?;
    following.line.never("INV-UPD-2", "what is not the Reporter's", unwanted).await?;
    let answer = watching.read(None).await?;
    ensure_eq!("INV-UPD-2", answer["body"]["value"]["version"], json!(0), "the version after forgeries");
    reporting.change("topic", json!("mine")).await?;
    ensure_eq!("INV-UPD-2", watching.update().await?["value"], json!("mine"), "what the Reporter says");
    Ok(())
}

async fn here_and_elsewhere(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut here = Vec::new();
    for n in 0..3 {
        let mut following = Following::sit(scene, &format!("here-{n}"), &object)?;
        let id = following.ask(scene, json!({}));
        following.accepted(&id).await?;
        here.push(following);
    }
    let (mut one, _) = Watching::join(scene, "one", &object, false).await?;
    let (mut two, _) = Watching::join(scene, "two", &object, false).await?;
    for n in 1..=20 {
        reporting.change("n", json!(n)).await?;
    }
    for n in 1..=20 {
        for following in &mut here {
            ensure_eq!("INV-UPD-4", following.update().await?["version"], json!(n), "in the same runtime");
        }
        for watching in [&mut one, &mut two] {
            ensure_eq!("INV-UPD-4", watching.update().await?["version"], json!(n), "in another runtime");
        }
    }
    for watching in [&mut one, &mut two] {
        watching.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await?;
    }
    for following in &mut here {
        following.line.never("INV-UPD-4", "one more change", |message| is_change(message, &object)).await?;
    }
    Ok(())
}

fn is_beat(message: &Value, object: &str) -> bool {
    is(message, "update", &format!("{object}/changes")) && message["body"]["attributeType"] == "position"
}

async fn position_after_a_burst(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    for n in 1..=5 {
        reporting.change("n", json!(n)).await?;
    }
    scene.stage.wait(Duration::from_millis(2_500), "the announcement after a burst").await?;
    let told = |message: &Value| is_beat(message, &object) && message["body"]["version"] == 5;
    let beat = watching.line.until("INV-EXT-2", "the position after a burst", told).await?;
    ensure_eq!("INV-EXT-2", beat["from"], json!(object), "in whose name the position is told");
    // Again and again, also later: it might have been lost.
    watching.line.rest().await;
    scene.stage.wait(Duration::from_secs(70), "the longest pause between announcements").await?;
    watching.line.until("INV-EXT-2", "the position again", told).await.map(drop)
}

async fn position_after_a_reconnect(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    scene.cut();
    scene.settle().await;
    watching.line.rest().await;
    reporting.change("n", json!(1)).await?;
    scene.heal();
    let wanted = |message: &Value| is(message, "update", &format!("{object}/changes"));
    let found = watching.line.until("M11", "the stream after a reconnect", wanted).await?;
    ensure_eq!("M11", found["body"]["version"], json!(1), "the position after a reconnect");
    let answer = watching.read(Some((0, 0))).await?;
    ensure!("INV-SES-1", code(&answer) == 200, "a read after a reconnect: {answer}");
    Ok(())
}
