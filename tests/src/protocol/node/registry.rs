//! The domain registry (protocol 5.13, M12, M13, M28).

use std::time::Duration;

use serde_json::{Value, json};

use super::NodeCase;
use super::finding::{found, pages, queries};
use super::ownership::give;
use super::stage::{NodeStage, granted, node_cases};
use crate::protocol::client::{Client, code};
use crate::protocol::{Capability, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "5.13/register-and-read" checks ["5.13", "INV-REG-1"] needs [Registry] => register_and_read;
        "5.13/mandatory-members" checks ["5.13"] needs [Registry] => mandatory;
        "5.13/unknown-entries" checks ["5.13", "M12"] needs [Registry] => unknown;
        "INV-REG-1/unregister-in-every-form" checks ["INV-REG-1"] needs [Registry] => unregister;
        "INV-REG-1/expiry" checks ["INV-REG-1", "INV-REG-2"] needs [Registry, StatusEvents] => expiry;
        "INV-REG-1/end-of-the-session" checks ["INV-REG-1", "M13"] needs [Registry, StatusEvents, SessionEnded] => session_end;
        "INV-REG-2/one-event-per-change" checks ["INV-REG-2"] needs [Registry, StatusEvents] => one_event;
        "INV-REG-3/keep-alive-revives-nothing" checks ["INV-REG-3"] needs [Registry] => keep_alive;
        "INV-REG-4/queries" checks ["INV-REG-4", "5.13"] needs [Registry] => queries;
        "INV-REG-4/pages" checks ["INV-REG-4", "5.13"] needs [Registry] => pages;
        "INV-REG-4/queries-after-a-takeover" checks ["INV-REG-4", "INV-REG-5"] needs [Registry] => after_takeover;
        "INV-DEL-3/deleted-stays-deleted" checks ["INV-DEL-3", "M12"] needs [Registry] => deleted;
        "INV-MN-5/status-events-are-the-registrys" checks ["INV-MN-5"] needs [Registry, StatusEvents, EnforcePublisher] => forged_event;
    }
}

/// The record of a live object of a user.
pub(super) fn object_record(stage: &NodeStage, client: &Client, url: &str, user: &str) -> Value {
    json!({
        "url": url,
        "runtime": client.runtime,
        "status": "live",
        "expires": 3600,
        "resources": ["chat", "audio"],
        "dataSchemes": ["comm"],
        "schema": format!("hyperty-catalogue://catalogue.{}/.well-known/dataschema/Test", stage.domain()),
        "name": format!("name-{}-{}", stage.nonce, client.name),
        "reporter": stage.hyperty(&format!("reporter-of-{}", client.name)),
        "user": stage.user(user),
        "guid": format!("user-guid://{}-{user}", stage.nonce),
    })
}

pub(super) async fn ask(client: &mut Client, stage: &NodeStage, kind: &str, body: Value) -> Verdict<Value> {
    let from = format!("{}/registry", client.runtime);
    client.request(kind, &from, &stage.reg(), body).await
}

pub(super) async fn register(client: &mut Client, stage: &NodeStage, record: &Value) -> Verdict {
    let answer = ask(client, stage, "create", json!({"value": record})).await?;
    granted(&answer, "5.13", "a registration")
}

/// The code of the answer to a read of one URL.
pub(super) async fn status(client: &mut Client, stage: &NodeStage, url: &str) -> Verdict<u64> {
    Ok(code(&ask(client, stage, "read", json!({"resource": url})).await?))
}

async fn register_and_read(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let url = stage.object("o");
    let mut record = object_record(&stage, &alice, &url, "alice");
    record["x-unknown"] = json!({"kept": [1]});
    // A member that is null is as good as absent (M28).
    record["p2pHandler"] = Value::Null;
    for _ in 0..2 {
        register(&mut alice, &stage, &record).await?;
    }
    let answer = ask(&mut bob, &stage, "read", json!({"resource": url})).await?;
    ensure_eq!("INV-REG-1", code(&answer), 200, "the code of the answer to a read");
    let found = &answer["body"]["value"][&url];
    for member in ["url", "runtime", "status", "schema", "name", "reporter", "user", "guid", "x-unknown"] {
        ensure_eq!("5.13", found[member], record[member], "{member} of the record that is read");
    }
    let hyperty = stage.hyperty("h");
    let record = json!({
        "url": hyperty, "user": stage.user("alice"), "descriptor": "hyperty-catalogue://a/.well-known/hyperty/H",
        "runtime": alice.runtime, "status": "created", "expires": 1200, "resources": ["chat"], "dataSchemes": ["comm"],
    });
    register(&mut alice, &stage, &record).await?;
    let answer = ask(&mut bob, &stage, "read", json!({"resource": hyperty})).await?;
    let found = &answer["body"]["value"][&hyperty];
    ensure_eq!("5.13", found["status"], json!("live"), "the status of what was registered as created (M28)");
    Ok(())
}

async fn mandatory(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    for member in ["url", "schema", "name", "reporter"] {
        let mut record = object_record(&stage, &alice, &url, "alice");
        record.as_object_mut().map(|record| record.remove(member));
        let answer = ask(&mut alice, &stage, "create", json!({"value": record})).await?;
        ensure_eq!("5.13", code(&answer), 400, "the code of the answer to a registration without {member}");
    }
    for body in [json!({}), json!({"value": null}), json!({"value": "text"}), json!({"value": {"url": 7}})] {
        let answer = ask(&mut alice, &stage, "create", body.clone()).await?;
        ensure_eq!("5.13", code(&answer), 400, "the code of the answer to create {body}");
    }
    ensure_eq!("5.13", status(&mut alice, &stage, &url).await?, 404, "a read after all those refusals");
    Ok(())
}

async fn unknown(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("unknown");
    let bodies = [
        ("read", json!({"resource": url})),
        ("read", json!({"resource": stage.user("unknown")})),
        ("read", json!({"resource": stage.hyperty("unknown")})),
        ("update", json!({"resource": url})),
        ("update", json!({"resource": url, "value": {"status": "live"}})),
        ("update", json!({"resource": url, "value": "disconnected", "attribute": "status"})),
    ];
    for (kind, body) in bodies {
        let answer = ask(&mut alice, &stage, kind, body.clone()).await?;
        ensure_eq!("5.13", code(&answer), 404, "the code of the answer to {kind} {body}");
        let reason = &answer["body"]["reason"];
        ensure!("M12", *reason != "no-route", "{kind} {body} is answered as if there were no registry");
    }
    // The registry is reached by its older name with a slash, too.
    let from = alice.sm();
    let older = format!("{}/", stage.reg());
    let answer = alice.request("read", &from, &older, json!({"resource": url})).await?;
    ensure_eq!("5.13", code(&answer), 404, "the code of the answer of {older}");
    Ok(())
}

async fn unregister(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    let id = url.rsplit('/').next().unwrap_or_default().to_owned();
    let record = object_record(&stage, &alice, &url, "alice");
    let forms = [
        json!({"resource": url, "value": "disconnected", "attribute": "status"}),
        json!({"resource": url, "value": {"status": "disconnected"}}),
        json!({"resource": format!("/dataObject/{id}"), "value": "disconnected", "attribute": "status"}),
        json!({"resource": format!("/dataObject/{url}"), "value": "disconnected", "attribute": "status"}),
    ];
    for body in forms {
        register(&mut alice, &stage, &record).await?;
        ensure_eq!("INV-REG-1", status(&mut alice, &stage, &url).await?, 200, "a read while it is live");
        let answer = ask(&mut alice, &stage, "update", body.clone()).await?;
        ensure_eq!("5.13", code(&answer), 200, "the code of the answer to {body}");
        let answer = ask(&mut alice, &stage, "read", json!({"resource": url})).await?;
        ensure_eq!("INV-REG-1", code(&answer), 408, "the code of the answer to a read after {body}");
        let shown = &answer["body"]["value"][&url]["status"];
        ensure_eq!("5.13", *shown, json!("disconnected"), "the status that is read after {body}");
    }
    let live = json!({"resource": url, "value": {"status": "live"}});
    granted(&ask(&mut alice, &stage, "update", live).await?, "5.13", "set live")?;
    ensure_eq!("INV-REG-1", status(&mut alice, &stage, &url).await?, 200, "a read after set live");
    Ok(())
}

/// A client that hears of every change of status of a URL.
async fn watcher(stage: &NodeStage, url: &str) -> Verdict<Client> {
    let mut watcher = stage.open("watcher").await?;
    watcher.subscribe(stage, &[&format!("{url}/registration")]).await?;
    Ok(watcher)
}

/// The statuses told up to now.
async fn told(watcher: &mut Client, stage: &NodeStage, url: &str) -> Verdict<Vec<String>> {
    let mut statuses = Vec::new();
    for event in watcher.settled(stage).await? {
        ensure_eq!("INV-REG-2", event["type"], json!("update"), "the type of a status event");
        ensure_eq!("5.13", event["from"], json!(stage.reg()), "from, of a status event");
        ensure_eq!("5.13", event["to"], json!(format!("{url}/registration")), "to, of a status event");
        ensure_eq!("5.13", event["body"]["attribute"], json!("status"), "attribute, of a status event");
        statuses.push(event["body"]["value"].as_str().unwrap_or("?").to_owned());
    }
    Ok(statuses)
}

async fn expiry(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    let mut record = object_record(&stage, &alice, &url, "alice");
    record["expires"] = json!(2);
    let mut watcher = watcher(&stage, &url).await?;
    register(&mut alice, &stage, &record).await?;
    told(&mut watcher, &stage, &url).await?;
    // Kept alive, it lives on.
    for _ in 0..2 {
        stage.wait(Duration::from_millis(1_200), "a part of expires").await?;
        granted(&ask(&mut alice, &stage, "update", json!({"resource": url})).await?, "5.13", "a keep-alive")?;
        ensure_eq!(
            "INV-REG-1",
            status(&mut alice, &stage, &url).await?,
            200,
            "a read while it is kept alive"
        );
    }
    ensure_eq!(
        "INV-REG-2",
        told(&mut watcher, &stage, &url).await?,
        [""; 0],
        "events while it is kept alive"
    );
    stage.wait(Duration::from_millis(2_900), "expires").await?;
    ensure_eq!("INV-REG-1", status(&mut alice, &stage, &url).await?, 408, "a read after it expired");
    ensure_eq!(
        "INV-REG-2",
        told(&mut watcher, &stage, &url).await?,
        ["disconnected"],
        "events of the expiry"
    );
    Ok(())
}

async fn session_end(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    let mut watcher = watcher(&stage, &url).await?;
    register(&mut alice, &stage, &record).await?;
    told(&mut watcher, &stage, &url).await?;
    alice.close().await?;
    let event = watcher.next("word of the end of a session").await?;
    ensure_eq!("M13", event["body"]["value"], json!("disconnected"), "the status event of a closed session");
    ensure_eq!("INV-REG-2", told(&mut watcher, &stage, &url).await?, [""; 0], "more events");
    ensure_eq!("INV-REG-1", status(&mut watcher, &stage, &url).await?, 408, "a read after the session ended");
    Ok(())
}

async fn one_event(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    let mut watcher = watcher(&stage, &url).await?;
    register(&mut alice, &stage, &record).await?;
    // That something unknown becomes live may count as a change or not; twice it does not.
    let first = told(&mut watcher, &stage, &url).await?;
    ensure!("INV-REG-2", first.is_empty() || first == ["live"], "a registration was told as {first:?}");
    let live = json!({"resource": url, "value": {"status": "live"}});
    let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    let none: &[&str] = &[];
    let steps = [
        ("a keep-alive", "update", json!({"resource": url}), none),
        (
            "an older keep-alive",
            "update",
            json!({"resource": url, "value": {"status": "live"}, "method": "refresh"}),
            none,
        ),
        ("set live while it is live", "update", live.clone(), none),
        ("another registration", "create", json!({"value": record}), none),
        ("a read", "read", json!({"resource": url}), none),
        ("unregister", "update", off.clone(), &["disconnected"]),
        ("unregister again", "update", off, none),
        ("a late keep-alive", "update", json!({"resource": url}), none),
        ("set live", "update", live, &["live"]),
    ];
    for (what, kind, body, wanted) in steps {
        ask(&mut alice, &stage, kind, body).await?;
        ensure_eq!("INV-REG-2", told(&mut watcher, &stage, &url).await?, wanted, "events of {what}");
    }
    Ok(())
}

async fn keep_alive(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    granted(&ask(&mut alice, &stage, "update", off).await?, "5.13", "unregister")?;
    for body in [
        json!({"resource": url}),
        json!({"resource": url, "value": {"status": "live"}, "method": "refresh"}),
        json!({"resource": url, "method": "refresh"}),
    ] {
        ask(&mut alice, &stage, "update", body.clone()).await?;
        ensure_eq!("INV-REG-3", status(&mut alice, &stage, &url).await?, 408, "a read after {body}");
    }
    Ok(())
}

async fn after_takeover(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    granted(&give(&mut alice, &stage, &url, &bob.runtime, 1).await?, "5.11", "an owner that gives it away")?;
    let mut taken = object_record(&stage, &bob, &url, "bob");
    taken["epoch"] = json!(1);
    register(&mut bob, &stage, &taken).await?;
    let by = |user: &str| json!({"resource": stage.user(user)});
    ensure_eq!("INV-REG-4", found(&mut alice, &stage, by("bob")).await?, [url.as_str()], "of the new user");
    ensure_eq!("INV-REG-4", found(&mut alice, &stage, by("alice")).await?, [""; 0], "of the former user");
    let answer = ask(&mut alice, &stage, "read", json!({"resource": url})).await?;
    let shown = &answer["body"]["value"][&url]["runtime"];
    ensure_eq!("INV-REG-5", *shown, json!(bob.runtime), "the runtime that is read");
    Ok(())
}

async fn deleted(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    let answer = ask(&mut bob, &stage, "delete", json!({"resource": url})).await?;
    ensure!("5.13", code(&answer) >= 400, "another runtime deleted it: {answer}");
    let off = json!({"resource": url, "value": "disconnected", "attribute": "status"});
    granted(&ask(&mut alice, &stage, "update", off).await?, "5.13", "unregister")?;
    granted(&ask(&mut alice, &stage, "delete", json!({"resource": url})).await?, "5.13", "delete")?;
    for (kind, body) in [
        ("update", json!({"resource": url})),
        ("update", json!({"resource": url, "value": {"status": "live"}})),
        ("create", json!({"value": record})),
    ] {
        ask(&mut alice, &stage, kind, body.clone()).await?;
        let code = status(&mut alice, &stage, &url).await?;
        ensure!("INV-DEL-3", code != 200, "{kind} {body} revived a deleted object");
    }
    if stage.has(Capability::Reasons) {
        let from = bob.sm();
        let answer = bob.request("read", &from, &url, json!({})).await?;
        ensure_eq!("M12", code(&answer), 410, "the code of the answer to a read of a deleted object");
    }
    Ok(())
}

async fn forged_event(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let url = stage.object("o");
    let record = object_record(&stage, &alice, &url, "alice");
    register(&mut alice, &stage, &record).await?;
    let mut watcher = watcher(&stage, &url).await?;
    let to = format!("{url}/registration");
    let forged = json!({"value": "disconnected", "attribute": "status"});
    for from in [mallory.sm(), stage.reg(), url.clone()] {
        mallory.send("update", &from, &to, forged.clone()).await?;
    }
    let got = mallory.fence(&mut watcher).await?;
    ensure!("INV-MN-5", got.is_empty(), "a forged status event was delivered: {got:?}");
    Ok(())
}
