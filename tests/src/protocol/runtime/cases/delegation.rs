//! An object changes hands (protocol 5.11): what the giving side promises to who takes it, and to its own Reporter.

use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::Ending;
use crate::protocol::runtime::actors::Reporting;
use crate::protocol::runtime::line::{Line, expect_code, is};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-DLG-1/given-once", ["INV-DLG-1", "INV-DLG-2", "INV-DLG-6"], [], given_once),
        case!("INV-DLG-5/declined", ["INV-DLG-5"], [], declined),
        case!("INV-DLG-5/not-stopped-in-time", ["INV-DLG-5", "INV-DLG-1"], [], not_stopped_in_time),
        case!("INV-DLG-7/given-stays-given", ["INV-DLG-7", "INV-DLG-1"], [Crash, Store], given_stays_given),
    ]
}

/// One who is offered an object: a hyperty of a runtime elsewhere, with its Sync Manager.
struct Target {
    line: Line,
    hyperty: String,
}

impl Target {
    async fn join(scene: &Scene, name: &str) -> Verdict<Target> {
        let mut line = scene.peer(name).await?;
        let hyperty = scene.hyperty(name);
        scene.make_found(&mut line, &hyperty).await?;
        Ok(Target { line, hyperty })
    }

    /// The offer, when it comes; gives it and the name of the offer.
    async fn offered(&mut self, object: &str) -> Verdict<(Value, String)> {
        let to = self.hyperty.clone();
        let offer = self.line.until("INV-DLG-6", "the offer", |m| is(m, "create", &to)).await?;
        ensure_eq!("5.11", offer["body"]["delegate"], json!(to), "to whom it is offered");
        ensure!("5.11", offer["body"]["value"]["url"] == *object, "the offer does not tell the object");
        self.line.answer(&offer, json!({"code": 100}));
        let name = offer["body"]["delegation"].as_str().unwrap_or_default().to_owned();
        Ok((offer, name))
    }

    fn claim(&self, object: &str, to: &str, offer: &str) -> Value {
        let body = json!({
            "type": "create", "from": self.hyperty, "to": object, "resource": object, "delegate": self.hyperty,
            "delegation": offer, "source": self.line.sm(),
        });
        self.line.send("forward", &self.line.sm(), to, body)
    }
}

fn offer(scene: &Scene, reporting: &Reporting, target: &Target) -> Value {
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let body = json!({"resource": reporting.object, "schema": scene.schema, "delegate": target.hyperty});
    reporting.line.send("create", &own, &sm, body)
}

async fn freeze(reporting: &mut Reporting) -> Verdict<Value> {
    let own = reporting.line.url.clone();
    let wanted = |m: &Value| is(m, "execute", &own) && m["body"]["method"] == "freeze";
    reporting.line.until("INV-DLG-2", "that the Reporter is stopped", wanted).await
}

async fn given_once(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut target = Target::join(scene, "target").await?;
    let mut rival = Target::join(scene, "rival").await?;
    reporting.change("n", json!(1)).await?;
    let asked = offer(scene, &reporting, &target);
    let (offer_message, name) = target.offered(&object).await?;
    let second = offer(scene, &reporting, &rival);
    expect_code("INV-DLG-1", &reporting.line.final_answer(&second).await?, &[409], "a second offer")?;
    let forged = rival.claim(&object, &scene.sm(), &name);
    expect_code("INV-DLG-1", &rival.line.final_answer(&forged).await?, &[403], "a claim by another")?;

    let claim = target.claim(&object, &format!("{object}/subscription"), &name);
    let stop = freeze(&mut reporting).await?;
    // Sent before the answer: it belongs to what is given.
    let last = reporting.put("n", json!(2));
    reporting.line.answer(&stop, json!({"code": 200}));
    let grant = target.line.final_within(&claim, RESPONSE_TIME).await?;
    expect_code("INV-DLG-1", &grant, &[200], "a claim")?;
    let body = &grant["body"];
    ensure_eq!("INV-DLG-1", body["epoch"], json!(1), "the epoch of the new owner");
    ensure_eq!("INV-DLG-2", body["value"]["version"], json!(2), "the version that is given");
    ensure_eq!("INV-DLG-2", body["value"]["data"]["n"], json!(2), "the data that is given");
    let observers = body["subscriptions"].as_array().cloned().unwrap_or_default();
    ensure!(
        "INV-DLG-3",
        observers.contains(&json!(reporting.line.url)),
        "the former Reporter does not observe"
    );
    expect_code("INV-DLG-2", &reporting.line.final_answer(&last).await?, &[200], "the last change")?;

    let again = target.claim(&object, &scene.sm(), &name);
    let again = target.line.final_answer(&again).await?;
    expect_code("INV-DLG-7", &again, &[200], "the same claim again")?;
    ensure_eq!("INV-DLG-7", again["body"]["epoch"], json!(1), "the epoch of the same claim");
    let late = reporting.put("n", json!("late"));
    let answer = reporting.line.maybe(|m| m["id"] == late && m["body"]["code"] == 200).await;
    ensure!("INV-DLG-1", answer.is_none(), "the former Reporter still changes the object");
    target.line.answer(&offer_message, json!({"code": 200, "delegation": name}));
    let done = reporting.line.final_within(&asked, RESPONSE_TIME).await?;
    expect_code("INV-DLG-6", &done, &[200], "a delegation")?;
    ensure_eq!("INV-DLG-6", done["body"]["value"]["reporter"], json!(target.hyperty), "who reports it");
    let (own, sm) = (reporting.line.url.clone(), scene.sm());
    let answer = reporting.line.request("delete", &own, &sm, json!({"resource": object})).await?;
    expect_code("INV-DLG-6", &answer, &[403], "a deletion by the former Reporter")
}

async fn declined(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut target = Target::join(scene, "target").await?;
    let asked = offer(scene, &reporting, &target);
    let (message, name) = target.offered(&object).await?;
    target.line.answer(&message, json!({"code": 406, "desc": "no time"}));
    expect_code(
        "INV-DLG-5",
        &reporting.line.final_answer(&asked).await?,
        &[406],
        "an offer that is declined",
    )?;
    let claim = target.claim(&object, &scene.sm(), &name);
    expect_code("INV-DLG-5", &target.line.final_answer(&claim).await?, &[404], "a claim after it")?;
    reporting.change("n", json!(1)).await?;
    let again = offer(scene, &reporting, &target);
    let (message, other) = target.offered(&object).await?;
    ensure!("INV-DLG-5", other != name, "two offers of one name");
    target.line.answer(&message, json!({"code": 406}));
    expect_code("INV-DLG-5", &reporting.line.final_answer(&again).await?, &[406], "an offer that is declined")
}

async fn not_stopped_in_time(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut target = Target::join(scene, "target").await?;
    let asked = offer(scene, &reporting, &target);
    let (_, name) = target.offered(&object).await?;
    let claim = target.claim(&object, &format!("{object}/subscription"), &name);
    freeze(&mut reporting).await?;
    scene.stage.wait(Duration::from_secs(6), "the time in which a Reporter is stopped").await?;
    let refused = target.line.final_within(&claim, RESPONSE_TIME).await?;
    expect_code("INV-DLG-5", &refused, &[412, 404], "a claim of an object whose Reporter goes on")?;
    expect_code("INV-DLG-5", &reporting.line.final_answer(&asked).await?, &[412], "the offer")?;
    reporting.change("n", json!(1)).await?;
    let claim = target.claim(&object, &scene.sm(), &name);
    expect_code("INV-DLG-1", &target.line.final_answer(&claim).await?, &[404, 412], "a late claim")
}

async fn given_stays_given(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    let object = reporting.object.clone();
    let mut target = Target::join(scene, "target").await?;
    reporting.change("n", json!(1)).await?;
    offer(scene, &reporting, &target);
    let (_, name) = target.offered(&object).await?;
    let claim = target.claim(&object, &format!("{object}/subscription"), &name);
    let stop = freeze(&mut reporting).await?;
    reporting.line.answer(&stop, json!({"code": 200}));
    expect_code("INV-DLG-1", &target.line.final_answer(&claim).await?, &[200], "a claim")?;
    scene.restart(Ending::Crash).await?;
    let mut line = scene.seat("reporter")?;
    let own = line.url.clone();
    let resumed = line.request("create", &own, &scene.sm(), json!({"resume": true})).await?;
    let is_there =
        resumed["body"]["value"].as_array().is_some_and(|all| all.iter().any(|one| one["url"] == *object));
    ensure!("INV-DLG-7", !is_there, "an object that was given away comes back to its former Reporter");
    let again = target.claim(&object, &scene.sm(), &name);
    let again = target.line.final_within(&again, RESPONSE_TIME).await?;
    expect_code("INV-DLG-7", &again, &[200], "the claim after a crash")?;
    ensure_eq!("INV-DLG-7", again["body"]["epoch"], json!(1), "the epoch after a crash");
    ensure_eq!("INV-DLG-7", again["body"]["value"]["data"]["n"], json!(1), "the data after a crash");
    Ok(())
}
