//! Creation of an object (protocol 5.1).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::case;
use crate::protocol::runtime::actors::{NAMES, Reporting, Watching};
use crate::protocol::runtime::boundary::Entry;
use crate::protocol::runtime::line::{Line, code, expect_code, is_kind};
use crate::protocol::runtime::scene::{RESPONSE_TIME, Scene, Subject};
use crate::protocol::runtime::{Held, Script, Service};
use crate::protocol::{Case, Failure, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-CRE-1/routes-and-answer", ["INV-CRE-1", "INV-CRE-5", "INV-CRE-4"], [], routes_and_answer),
        case!("INV-CRE-3/addresses-differ", ["INV-CRE-3", "INV-CRE-6"], [], addresses_differ),
        case!("INV-CRE-4/as-asked-for", ["INV-CRE-4", "INV-CRE-1"], [], as_asked_for),
        case!("INV-CRE-2/malformed", ["INV-CRE-2", "INV-MSG-1"], [], malformed),
        case!("INV-CRE-2/allocation-refused", ["INV-CRE-2", "INV-MSG-1"], [Scripted], allocation_refused),
        case!("INV-CRE-2/routes-refused", ["INV-CRE-2", "INV-MSG-1"], [Scripted], routes_refused),
        case!("INV-CRE-2/registry-refused", ["INV-CRE-2", "INV-MSG-1"], [Scripted], registry_refused),
        case!("INV-CRE-2/routes-mute", ["INV-CRE-2", "INV-MSG-3"], [Scripted], routes_mute),
        case!("INV-CRE-2/registry-mute", ["INV-CRE-2", "INV-MSG-3"], [Scripted], registry_mute),
        case!("INV-CRE-2/answer-lost", ["INV-CRE-2", "INV-MSG-3"], [Scripted], answer_lost),
        case!("INV-CRE-2/unknown-schema", ["INV-CRE-2", "INV-MSG-1"], [], unknown_schema),
        case!("5.0/only-in-ones-own-name", ["5.0", "INV-MSG-1"], [], only_in_ones_own_name),
        case!("M23/data-is-validated", ["M23"], [], data_is_validated),
        case!("5.1.3/reuse", ["INV-RES-4", "INV-MSG-1"], [], reuse),
    ]
}

fn routed(object: &str) -> BTreeSet<String> {
    let mut urls = BTreeSet::from([object.to_owned(), format!("{object}/subscription")]);
    urls.extend(NAMES.map(|name| format!("{object}/children/{name}")));
    urls
}

async fn routes_and_answer(scene: &mut Scene) -> Verdict {
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let body = Reporting::creation(scene, "reporter", &json!({}));
    let answer = line.request("create", &from, &scene.sm(), body).await?;
    expect_code("INV-CRE-1", &answer, &[200], "a creation")?;
    ensure_eq!("INV-CRE-1", answer["from"], json!(scene.sm()), "who answers a creation");
    let object = answer["body"]["resource"].as_str().unwrap_or_default().to_owned();
    let prefix = format!("comm://{}/", scene.home);
    ensure!("INV-CRE-5", object.starts_with(&prefix), "{object} is not of the scheme comm in {}", scene.home);
    ensure_eq!("INV-CRE-5", answer["body"]["childrenResources"], json!(NAMES), "the names of the schema");

    let held = scene.held(&object);
    ensure_eq!("INV-CRE-1", held.routes, routed(&object), "the routes at the node");
    ensure_eq!("INV-CRE-4", held.registered, BTreeSet::from([object.clone()]), "what the registry was told");
    let watching = Watching::listen(scene, "watcher", &object).await?;
    let id = watching.ask(&json!({}));
    let mut reporting = Reporting { line, object, version: 0 };
    let question = reporting.decide("subscribe", json!({"code": 200})).await?;
    ensure_eq!("INV-CRE-1", question["body"]["from"], json!(watching.hyperty), "who wants to observe");
    let mut watching = watching;
    let answer = watching.line.final_answer(&id).await?;
    expect_code("INV-CRE-1", &answer, &[200], "a subscription that was accepted")
}

async fn addresses_differ(scene: &mut Scene) -> Verdict {
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let mut known: Vec<Value> = Vec::new();
    for _ in 0..20 {
        let body = Reporting::creation(scene, "reporter", &json!({}));
        let answer = line.request("create", &from, &scene.sm(), body).await?;
        expect_code("INV-CRE-6", &answer, &[200], "one of several identical creations")?;
        let object = answer["body"]["resource"].clone();
        ensure!("INV-CRE-3", !known.contains(&object), "{object} was given out twice");
        known.push(object);
    }
    Ok(())
}

async fn as_asked_for(scene: &mut Scene) -> Verdict {
    for (registration, routing) in [(true, true), (false, true), (false, false)] {
        let name = format!("reporter-{registration}-{routing}");
        let more = json!({"domain_registration": registration, "domain_routing": routing});
        let reporting = Reporting::create(scene, &name, more).await?;
        let object = reporting.object.clone();
        let held = scene.held(&object);
        ensure_eq!("INV-CRE-4", held.registered.len(), usize::from(registration), "registered as asked for");
        let wanted = if routing { routed(&object) } else { BTreeSet::new() };
        ensure_eq!("INV-CRE-1", held.routes, wanted, "routed as asked for");
        let mut other = scene.peer(&format!("reader-{registration}-{routing}")).await?;
        let from = format!("{}/registry", other.url);
        let answer = other.request("read", &from, &scene.reg(), json!({"resource": object})).await?;
        let wanted = if registration { 200 } else { 404 };
        expect_code("INV-CRE-4", &answer, &[wanted], "asking the registry")?;
    }
    Ok(())
}

async fn malformed(scene: &mut Scene) -> Verdict {
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let stranger = scene.hyperty("stranger");
    let broken = [
        json!({"schema": null, "value": {"schema": null}}),
        json!({"value": {"name": null}}),
        json!({"value": {"reporter": null}}),
        json!({"value": {"reporter": stranger}}),
    ];
    for more in broken {
        let body = Reporting::creation(scene, "reporter", &more);
        let answer = line.request("create", &from, &scene.sm(), body).await?;
        expect_code("INV-CRE-2", &answer, &[400], &format!("a creation with {more}"))?;
        ensure_eq!("2.5", answer["body"]["desc"], answer["body"]["description"], "both texts of an error");
    }
    let answer = line.request("create", &from, &scene.sm(), json!({"resume": false})).await?;
    expect_code("INV-CRE-2", &answer, &[400], "a creation without value")?;
    nothing_left(scene).await
}

/// INV-CRE-2: what the runtime had asked for was taken back.
async fn nothing_left(scene: &mut Scene) -> Verdict {
    scene.settle().await;
    let held = scene.held_when("comm://", Held::is_nothing).await;
    ensure_eq!("INV-CRE-2", held, Held::default(), "what is left of a creation that failed");
    Ok(())
}

async fn refused(scene: &mut Scene, service: Service, kind: &str, script: Script, codes: &[u64]) -> Verdict {
    scene.domain().script(service, Some(kind), script);
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let body = Reporting::creation(scene, "reporter", &json!({"store": true}));
    let id = line.send("create", &from, &scene.sm(), body);
    let answer = line.final_within(&id, RESPONSE_TIME).await?;
    expect_code("INV-CRE-2", &answer, codes, &format!("a creation with {service:?} {script:?}"))?;
    scene.domain().serve();
    // What could not be taken back at once is tried again in the background (M27).
    tokio::time::sleep(Duration::from_secs(120)).await;
    nothing_left(scene).await?;
    still_works(scene, line).await
}

/// The runtime goes on as if nothing had happened.
async fn still_works(scene: &Scene, line: Line) -> Verdict {
    let mut reporting = Reporting::create_at(scene, line, "reporter", json!({})).await?;
    reporting.change("topic", json!("b")).await
}

async fn allocation_refused(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Allocation, "create", Script::Refuse(500), &[403, 408, 500]).await
}

async fn routes_refused(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Routes, "subscribe", Script::Refuse(403), &[403, 408, 500]).await
}

async fn registry_refused(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Registry, "create", Script::Refuse(403), &[403, 408, 500, 504]).await
}

async fn routes_mute(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Routes, "subscribe", Script::Mute, &[408, 500]).await
}

async fn registry_mute(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Registry, "create", Script::Mute, &[408, 500, 504]).await
}

async fn answer_lost(scene: &mut Scene) -> Verdict {
    refused(scene, Service::Registry, "create", Script::LoseAnswer, &[408, 500, 504]).await
}

async fn unknown_schema(scene: &mut Scene) -> Verdict {
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let unknown = format!("hyperty-catalogue://catalogue.{}/.well-known/dataschema/Nobody", scene.home);
    let more = json!({"schema": unknown, "value": {"schema": unknown}});
    let body = Reporting::creation(scene, "reporter", &more);
    let answer = line.request("create", &from, &scene.sm(), body).await?;
    expect_code("INV-CRE-2", &answer, &[404, 500], "a creation of an unknown schema")?;
    nothing_left(scene).await
}

async fn only_in_ones_own_name(scene: &mut Scene) -> Verdict {
    let line = scene.seat("reporter")?;
    let mut stranger = scene.seat("stranger")?;
    let body = Reporting::creation(scene, "reporter", &json!({}));
    stranger.send("create", &line.url, &scene.sm(), body.clone());
    let mut elsewhere = scene.peer("elsewhere").await?;
    let sm = scene.sm();
    let answer = elsewhere.request("create", &scene.hyperty("elsewhere"), &sm, body).await?;
    expect_code("5.0", &answer, &[400, 403], "a creation asked for from another runtime")?;
    scene.settle().await;
    let created = scene.boundary.trace().into_iter().any(|Entry { crossing, .. }| {
        is_kind(&crossing.message, "response") && crossing.message["body"]["resource"].is_string()
    });
    ensure!("5.0", !created, "an object was created in the name of another hyperty");
    stranger.rest().await;
    nothing_left(scene).await
}

async fn data_is_validated(scene: &mut Scene) -> Verdict {
    let mut line = scene.seat("reporter")?;
    let from = line.url.clone();
    let body = Reporting::creation(scene, "reporter", &json!({"value": {"data": {"topic": 7}}}));
    let answer = line.request("create", &from, &scene.sm(), body).await?;
    expect_code("M23", &answer, &[400], "a creation with data that violates the schema")?;
    let mut reporting = Reporting::create_at(scene, line, "reporter", json!({})).await?;
    let id = reporting.put("topic", json!(7));
    let answer = reporting.line.final_answer(&id).await?;
    expect_code("M23", &answer, &[400], "a change that violates the schema")?;
    reporting.version -= 1;
    reporting.change("topic", json!("b")).await
}

async fn reuse(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, true).await?;
    reporting.change("topic", json!("b")).await?;
    let own = reporting.line.url.clone();
    let more = json!({"resource": reporting.object, "store": true});
    let body = Reporting::creation(scene, "reporter", &more);
    let answer = reporting.line.request("create", &own, &scene.sm(), body).await?;
    expect_code("INV-RES-4", &answer, &[200], "going on with an object of one's own")?;
    ensure_eq!("INV-RES-4", answer["body"]["value"]["version"], json!(1), "the version it goes on at");
    let mut stranger = scene.seat("stranger")?;
    let own = stranger.url.clone();
    let body = Reporting::creation(scene, "stranger", &more);
    let answer = stranger.request("create", &own, &scene.sm(), body).await?;
    expect_code("INV-RES-4", &answer, &[403], "going on with another's object")?;
    let nowhere = json!({"resource": format!("comm://{}/nowhere", scene.home)});
    let body = Reporting::creation(scene, "stranger", &nowhere);
    let answer = stranger.request("create", &own, &scene.sm(), body).await?;
    expect_code("INV-MSG-1", &answer, &[404], "going on with an object that does not exist")?;
    if code(&answer) != 404 {
        return Err(Failure::new("INV-MSG-1", "an unknown object was taken over").into());
    }
    Ok(())
}
