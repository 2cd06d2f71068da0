//! Resume by criteria, and another hyperty of the same user that takes an object over (protocol 5.10.1).

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Reporting, Watching, merge};
use crate::protocol::runtime::line::{Line, expect_code, is_change, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::runtime::{Ending, Script, Service};
use crate::protocol::{Case, Failure, Verdict};
use crate::{ensure, ensure_eq};

/// Long enough to open a session again, to register, and to hear why that is refused.
const A_WHILE: Duration = Duration::from_secs(90);

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!(
            "INV-RES-5/taken-over",
            ["INV-RES-5", "INV-RES-1"],
            [Crash, Store, Scripted, Users],
            taken_over
        ),
        case!("INV-RES-5/the-registry-decides", ["INV-RES-5"], [Crash, Store, Scripted, Users], refused),
        case!("INV-RES-5/stands-down", ["INV-RES-5"], [Store, Scripted, Users], stands_down),
        case!("INV-RES-4/another-user", ["INV-RES-4"], [Crash, Store, Scripted, Users], another_user),
        case!("INV-RES-4/by-criteria", ["INV-RES-4", "5.10"], [Crash, Store, Scripted, Users], by_criteria),
        case!("5.10/missing", ["5.10", "INV-RES-4"], [Crash, Store, Scripted, Users], missing),
    ]
}

/// An object that everybody of the domain may observe, of a hyperty of alice's.
async fn of_alice(scene: &Scene) -> Verdict<Reporting> {
    let everybody = format!("hyperty://{}/*", scene.home);
    let more = json!({
        "store": true, "identity": scene.identity("alice"), "value": {"authorise": [everybody]},
    });
    Reporting::create_at(scene, scene.seat_of("reporter", "alice")?, "reporter", more).await
}

/// The same with one who watches it from elsewhere, after its first change.
async fn observed(scene: &Scene, resumable: bool) -> Verdict<(Reporting, Watching)> {
    let mut reporting = of_alice(scene).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, resumable).await?;
    reporting.change("n", json!(1)).await?;
    watching.update_by("INV-RES-1").await?;
    Ok((reporting, watching))
}

async fn crash(scene: &mut Scene, line: Line) -> Verdict {
    scene.leave(line);
    scene.restart(Ending::Crash).await?;
    scene.settle().await;
    Ok(())
}

/// An object whose runtime has crashed, and whose Reporter has not come back.
async fn abandoned(scene: &mut Scene) -> Verdict<String> {
    let reporting = of_alice(scene).await?;
    crash(scene, reporting.line).await?;
    Ok(reporting.object)
}

async fn resume(scene: &Scene, line: &mut Line, criteria: Value) -> Verdict<Value> {
    let own = line.url.clone();
    let mut body = json!({"resume": true});
    merge(&mut body, &criteria);
    line.request("create", &own, &scene.sm(), body).await
}

/// The addresses of the objects in an answer.
fn resumed(answer: &Value) -> Vec<&str> {
    let values = answer["body"]["value"].as_array();
    values.into_iter().flatten().filter_map(|value| value["url"].as_str()).collect()
}

async fn taken_over(scene: &mut Scene) -> Verdict {
    let (reporting, mut watching) = observed(scene, true).await?;
    let object = reporting.object.clone();
    crash(scene, reporting.line).await?;

    let mut line = scene.seat_of("second", "alice")?;
    let answer = resume(scene, &mut line, json!({"identity": scene.identity("alice")})).await?;
    expect_code("INV-RES-5", &answer, &[200], "a takeover")?;
    ensure_eq!("INV-RES-5", resumed(&answer), [object.as_str()], "what is taken over");
    let value = &answer["body"]["value"][0];
    ensure_eq!("INV-RES-1", value["data"], json!({"topic": "a", "n": 1}), "its data");
    ensure_eq!("INV-RES-5", value["reporter"], json!(line.url), "its Reporter");
    let epoch = value["epoch"].as_u64().unwrap_or(0);
    ensure!("INV-RES-5", epoch > 0, "a takeover in the epoch of the former Reporter: {value}");
    ensure_eq!("INV-RES-5", value["version"], json!(2), "its version, one change further");
    let told = watching.update_by("INV-RES-1").await?;
    let change = (&told["attribute"], &told["value"], &told["version"], &told["epoch"]);
    ensure_eq!(
        "INV-RES-5",
        change,
        (&json!("reporter"), &json!(line.url), &json!(2), &json!(epoch)),
        "what observers are told"
    );
    let known = scene.domain().registration(&object);
    let known = (known["epoch"].clone(), known["reporter"].clone());
    ensure_eq!("INV-RES-5", known, (json!(epoch), json!(line.url)), "what the registry knows");

    // It goes on, and is the second's for good: the first has nothing, also after a crash.
    let mut reporting = Reporting { line, object: object.clone(), version: 2 };
    reporting.change("n", json!(2)).await?;
    ensure_eq!("INV-RES-1", watching.update_by("INV-RES-1").await?["value"], json!(2), "the next change");
    crash(scene, reporting.line).await?;
    let mut former = scene.seat_of("reporter", "alice")?;
    let answer = resume(scene, &mut former, json!({})).await?;
    ensure!("INV-RES-5", resumed(&answer).is_empty(), "the former Reporter resumes it: {answer}");
    let mut line = scene.seat_of("second", "alice")?;
    let answer = resume(scene, &mut line, json!({})).await?;
    ensure_eq!("INV-RES-5", resumed(&answer), [object.as_str()], "what the new Reporter resumes");
    ensure_eq!("INV-RES-5", answer["body"]["value"][0]["epoch"], json!(epoch), "the epoch after a crash");
    Ok(())
}

/// Without the registry's yes nothing is taken over: not what is live elsewhere, nor what went on there.
async fn refused(scene: &mut Scene) -> Verdict {
    let (reporting, mut watching) = observed(scene, true).await?;
    let object = reporting.object.clone();
    crash(scene, reporting.line).await?;
    let mut line = scene.seat_of("second", "alice")?;
    let record = scene.domain().registration(&object);
    let elsewhere = |status: &str, epoch: u64| {
        let mut record = record.clone();
        merge(&mut record, &json!({"status": status, "epoch": epoch}));
        record["runtime"] = json!(format!("hyperty-runtime://{}/elsewhere", scene.home));
        record
    };
    for (status, epoch) in [("live", 0), ("live", 3), ("disconnected", 3)] {
        scene.domain().register(elsewhere(status, epoch));
        let answer = resume(scene, &mut line, json!({"resource": object})).await?;
        expect_code("INV-RES-5", &answer, &[409], &format!("a takeover of what is {status} elsewhere"))?;
    }
    scene.domain().register(record.clone());
    for (script, codes) in [(Script::Refuse(409), [409, 409]), (Script::Refuse(403), [403, 409])] {
        scene.domain().script(Service::Registry, Some("update"), script);
        scene.domain().script(Service::Registry, Some("create"), script);
        let answer = resume(scene, &mut line, json!({"resource": object})).await?;
        expect_code("INV-RES-5", &answer, &codes, "a takeover that the registry refuses")?;
        scene.domain().serve();
    }
    watching.line.never("INV-RES-5", "a change", |message| is_change(message, &object)).await?;
    // It is still its Reporter's.
    let mut former = scene.seat_of("reporter", "alice")?;
    let answer = resume(scene, &mut former, json!({})).await?;
    ensure_eq!("INV-RES-5", resumed(&answer), [object.as_str()], "what its own Reporter resumes");
    Ok(())
}

/// One whose object went on elsewhere while it was away publishes nothing more, and is told.
async fn stands_down(scene: &mut Scene) -> Verdict {
    let (mut reporting, mut watching) = observed(scene, false).await?;
    let object = reporting.object.clone();
    scene.cut();
    scene.settle().await;
    let heir = scene.hyperty("heir");
    let mut record = scene.domain().registration(&object);
    merge(&mut record, &json!({"status": "live", "epoch": 5, "reporter": heir}));
    record["runtime"] = json!(format!("hyperty-runtime://{}/elsewhere", scene.home));
    scene.domain().register(record);
    scene.heal();
    tokio::time::sleep(A_WHILE).await;
    let told = |message: &Value| is_kind(message, "event") && message["body"]["resource"] == object.as_str();
    let event = reporting.line.until("INV-RES-5", "that the object went on elsewhere", told).await?;
    ensure_eq!("INV-RES-5", event["body"]["epoch"], json!(5), "the epoch that the former Reporter is told");
    ensure_eq!("INV-RES-5", event["body"]["reporter"], json!(heir), "the Reporter that it is told");
    watching.line.rest().await;
    let id = reporting.put("n", json!(2));
    let answer = reporting.line.final_answer(&id).await?;
    expect_code("INV-RES-5", &answer, &[403, 409, 410], "a change by a former Reporter")?;
    watching.line.never("INV-RES-5", "a change", |message| is_change(message, &object)).await?;
    let known = scene.domain().registration(&object);
    ensure_eq!("INV-RES-5", known["epoch"], json!(5), "the epoch that the registry knows");
    Ok(())
}

async fn another_user(scene: &mut Scene) -> Verdict {
    let object = abandoned(scene).await?;
    let mut mallory = scene.seat_of("mallory", "mallory")?;
    let mut nobody = scene.seat("nobody")?;
    let (of_alice, of_mallory) = (scene.identity("alice"), scene.identity("mallory"));
    for line in [&mut mallory, &mut nobody] {
        let answer = resume(scene, line, json!({"identity": of_alice})).await?;
        expect_code("INV-RES-4", &answer, &[403], "a resume as another user")?;
        for criteria in [json!({"resource": object}), json!({"schema": scene.schema}), json!({})] {
            let answer = resume(scene, line, criteria.clone()).await?;
            expect_code("INV-RES-4", &answer, &[403, 404], &format!("a resume of another's by {criteria}"))?;
        }
    }
    let answer = resume(scene, &mut mallory, json!({"identity": of_mallory})).await?;
    expect_code("INV-RES-4", &answer, &[404], "a resume of one's own, of which there is nothing")?;
    let known = scene.domain().registration(&object);
    ensure_eq!("INV-RES-4", known["epoch"].as_u64().unwrap_or(0), 0, "the epoch that the registry knows");
    let mut own = scene.seat_of("reporter", "alice")?;
    let answer = resume(scene, &mut own, json!({})).await?;
    ensure_eq!("INV-RES-4", resumed(&answer), [object.as_str()], "what its own Reporter resumes");
    Ok(())
}

/// All that is given has to hold.
async fn by_criteria(scene: &mut Scene) -> Verdict {
    let object = abandoned(scene).await?;
    let mut line = scene.seat_of("second", "alice")?;
    let other = format!("hyperty-catalogue://catalogue.{}/.well-known/dataschema/Other", scene.home);
    for criteria in [
        json!({"schema": other}),
        json!({"resource": format!("{object}-other")}),
        json!({"resource": {"name": "another"}}),
        json!({"resource": object, "data": {"topic": "b"}}),
        json!({"schema": scene.schema, "reporter": line.url}),
        json!({"resource": object, "subscriber": line.url}),
    ] {
        let answer = resume(scene, &mut line, criteria.clone()).await?;
        expect_code("5.10", &answer, &[404], &format!("a resume by {criteria}"))?;
    }
    for criteria in [json!({"resource": 7}), json!({"schema": {}}), json!({"resource": ["x y"]})] {
        let answer = resume(scene, &mut line, criteria.clone()).await?;
        expect_code("5.10", &answer, &[400], &format!("a resume by {criteria}"))?;
    }
    let reporter = scene.hyperty("reporter");
    let all = json!({
        "schema": scene.schema, "resource": {"name": "board"}, "data": {"topic": "a"}, "reporter": reporter,
        "identity": scene.identity("alice"),
    });
    let answer = resume(scene, &mut line, json!({"value": all})).await?;
    expect_code("5.10", &answer, &[200], "a resume by all that holds")?;
    ensure_eq!("5.10", resumed(&answer), [object.as_str()], "what is resumed");
    Ok(())
}

/// What the user has and nobody delivers is said to be missing; nothing else is.
async fn missing(scene: &mut Scene) -> Verdict {
    let object = abandoned(scene).await?;
    let record = scene.domain().registration(&object);
    let lost = format!("comm://{}/lost", scene.home);
    let others = [
        (lost.clone(), "alice", "disconnected"),
        (format!("comm://{}/in-use", scene.home), "alice", "live"),
        (format!("comm://{}/deleted", scene.home), "alice", "deleted"),
        (format!("comm://{}/of-mallory", scene.home), "mallory", "disconnected"),
    ];
    for (url, user, status) in &others {
        let mut record = record.clone();
        merge(&mut record, &json!({"url": url, "user": scene.user(user), "status": status}));
        record["runtime"] = json!(format!("hyperty-runtime://{}/elsewhere", scene.home));
        scene.domain().register(record);
    }
    let mut line = scene.seat_of("second", "alice")?;
    let answer = resume(scene, &mut line, json!({"identity": scene.identity("alice")})).await?;
    expect_code("5.10", &answer, &[200], "a resume of what there is")?;
    ensure_eq!("5.10", resumed(&answer), [object.as_str()], "what is resumed");
    ensure_eq!("5.10", answer["body"]["missing"], json!([lost]), "what is missing");
    // Nothing of one's own and nothing lost is nothing.
    let mut mallory = scene.seat_of("mallory", "eve")?;
    let answer = resume(scene, &mut mallory, json!({"identity": scene.identity("eve")})).await?;
    expect_code("5.10", &answer, &[404], "a resume of nothing")?;
    let Some(answer) = answer["body"].get("missing") else { return Ok(()) };
    Err(Failure::new("5.10", format!("missing of one who has nothing: {answer}")).into())
}
