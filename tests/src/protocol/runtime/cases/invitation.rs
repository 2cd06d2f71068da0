//! Invitation and announcement (protocol 5.2): the Sync Manager between a Reporter and those it invites.

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{Reporting, Watching};
use crate::protocol::runtime::line::{Line, expect_code, is, is_kind};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-INV-1/one-create-for-each", ["INV-INV-1", "5.2"], [], one_create_for_each),
        case!("INV-INV-1/who-is-away", ["INV-INV-1"], [], who_is_away),
        case!("INV-INV-2/the-granted-are-not-asked-about", ["INV-INV-2"], [], granted_not_asked_about),
        case!("INV-INV-3/declined", ["INV-INV-3"], [], declined),
        case!("5.2/taken-back", ["5.2", "INV-SUB-7"], [], taken_back),
        case!("5.2/used-and-not-taken-back", ["5.2"], [], used_and_not_taken_back),
        case!("5.2/scope-of-children", ["5.2"], [], scope_of_children),
        case!("5.2/announced", ["5.2", "INV-SUB-7"], [], announced),
        case!("5.2/only-by-the-reporter", ["5.2", "INV-MSG-1"], [], only_by_the_reporter),
    ]
}

/// A runtime elsewhere with a hyperty that can be reached by its own address.
async fn reachable(scene: &Scene, name: &str, object: &str) -> Verdict<Watching> {
    let mut watching = Watching::listen(scene, name, object).await?;
    let (sm, hyperty) = (watching.line.sm(), watching.hyperty.clone());
    let body = json!({"resources": [hyperty], "source": watching.line.url});
    let answer = watching.line.request("subscribe", &sm, &scene.mn(), body).await?;
    expect_code("INV-MN-1", &answer, &[200], "binding the address of a hyperty")?;
    Ok(watching)
}

/// An object that nobody may observe unless invited.
async fn closed(scene: &Scene) -> Verdict<Reporting> {
    Reporting::create(scene, "reporter", json!({})).await
}

/// Asks the Sync Manager to invite; gives the answer.
async fn invite(scene: &Scene, reporting: &mut Reporting, more: Value) -> Verdict<Value> {
    let from = reporting.line.url.clone();
    let mut body = json!({
        "resume": false, "resource": reporting.object, "schema": scene.schema,
        "value": {"url": reporting.object, "name": "board"}, "identity": scene.identity("reporter"),
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    reporting.line.request("create", &from, &scene.sm(), body).await
}

async fn invited(scene: &Scene, reporting: &mut Reporting, who: &[&Watching]) -> Verdict {
    let who: Vec<&String> = who.iter().map(|watching| &watching.hyperty).collect();
    let answer = invite(scene, reporting, json!({"authorise": who})).await?;
    expect_code("5.2", &answer, &[200], "an invitation")
}

async fn invitation(watching: &mut Watching) -> Verdict<Value> {
    let hyperty = watching.hyperty.clone();
    watching.line.until("INV-INV-1", "the invitation", |message| is(message, "create", &hyperty)).await
}

/// What the Reporter hears of an invited hyperty.
async fn relayed(reporting: &mut Reporting, of: &str) -> Verdict<u64> {
    let (object, of) = (reporting.object.clone(), json!(of));
    let relay = |message: &Value| is(message, "response", &object) && message["body"]["source"] == of;
    let answer = reporting.line.until("INV-INV-1", "the answer of an invited hyperty", relay).await?;
    ensure_eq!("5.2", answer["from"], json!(format!("{object}/subscription")), "where an answer comes from");
    Ok(answer["body"]["code"].as_u64().unwrap_or_default())
}

async fn one_create_for_each(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    let mut carol = reachable(scene, "carol", &object).await?;
    invited(scene, &mut reporting, &[&bob, &carol]).await?;
    let mut ids = Vec::new();
    for (watching, code) in [(&mut bob, 200), (&mut carol, 406)] {
        let create = invitation(watching).await?;
        ensure_eq!("5.2", create["from"], json!(format!("{object}/subscription")), "who invites");
        let body = &create["body"];
        ensure_eq!("5.2", body["source"], json!(scene.hyperty("reporter")), "in whose name");
        ensure_eq!("5.2", body["schema"], json!(scene.schema), "the schema");
        ensure_eq!("5.2", body["value"]["url"], json!(object), "the metadata");
        ensure!("5.2", body["value"].get("data").is_none(), "an invitation carries data: {body}");
        ensure!("INV-INV-1", !ids.contains(&create["id"]), "two invitations with the id {}", create["id"]);
        ids.push(create["id"].clone());
        watching.line.answer(&create, json!({"code": 100}));
        ensure_eq!("INV-INV-1", relayed(&mut reporting, &watching.hyperty).await?, 100, "that it arrived");
        watching.line.answer(&create, json!({"code": code, "desc": "said", "description": "said"}));
        ensure_eq!("INV-INV-1", relayed(&mut reporting, &watching.hyperty).await?, code, "what it said");
    }
    for watching in [&mut bob, &mut carol] {
        watching.line.never("INV-INV-1", "a second invitation", |message| is_kind(message, "create")).await?;
    }
    Ok(())
}

async fn who_is_away(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let bob = scene.hyperty("bob");
    let answer = invite(scene, &mut reporting, json!({"authorise": [bob]})).await?;
    expect_code("5.2", &answer, &[200], "an invitation of one who is away")?;
    ensure_eq!("INV-INV-1", relayed(&mut reporting, &bob).await?, 408, "what is said of one who is away");
    // It is granted all the same.
    let mut bob = Watching::listen(scene, "bob", &object).await?;
    let answer = bob.subscribe(json!({})).await?;
    expect_code("INV-INV-2", &answer, &[200], "a subscription of one that was invited")
}

async fn granted_not_asked_about(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    invited(scene, &mut reporting, &[&bob]).await?;
    let create = invitation(&mut bob).await?;
    bob.line.answer(&create, json!({"code": 100}));
    let id = bob.ask(&json!({}));
    let told = reporting.asked("subscribe").await?;
    ensure_eq!("INV-INV-2", told["body"]["authorised"], json!(true), "what the application is told");
    let answer = bob.line.final_answer(&id).await?;
    expect_code("INV-INV-2", &answer, &[200], "a subscription of one that was invited")
}

/// The subscription of somebody who has no grant is the application's to decide, which refuses.
async fn is_asked_about(reporting: &mut Reporting, watching: &mut Watching, rule: &'static str) -> Verdict {
    let id = watching.ask(&json!({}));
    let asked = reporting.asked("subscribe").await?;
    ensure_eq!(rule, asked["body"]["authorised"], json!(false), "what the application is asked");
    reporting.line.answer(&asked, json!({"code": 403, "desc": "no", "description": "no"}));
    let answer = watching.line.final_answer(&id).await?;
    expect_code(rule, &answer, &[403], "a subscription without a grant")
}

async fn declined(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    invited(scene, &mut reporting, &[&bob]).await?;
    let create = invitation(&mut bob).await?;
    bob.line.answer(&create, json!({"code": 100}));
    bob.line.answer(&create, json!({"code": 406, "desc": "no", "description": "no"}));
    while relayed(&mut reporting, &bob.hyperty).await? == 100 {}
    is_asked_about(&mut reporting, &mut bob, "INV-INV-3").await
}

async fn revoke(scene: &Scene, reporting: &mut Reporting, who: &str) -> Verdict<Value> {
    let from = reporting.line.url.clone();
    let body = json!({"resource": reporting.object, "source": who, "reason": "revoked"});
    reporting.line.request("unsubscribe", &from, &scene.sm(), body).await
}

async fn taken_back(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    invited(scene, &mut reporting, &[&bob]).await?;
    let create = invitation(&mut bob).await?;
    bob.line.answer(&create, json!({"code": 100}));
    let answer = revoke(scene, &mut reporting, &bob.hyperty).await?;
    expect_code("5.2", &answer, &[200], "taking a grant back")?;
    is_asked_about(&mut reporting, &mut bob, "5.2").await?;
    let answer = revoke(scene, &mut reporting, &bob.hyperty).await?;
    expect_code("5.2", &answer, &[404], "taking back what there is not")
}

async fn used_and_not_taken_back(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    invited(scene, &mut reporting, &[&bob]).await?;
    let answer = bob.subscribe(json!({})).await?;
    expect_code("INV-INV-2", &answer, &[200], "a subscription of one that was invited")?;
    let answer = revoke(scene, &mut reporting, &bob.hyperty).await?;
    expect_code("5.2", &answer, &[409], "taking back a grant that is used")?;
    reporting.change("topic", json!("b")).await?;
    bob.update().await.map(drop)
}

async fn scope_of_children(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    let scope = json!({"authorise": [bob.hyperty], "scope": {"children": false}});
    let answer = invite(scene, &mut reporting, scope).await?;
    expect_code("5.2", &answer, &[200], "an invitation with a scope")?;
    let create = invitation(&mut bob).await?;
    ensure_eq!("5.2", create["body"]["scope"]["children"], json!(false), "what the invited is told");
    let answer = bob.subscribe(json!({})).await?;
    expect_code("INV-INV-2", &answer, &[200], "a subscription of one that was invited")?;
    let id = format!("{}#1", bob.hyperty);
    let child = json!({
        "resource": id, "value": {"url": id, "reporter": bob.hyperty, "data": {"n": 1}, "version": 0,
        "created": "2023-11-14T22:13:20.000Z", "lastModified": "2023-11-14T22:13:20.000Z"},
    });
    let from = bob.hyperty.clone();
    let answer = bob.line.request("create", &from, &format!("{object}/children/notes"), child).await?;
    expect_code("5.2", &answer, &[403], "a child beyond the scope")
}

async fn announced(scene: &mut Scene) -> Verdict {
    let mut reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    let answer = invite(scene, &mut reporting, json!({"announce": [bob.hyperty]})).await?;
    expect_code("5.2", &answer, &[200], "an announcement")?;
    let create = invitation(&mut bob).await?;
    bob.line.answer(&create, json!({"code": 100}));
    is_asked_about(&mut reporting, &mut bob, "5.2").await
}

async fn only_by_the_reporter(scene: &mut Scene) -> Verdict {
    let reporting = closed(scene).await?;
    let object = reporting.object.clone();
    let mut bob = reachable(scene, "bob", &object).await?;
    let mut mallory: Line = scene.seat("mallory")?;
    let from = mallory.url.clone();
    let body = |object: &str| json!({"resource": object, "value": {}, "authorise": [bob.hyperty]});
    let (own, unknown) = (body(&object), body(&format!("comm://{}/nothing", scene.home)));
    let answer = mallory.request("create", &from, &scene.sm(), own).await?;
    expect_code("5.2", &answer, &[403], "an invitation by somebody else")?;
    let answer = mallory.request("create", &from, &scene.sm(), unknown).await?;
    expect_code("5.2", &answer, &[404], "an invitation to nothing")?;
    bob.line.never("5.2", "an invitation by somebody else", |message| is_kind(message, "create")).await
}
