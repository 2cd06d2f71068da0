//! Resume of both sides after a restart, clean or like a crash (protocol 5.10, M8, INV-RES-…), and reconnects.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use super::resume_observers::{
    answers_to_a_resuming_observer, observer, observer_reconnects, resume_observer,
    resumed_with_reporter_away,
};
use super::resume_unfinished::{child_through_a_crash, creation_is_taken_back, deletion_goes_on};
use crate::protocol::runtime::Ending;
use crate::protocol::runtime::actors::{Author, Following, NAMES, Reporting, Watching, child};
use crate::protocol::runtime::line::{Line, expect_code, is, is_change, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Failure, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-RES-1/reporter-clean", ["INV-RES-1", "INV-DOM-7"], [Restart, Store], reporter_clean),
        case!("INV-RES-1/reporter-crash", ["INV-RES-1", "INV-DOM-7"], [Crash, Store], reporter_crash),
        case!(
            "INV-DOM-7/published-is-kept",
            ["INV-DOM-7", "INV-RES-1", "INV-RES-7"],
            [Crash, Store],
            published_is_kept
        ),
        case!(
            "INV-RES-1/refused-stay-refused",
            ["INV-SUB-3", "INV-RES-1", "INV-UNS-2"],
            [Crash, Store],
            refused_stay_refused
        ),
        case!("M8/data-not-kept", ["M8", "INV-RES-1"], [Crash, Store], data_not_kept),
        case!("INV-RES-2/observer", ["INV-RES-2", "INV-EXT-1"], [Crash, Store, Since], observer),
        case!(
            "INV-RES-2/answers-to-a-resuming-observer",
            ["INV-RES-2", "INV-SUB-7"],
            [Crash, Store],
            answers_to_a_resuming_observer
        ),
        case!("INV-RES-2/reporter-away", ["INV-RES-2", "M12"], [Crash, Store], resumed_with_reporter_away),
        case!("INV-RES-3/twice", ["INV-RES-3"], [Crash, Store], twice),
        case!("INV-RES-4/only-ones-own", ["INV-RES-4", "INV-MSG-1"], [Crash, Store], only_ones_own),
        case!("INV-RES-6/without-opt-in", ["INV-RES-6"], [Crash, Store], without_opt_in),
        case!(
            "INV-RES-7/deletion-goes-on",
            ["INV-RES-7", "INV-DEL-1", "INV-DEL-3"],
            [Crash, Store, Scripted],
            deletion_goes_on
        ),
        case!(
            "INV-RES-7/creation-is-taken-back",
            ["INV-RES-7", "INV-CRE-2"],
            [Crash, Store, Scripted],
            creation_is_taken_back
        ),
        case!(
            "M18/child-through-a-crash",
            ["M18", "INV-CHD-1"],
            [Crash, Store, Children],
            child_through_a_crash
        ),
        case!("INV-SES-1/observer-reconnects", ["INV-SES-1", "M11"], [], observer_reconnects),
        case!("INV-SES-1/domain-forgets", ["INV-SES-1", "INV-CRE-1"], [Scripted], domain_forgets),
    ]
}

/// Resumes a Reporter's hyperty; gives the snapshots.
pub(super) async fn resume_reporter(scene: &Scene, name: &str) -> Verdict<(Line, Value)> {
    let mut line = scene.seat(name)?;
    let own = line.url.clone();
    let answer = line.request("create", &own, &scene.sm(), json!({"resume": true})).await?;
    Ok((line, answer))
}

pub(super) fn only(answer: &Value) -> Verdict<Value> {
    match answer["body"]["value"].as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one.clone()),
        _ => Err(Failure::new("INV-RES-1", format!("not one object was resumed: {answer}")).into()),
    }
}

async fn restarted_reporter(scene: &mut Scene, ending: Ending) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own) = (reporting.object.clone(), reporting.line.url.clone());
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    let body = child(&object, &own, 1, json!({"text": "hi"}));
    let notes = reporting.children("notes");
    expect_code(
        "INV-CHD-1",
        &reporting.line.request("create", &own, &notes, body).await?,
        &[200],
        "a child",
    )?;
    for n in 1..=5 {
        reporting.change("n", json!(n)).await?;
        watching.update_by("INV-RES-1").await?;
    }
    scene.leave(reporting.line);
    scene.restart(ending).await?;

    let (line, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("INV-RES-1", &answer, &[200], "a resume")?;
    let value = only(&answer)?;
    ensure_eq!("INV-RES-1", value["url"], json!(object), "the object");
    ensure_eq!("INV-RES-1", value["version"], json!(5), "its version");
    ensure_eq!("INV-RES-1", value["data"], json!({"topic": "a", "n": 5}), "its data");
    let text = &value["childrenObjects"]["notes"][format!("{own}#1")]["value"]["data"]["text"];
    ensure_eq!("INV-RES-1", *text, json!("hi"), "its child");
    let mut reporting = Reporting { line, object: object.clone(), version: 5 };
    let routes = scene.held_when(&object, |held| held.routes.len() == 2 + NAMES.len()).await.routes;
    ensure!("INV-RES-1", routes.len() == 2 + NAMES.len(), "the routes after a resume: {routes:?}");
    // The observer does nothing of its own.
    reporting.change("n", json!(6)).await?;
    let told = watching.update_by("INV-RES-1").await?;
    ensure_eq!("INV-RES-1", (&told["version"], &told["value"]), (&json!(6), &json!(6)), "the next change");
    let answer = watching.read(Some((0, 4))).await?;
    expect_code("INV-RES-1", &answer, &[200], "a repair after a restart")?;
    Ok(())
}

async fn reporter_clean(scene: &mut Scene) -> Verdict {
    restarted_reporter(scene, Ending::Clean).await
}

async fn reporter_crash(scene: &mut Scene) -> Verdict {
    restarted_reporter(scene, Ending::Crash).await
}

/// Whatever an observer has seen, and whatever was acknowledged, is there after a crash at that moment.
async fn published_is_kept(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    let mut seen = 0;
    for round in 0..4_u64 {
        for n in 0..6 {
            reporting.put("n", json!([round, n]));
        }
        // As soon as the first of them arrives.
        let wanted = |message: &Value| is_change(message, &object);
        let update = watching.line.until("INV-UPD-1", "a change", wanted).await?;
        seen = seen.max(update["body"]["version"].as_u64().unwrap_or(0));
        scene.leave(reporting.line);
        scene.restart(Ending::Crash).await?;
        for message in watching.line.rest().await.iter().filter(|message| wanted(message)) {
            seen = seen.max(message["body"]["version"].as_u64().unwrap_or(0));
        }
        let (line, answer) = resume_reporter(scene, "reporter").await?;
        expect_code("INV-RES-1", &answer, &[200], "a resume")?;
        let value = only(&answer)?;
        let version = value["version"].as_u64().unwrap_or(0);
        let same_epoch = value["epoch"].as_u64().unwrap_or(0) == 0;
        ensure!("INV-DOM-7", !same_epoch || version >= seen, "version {seen} was seen, {version} was kept");
        // And what comes next is another version than any that was seen.
        reporting = Reporting { line, object: object.clone(), version };
        reporting.change("m", json!(round)).await?;
    }
    Ok(())
}

async fn refused_stay_refused(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::create(scene, "reporter", json!({"store": true})).await?;
    let object = reporting.object.clone();
    let mut kept = Vec::new();
    for (name, verdict) in [("accepted", 200), ("refused", 403), ("left", 200)] {
        let mut watching = Watching::listen(scene, name, &object).await?;
        let id = watching.ask(&json!({"resumable": true}));
        reporting.decide("subscribe", json!({"code": verdict, "desc": "decided"})).await?;
        let answer = watching.line.final_answer(&id).await?;
        expect_code("INV-SUB-3", &answer, &[verdict], "a decision")?;
        if name == "left" {
            expect_code("INV-UNS-2", &watching.leave().await?, &[200], "leaving")?;
        }
        kept.push(watching);
    }
    reporting.change("n", json!(1)).await?;
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    let (line, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("INV-RES-1", &answer, &[200], "a resume")?;
    let mut reporting = Reporting { line, object: object.clone(), version: 1 };
    for watching in &mut kept {
        watching.line.rest().await;
    }
    reporting.change("n", json!(2)).await?;
    for (n, watching) in kept.iter_mut().enumerate() {
        if n == 0 {
            ensure_eq!(
                "INV-RES-1",
                watching.update_by("INV-RES-1").await?["version"],
                json!(2),
                "the accepted observer"
            );
            expect_code("INV-RES-1", &watching.read(None).await?, &[200], "its read")?;
            continue;
        }
        let invariant = if n == 1 { "INV-SUB-3" } else { "INV-UNS-2" };
        // One that still listens at the node hears what the others are sent; that it is no observer shows when it
        // speaks for itself.
        let id = watching.line.send("read", &watching.hyperty, &object, json!({}));
        let asked = is_question(&mut reporting, "read").await;
        ensure!(invariant, asked, "a read of one that is no observer was not asked about");
        let answer = watching.line.final_answer(&id).await?;
        expect_code(invariant, &answer, &[401], "the read of one that is no observer")?;
    }
    Ok(())
}

/// Whether the Reporter is asked; it refuses.
async fn is_question(reporting: &mut Reporting, kind: &str) -> bool {
    let url = reporting.line.url.clone();
    let asked = |message: &Value| is(message, "forward", &url) && message["body"]["type"] == kind;
    match reporting.line.until("INV-SUB-7", "a question", asked).await {
        Ok(question) if question["body"]["authorised"] != true => {
            reporting.line.answer(&question, json!({"code": 401, "desc": "no"}));
            true
        }
        _ => false,
    }
}

/// Without its data the object comes back in a new epoch: no copy is silently wrong.
async fn data_not_kept(scene: &mut Scene) -> Verdict {
    let everybody = format!("hyperty://{}/*", scene.home);
    let more = json!({"store": false, "resumable": true, "value": {"authorise": [everybody]}});
    let mut reporting = Reporting::create(scene, "reporter", more).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    for n in 1..=3 {
        reporting.change("n", json!(n)).await?;
    }
    // The list of observers is written behind their backs.
    scene.settle().await;
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    let (line, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("M8", &answer, &[200], "a resume")?;
    let value = only(&answer)?;
    let (epoch, version) = (value["epoch"].as_u64().unwrap_or(0), value["version"].as_u64().unwrap_or(0));
    ensure!("M8", epoch >= 1, "an object that lost its data came back in its old epoch: {value}");
    // Who resumes does not wait for the node to know the way again.
    scene.held_when(&object, |held| held.routes.contains(&object)).await;
    let answer = watching.read(Some((0, 3))).await?;
    ensure!("M8", answer["body"]["recovered"] != true, "changes across a broken history: {answer}");
    ensure_eq!("M8", answer["body"]["value"]["epoch"], json!(epoch), "the epoch that readers get");
    let mut reporting = Reporting { line, object, version };
    watching.line.rest().await;
    reporting.change("n", json!("anew")).await?;
    ensure_eq!(
        "M8",
        watching.update_by("INV-RES-1").await?["epoch"],
        json!(epoch),
        "the epoch of the next change"
    );
    Ok(())
}

async fn twice(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, true).await?;
    reporting.change("n", json!(1)).await?;
    watching.update_by("INV-RES-1").await?;
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    let mut line = scene.seat("reporter")?;
    let (own, sm) = (line.url.clone(), scene.sm());
    let ids: Vec<Value> = (0..3).map(|_| line.send("create", &own, &sm, json!({"resume": true}))).collect();
    for id in &ids {
        let answer = line.final_answer(id).await?;
        expect_code("INV-RES-3", &answer, &[200], "one of three resumes at once")?;
        ensure_eq!("INV-RES-3", only(&answer)?["version"], json!(1), "what each finds");
    }
    let mut reporting = Reporting { line, object: object.clone(), version: 1 };
    reporting.change("n", json!(2)).await?;
    ensure_eq!("INV-RES-3", watching.update_by("INV-RES-1").await?["version"], json!(2), "the next change");
    watching.line.never("INV-RES-3", "the change again", |message| is_change(message, &object)).await
}

async fn only_ones_own(scene: &mut Scene) -> Verdict {
    let reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    scene.leave(reporting.line);
    scene.restart(Ending::Crash).await?;
    for (name, resource) in [("stranger", Value::Null), ("other", json!(object))] {
        let mut line = scene.seat(name)?;
        let (own, sm) = (line.url.clone(), scene.sm());
        for kind in ["create", "subscribe"] {
            let mut body = json!({"resume": true});
            if !resource.is_null() {
                body["resource"] = resource.clone();
            }
            let answer = line.request(kind, &own, &sm, body).await?;
            expect_code("INV-RES-4", &answer, &[403, 404], "resuming what is another's")?;
            ensure!("INV-RES-4", !answer.to_string().contains("topic"), "data in a refusal: {answer}");
        }
    }
    let (_, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("INV-RES-1", &answer, &[200], "resuming one's own")
}

async fn without_opt_in(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let reporting = Reporting::create(scene, "reporter", json!({"store": false})).await?;
    let following = Following::join(scene, "observer", &mut author, false).await?;
    scene.leave(reporting.line);
    scene.leave(following.line);
    scene.restart(Ending::Clean).await?;
    let (_, answer) = resume_reporter(scene, "reporter").await?;
    expect_code("INV-RES-6", &answer, &[404], "resuming an object that was not to be kept")?;
    let (_, answer) = resume_observer(scene, "observer").await?;
    expect_code("INV-RES-6", &answer, &[404], "resuming an observation that was not to be kept")?;
    let unasked = |message: &Value| is_kind(message, "read") || is_kind(message, "subscribe");
    author.line.never("INV-RES-6", "a question for what was not to be kept", unasked).await
}

/// The node is gone and comes back without any memory: routes and registrations are told again.
async fn domain_forgets(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let object = reporting.object.clone();
    let before = scene.held(&object);
    scene.domain().leave();
    scene.settle().await;
    reporting.change("n", json!(1)).await?;
    scene.domain().come_back();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = scene.held_when(&object, |held| *held == before).await;
    ensure_eq!("INV-SES-1", after, before, "what the node knows after it came back");
    let (mut watching, answer) = Watching::join(scene, "watcher", &object, false).await?;
    ensure_eq!(
        "INV-CRE-1",
        answer["value"]["version"],
        json!(1),
        "the object, through the node that came back"
    );
    reporting.change("n", json!(2)).await?;
    ensure_eq!("INV-SES-1", watching.update_by("INV-RES-1").await?["version"], json!(2), "the stream");
    Ok(())
}
