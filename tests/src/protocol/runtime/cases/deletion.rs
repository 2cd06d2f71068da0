//! Deletion of an object (protocol 5.8), from both sides.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::Held;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching, child};
use crate::protocol::runtime::line::{expect_code, is, is_change, is_final, is_kind};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-DEL-2/everybody-is-told", ["INV-DEL-2", "INV-DEL-1", "INV-DEL-3"], [], everybody_is_told),
        case!("INV-DEL-5/observers-dead", ["INV-DEL-5", "INV-MSG-3"], [], observers_dead),
        case!("INV-DEL-4/only-the-reporter", ["INV-DEL-4"], [], only_the_reporter),
        case!("INV-DEL-2/at-the-observer", ["INV-DEL-2", "INV-DEL-4"], [], at_the_observer),
        case!("INV-DEL-2/learnt-by-a-repair", ["INV-DEL-2", "M12"], [], learnt_by_a_repair),
        case!("M12/no-route-deletes-nothing", ["M12"], [], no_route_deletes_nothing),
        case!("INV-CHD-6/children-end-with-it", ["INV-CHD-6", "INV-DEL-1"], [], children_end_with_it),
    ]
}

async fn everybody_is_told(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut one, _) = Watching::join(scene, "one", &object, false).await?;
    let (mut two, _) = Watching::join(scene, "two", &object, false).await?;
    let mut here = Following::sit(scene, "observer", &object)?;
    let id = here.ask(scene, json!({}));
    here.accepted(&id).await?;
    reporting.change("n", json!(1)).await?;

    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let id = reporting.line.send("delete", &own, &sm, json!({"resource": object}));
    let changes = format!("{object}/changes");
    let mut requests = Vec::new();
    for watching in [&mut one, &mut two] {
        let told = watching.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
        ensure_eq!("INV-DEL-4", told["from"], json!(format!("{object}/subscription")), "who deletes");
        requests.push(told);
    }
    here.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
    // New observers are too late while it is under way.
    let mut late = Watching::listen(scene, "late", &object).await?;
    expect_code("INV-DEL-3", &late.subscribe(json!({})).await?, &[404, 410], "subscribing meanwhile")?;
    for (watching, request) in [&one, &two].into_iter().zip(&requests) {
        watching.line.answer(request, json!({"code": 200, "source": watching.line.url}));
    }
    let answer = reporting.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-DEL-1", &answer, &[200], "a deletion")?;
    for line in [&mut one.line, &mut two.line, &mut here.line] {
        line.never("INV-DEL-2", "the deletion again", |message| is(message, "delete", &changes)).await?;
    }
    let left = scene.held_when(&object, Held::is_nothing).await;
    ensure_eq!("INV-DEL-1", left, Held::default(), "what is left at the node");
    let from = format!("{}/registry", one.line.url);
    let answer = one.line.request("read", &from, &scene.reg(), json!({"resource": object})).await?;
    expect_code("INV-DEL-3", &answer, &[404, 408, 410], "asking the registry after it")?;
    let answer = reporting.line.request("delete", &own, &sm, json!({"resource": object})).await?;
    expect_code("INV-DEL-1", &answer, &[404, 410], "deleting twice")?;
    let id = reporting.put("n", json!("late"));
    let unwanted = |message: &Value| is_change(message, &object) && message["body"]["value"] == "late";
    one.line.never("INV-DEL-1", "a change after it", unwanted).await?;
    let late = reporting.line.maybe(|m| is_kind(m, "response") && m["id"] == id).await;
    ensure!(
        "INV-DEL-1",
        late.is_none_or(|m| m["body"]["code"] != 200),
        "a change after the deletion was taken"
    );
    Ok(())
}

async fn observers_dead(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (one, _) = Watching::join(scene, "mute", &object, false).await?;
    let (two, _) = Watching::join(scene, "gone", &object, true).await?;
    drop(two);
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let id = reporting.line.send("delete", &own, &sm, json!({"resource": object}));
    scene.stage.wait(Duration::from_secs(5), "the time to acknowledge").await?;
    let answer = reporting.line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-DEL-5", &answer, &[200], "a deletion that nobody acknowledges")?;
    let left = scene.held_when(&object, Held::is_nothing).await;
    ensure_eq!("INV-DEL-1", left, Held::default(), "what is left at the node");
    drop(one);
    Ok(())
}

async fn only_the_reporter(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let mut stranger = scene.seat("stranger")?;
    let (own, sm) = (stranger.url.clone(), scene.sm());
    let answer = stranger.request("delete", &own, &sm, json!({"resource": object})).await?;
    expect_code("INV-DEL-4", &answer, &[403], "a deletion by a stranger")?;
    stranger.send("delete", &reporting.line.url, &sm, json!({"resource": object}));
    watching.line.send("delete", &reporting.line.url, &sm, json!({"resource": object}));
    watching.line.send(
        "delete",
        &watching.line.sm(),
        &format!("{object}/subscription"),
        json!({"resource": object}),
    );
    watching.line.send("delete", &watching.line.sm(), &object, json!({"resource": object}));
    let changes = format!("{object}/changes");
    watching.line.never("INV-DEL-4", "a deletion", |message| is(message, "delete", &changes)).await?;
    let (own, nowhere) = (reporting.line.url.clone(), format!("comm://{}/nowhere", scene.home));
    let answer = reporting.line.request("delete", &own, &sm, json!({"resource": nowhere})).await?;
    expect_code("INV-DEL-4", &answer, &[404], "deleting what is not there")?;
    let answer = reporting.line.request("delete", &own, &sm, json!({})).await?;
    expect_code("INV-MSG-1", &answer, &[400], "deleting nothing")?;
    reporting.change("n", json!(1)).await?;
    ensure_eq!("INV-DEL-4", watching.update().await?["version"], json!(1), "the stream after forgeries");
    Ok(())
}

async fn at_the_observer(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut one = Following::join(scene, "one", &mut author, true).await?;
    let mut two = Following::join(scene, "two", &mut author, false).await?;
    let changes = format!("{}/changes", author.object);
    let from = format!("{}/subscription", author.object);
    let id = author.line.send("delete", &from, &changes, json!({"resource": author.object}));
    let acknowledged = |message: &Value| is_final(message, &id);
    let answer = author.line.until("INV-DEL-2", "the acknowledgement of a deletion", acknowledged).await?;
    expect_code("INV-DEL-2", &answer, &[200], "the acknowledgement of a deletion")?;
    ensure_eq!("5.8", answer["from"], json!(changes), "from where it is acknowledged");
    let source = answer["body"]["source"].as_str().unwrap_or_default();
    ensure!("5.8", source.starts_with(&scene.url), "who acknowledges: {answer}");
    for following in [&mut one, &mut two] {
        following.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
        following.line.never("INV-DEL-2", "the deletion again", |m| is(m, "delete", &changes)).await?;
    }
    scene.stage.wait(Duration::from_secs(3), "routes that are taken back").await?;
    let left = scene.held_when(&author.object, Held::is_nothing).await;
    ensure_eq!("INV-DEL-2", left, Held::default(), "what is left at the node");
    author.line.never("INV-DEL-2", "the acknowledgement again", |m| is_kind(m, "response")).await?;
    author.publish("n", json!(1));
    let object = author.object.clone();
    one.line.never("INV-DEL-2", "a change after it", |message| is_change(message, &object)).await
}

async fn learnt_by_a_repair(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    author.commit("lost", json!(1));
    author.publish("n", json!(2));
    let read = author.read_request("INV-DEL-2").await?;
    author.line.answer(&read, json!({"code": 410, "desc": "deleted", "reason": "deleted"}));
    let changes = format!("{}/changes", author.object);
    following.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
    scene.stage.wait(Duration::from_secs(3), "routes that are taken back").await?;
    let left = scene.held_when(&author.object, Held::is_nothing).await;
    ensure_eq!("INV-DEL-2", left, Held::default(), "what is left at the node");
    Ok(())
}

async fn no_route_deletes_nothing(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let mut following = Following::join(scene, "observer", &mut author, true).await?;
    author.publish("n", json!(1));
    following.update().await?;
    author.commit("lost", json!(2));
    author.publish("n", json!(3));
    let read = author.read_request("INV-DEL-2").await?;
    let body = json!({"code": 404, "desc": "no route", "reason": "no-route", "source": scene.mn()});
    author.line.answer(&read, body);
    let changes = format!("{}/changes", author.object);
    following.line.never("M12", "a deletion", |message| is(message, "delete", &changes)).await?;
    let copy = following.read(scene).await?;
    expect_code("M12", &copy, &[200], "a read of the copy")?;
    let object = author.object.clone();
    let again =
        author.line.until_within("M12", "another try", Duration::from_secs(60), |m| is(m, "read", &object));
    let again = again.await?;
    author.answer_read(&again);
    following.reach(scene, "M12", 3).await?;
    ensure_eq!("M12", following.data["n"], json!(3), "the copy");
    Ok(())
}

async fn children_end_with_it(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let (object, own) = (reporting.object.clone(), reporting.line.url.clone());
    let (mut watching, _) = Watching::join(scene, "watcher", &object, false).await?;
    let notes = reporting.children("notes");
    let first = child(&object, &own, 1, json!({"text": "hi"}));
    expect_code(
        "INV-CHD-1",
        &reporting.line.request("create", &own, &notes, first).await?,
        &[200],
        "a child",
    )?;
    let sm = scene.sm();
    let id = reporting.line.send("delete", &own, &sm, json!({"resource": object}));
    let changes = format!("{object}/changes");
    let told = watching.line.until("INV-DEL-2", "the deletion", |m| is(m, "delete", &changes)).await?;
    watching.line.answer(&told, json!({"code": 200, "source": watching.line.url}));
    expect_code("INV-DEL-1", &reporting.line.final_within(&id, RESPONSE_TIME).await?, &[200], "a deletion")?;
    watching.line.rest().await;
    let late = child(&object, &own, 2, json!({"text": "late"}));
    reporting.line.send("create", &own, &notes, late);
    let unwanted = |message: &Value| is(message, "create", &notes);
    watching.line.never("INV-CHD-6", "a child of a deleted object", unwanted).await?;
    let answered = |message: &Value| is_kind(message, "response") && message["body"]["code"] == 200;
    reporting.line.never("INV-CHD-6", "an acceptance", |m| answered(m) && m["from"] == notes.as_str()).await
}
