//! Sessions: open, re-open, close, lost (protocol 5.15, M13, M14).

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{NodeStage, node_cases, versions};
use super::{NodeCase, refused_by_node};
use crate::protocol::client::{Client, SESSION, code};
use crate::protocol::{Stop, Verdict};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "5.15/open" checks ["5.15", "INV-MN-6"] needs [] => open;
        "5.15/older-scheme" checks ["5.15"] needs [] => older_scheme;
        "5.15/nothing-before-open" checks ["5.15", "INV-MN-5"] needs [] => nothing_before_open;
        "5.15/frames-behind-open" checks ["5.15", "INV-MN-2"] needs [] => frames_behind_open;
        "5.15/only-runtimes-open" checks ["5.15"] needs [] => only_runtimes_open;
        "INV-SES-2/tokens-differ" checks ["INV-SES-2"] needs [Grace] => tokens_differ;
        "INV-SES-2/wrong-token" checks ["INV-SES-2"] needs [Grace] => wrong_token;
        "INV-SES-1/re-open-keeps-routes" checks ["INV-SES-1"] needs [Grace] => reopen_keeps_routes;
        "INV-SES-1/re-open-delivers-what-waited" checks ["INV-SES-1", "INV-MN-2"] needs [Grace] => what_waited;
        "INV-MN-5/second-open" checks ["INV-MN-5"] needs [] => second_open;
        "INV-MN-5/close-of-another" checks ["INV-MN-5"] needs [] => close_of_another;
        "INV-MN-3/close" checks ["INV-MN-3", "5.15"] needs [] => close;
        "INV-MN-3/grace-is-over" checks ["INV-MN-3", "INV-SES-2"] needs [Grace] => grace_is_over;
        "M14/open-replaces-a-lost-session" checks ["M14", "INV-MN-4"] needs [Grace] => open_replaces;
        "M13/owners-are-told" checks ["M13"] needs [SessionEnded] => owners_are_told;
    }
}

async fn open(stage: NodeStage) -> Verdict {
    for (name, id) in [("a", json!(1)), ("b", json!("1"))] {
        let mut client = stage.connect(name).await?;
        let from = client.runtime.clone();
        let mut open = json!({"id": id, "type": "open", "from": from, "to": SESSION});
        if !client.admission.is_null() {
            open["body"] = client.admission.clone();
        }
        client.send_message(open).await?;
        let answer = client.next("the answer to open").await?;
        ensure_eq!("5.15", answer["type"], json!("response"), "the type of the answer to open");
        ensure_eq!("INV-MN-6", answer["id"], id, "the id of the answer to open");
        ensure_eq!("5.15", answer["from"], json!(SESSION), "from, of the answer to open");
        ensure_eq!("5.15", answer["to"], json!(from), "to, of the answer to open");
        ensure_eq!("5.15", answer["body"]["code"], json!(200), "the code of the answer to open, a number");
    }
    Ok(())
}

async fn older_scheme(stage: NodeStage) -> Verdict {
    let mut old = stage.connect("old").await?;
    old.runtime = format!("runtime://{}/{}-old", stage.domain(), stage.nonce);
    let answer = old.open().await?;
    ensure_eq!("5.15", code(&answer), 200, "the code of the answer to open by {}", old.runtime);
    let mut alice = stage.open("alice").await?;
    let (from, to) = (alice.sm(), old.sm());
    let id = alice.send("read", &from, &to, json!({})).await?;
    let request = old.next("a request").await?;
    ensure_eq!("5.15", request["to"], json!(to), "to, of what reaches a runtime of the older scheme");
    old.answer(&request, json!({"code": 200})).await?;
    alice.answer_to(&json!(id)).await?;
    Ok(())
}

async fn nothing_before_open(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut bob = stage.open("bob").await?;
    let changes = format!("{object}/changes");
    bob.subscribe(&stage, &[&changes]).await?;
    let mut early = stage.connect("early").await?;
    let (from, to) = (early.sm(), bob.sm());
    for (kind, to) in [("read", to.as_str()), ("subscribe", &stage.mn()), ("create", &stage.mna())] {
        let answer = early.request(kind, &from, to, json!({"resources": [changes]})).await?;
        refused_by_node(&stage, &answer, 403, "5.15", &format!("{kind} before open"))?;
    }
    early.send("update", &object, &changes, json!({"version": 1})).await?;
    early.rest().await?;
    let got = bob.settled(&stage).await?;
    ensure!("INV-MN-5", got.is_empty(), "what was sent before open was delivered: {got:?}");
    ensure_eq!("5.15", code(&early.open().await?), 200, "the code of the answer to open after all that");
    let mut alice = stage.open("alice").await?;
    alice.publish(&object, 2).await?;
    let got = alice.fence(&mut early).await?;
    ensure!("5.15", got.is_empty(), "a subscription before open had an effect: {got:?}");
    Ok(())
}

async fn frames_behind_open(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut client = stage.connect("hasty").await?;
    let (from, sm) = (client.runtime.clone(), client.sm());
    let opened = client.send("open", &from, SESSION, client.admission.clone()).await?;
    let listed = json!({"resources": [format!("{object}/changes")]});
    let subscribed = client.send("subscribe", &sm, &stage.mn(), listed).await?;
    for (id, what) in [(opened, "open"), (subscribed, "what followed it at once")] {
        let answer = client.next("an answer").await?;
        ensure_eq!("5.15", (answer["id"].clone(), code(&answer)), (json!(id), 200), "the answer to {what}");
    }
    let mut alice = stage.open("alice").await?;
    alice.publish(&object, 1).await?;
    ensure_eq!("5.15", versions(&alice.fence(&mut client).await?), [1], "what came to who subscribed so");
    Ok(())
}

async fn only_runtimes_open(stage: NodeStage) -> Verdict {
    let mut client = stage.connect("odd").await?;
    let runtime = client.runtime.clone();
    let domain = format!("hyperty-runtime://{}", stage.domain());
    for from in [stage.object("o"), stage.user("u"), stage.mn(), domain] {
        client.runtime.clone_from(&from);
        let answer = client.open().await?;
        ensure_eq!("5.15", code(&answer), 400, "the code of the answer to open by {from}");
    }
    client.runtime = runtime;
    ensure_eq!("5.15", code(&client.open().await?), 200, "the code of the answer to open by a runtime");
    Ok(())
}

/// Loses a connection, and gives the node time to notice: what is sent into a dead socket is lost.
async fn lose(stage: &NodeStage, client: Client) -> Verdict<String> {
    let token = client.token.clone();
    client.lose();
    tokio::time::sleep(10 * stage.waits().quiet).await;
    Ok(token)
}

async fn tokens_differ(stage: NodeStage) -> Verdict {
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let client = stage.open("again").await?;
        ensure!("INV-SES-2", client.token.len() >= 16, "the token {:?} can be guessed", client.token);
        tokens.push(client.token.clone());
        client.close().await?;
    }
    let other = stage.open("other").await?;
    tokens.push(other.token.clone());
    let before = tokens.len();
    tokens.sort();
    tokens.dedup();
    ensure_eq!("INV-SES-2", tokens.len(), before, "different tokens");
    Ok(())
}

async fn wrong_token(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let changes = format!("{object}/changes");
    let mut alice = stage.open("alice").await?;
    let mut bob = stage.open("bob").await?;
    bob.subscribe(&stage, &[&changes]).await?;
    let token = lose(&stage, bob).await?;
    let mut almost = token.clone();
    let last = almost.pop().unwrap_or('0');
    almost.push(if last == '0' { '1' } else { '0' });
    for wrong in ["0", &almost, &alice.token.clone(), &format!("{token}0"), "sm"] {
        let mut thief = stage.connect("bob").await?;
        let answer = thief.reopen(wrong).await?;
        ensure_eq!("INV-SES-2", code(&answer), 500, "the code of the answer to re-open with a wrong token");
        alice.publish(&object, 1).await?;
        let from = thief.sm();
        let answer = thief.request("read", &from, &alice.sm(), json!({})).await?;
        ensure_eq!("INV-SES-2", code(&answer), 403, "the code of the answer to who has a wrong token");
        let got = thief.rest().await?;
        ensure!("INV-SES-2", got.is_empty(), "who has a wrong token received {got:?}");
    }
    let got = alice.settled(&stage).await?;
    ensure!("INV-SES-2", got.is_empty(), "who has a wrong token was heard: {got:?}");
    let mut bob = stage.connect("bob").await?;
    ensure_eq!("INV-SES-1", code(&bob.reopen(&token).await?), 200, "re-open with the right token after that");
    ensure_eq!("INV-SES-1", versions(&alice.fence(&mut bob).await?), [1; 5], "what had waited for bob");
    Ok(())
}

async fn reopen_keeps_routes(stage: NodeStage) -> Verdict {
    let (object, own) = (stage.object("o"), stage.object("own"));
    let changes = format!("{object}/changes");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object, &format!("{own}/changes")]).await?;
    let mut bob = stage.open("bob").await?;
    bob.subscribe(&stage, &[&changes, &own, &format!("{own}/subscription")]).await?;
    for round in 1..=2 {
        let token = lose(&stage, bob).await?;
        bob = stage.connect("bob").await?;
        let answer = bob.reopen(&token).await?;
        ensure_eq!("INV-SES-1", code(&answer), 200, "the code of the answer to re-open, round {round}");
        alice.publish(&object, round).await?;
        ensure_eq!("INV-SES-1", versions(&alice.fence(&mut bob).await?), [round], "what came after re-open");
        bob.publish(&own, round).await?;
        ensure_eq!("INV-SES-1", versions(&bob.fence(&mut alice).await?), [round], "what bob published then");
        let (from, to) = (alice.sm(), format!("{own}/subscription"));
        alice.send("subscribe", &from, &to, json!({"source": from})).await?;
        let request = bob.next("a subscription").await?;
        bob.answer(&request, json!({"code": 403})).await?;
        alice.answer_to(&request["id"]).await?;
    }
    // The session is one: no third connection is let in beside it.
    let mut third = stage.connect("bob").await?;
    ensure_eq!("INV-MN-5", code(&third.open().await?), 409, "the code of the answer to open beside it");
    Ok(())
}

async fn what_waited(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object]).await?;
    let mut bob = stage.open("bob").await?;
    bob.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    let (from, to) = (alice.sm(), bob.sm());
    let token = lose(&stage, bob).await?;
    for version in 1..=5 {
        alice.publish(&object, version).await?;
    }
    let id = alice.send("read", &from, &to, json!({"version": 6})).await?;
    let early = alice.settled(&stage).await?;
    ensure!("INV-SES-1", early.is_empty(), "a request to a lost session was answered at once: {early:?}");
    let mut bob = stage.connect("bob").await?;
    ensure_eq!("INV-SES-1", code(&bob.reopen(&token).await?), 200, "the code of the answer to re-open");
    alice.publish(&object, 7).await?;
    let got = alice.fence(&mut bob).await?;
    ensure_eq!("INV-SES-1", versions(&got), [1, 2, 3, 4, 5, 6, 7], "what had waited, then what came after");
    bob.answer(&got[5], json!({"code": 200})).await?;
    ensure_eq!("INV-MN-4", code(&alice.answer_to(&json!(id)).await?), 200, "the answer to what had waited");
    Ok(())
}

async fn second_open(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut thief = stage.connect("bob").await?;
    let answer = thief.open().await?;
    refused_by_node(&stage, &answer, 409, "INV-MN-5", "open for a runtime that has a live session")?;
    ensure!("INV-MN-5", thief.token.is_empty(), "a refused open was given a token: {answer}");
    let (from, to) = (alice.sm(), bob.sm());
    alice.send("update", &from, &to, json!({"version": 1})).await?;
    ensure_eq!("INV-MN-5", versions(&alice.fence(&mut bob).await?), [1], "what came to the session");
    let got = thief.rest().await?;
    ensure!("INV-MN-5", got.is_empty(), "who was refused received {got:?}");
    let answer = thief.request("read", &to, &from, json!({})).await?;
    ensure_eq!("INV-MN-5", code(&answer), 403, "the code of the answer to a message by who was refused");
    let got = alice.settled(&stage).await?;
    ensure!("INV-MN-5", got.is_empty(), "who was refused was heard: {got:?}");
    Ok(())
}

async fn close_of_another(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    for from in [alice.runtime.clone(), alice.proof(), format!("{}/0", bob.runtime)] {
        let answer = bob.request("close", &from, SESSION, Value::Null).await?;
        refused_by_node(&stage, &answer, 403, "INV-MN-5", &format!("close by bob as {from}"))?;
    }
    ensure!("INV-MN-5", bob.fence(&mut alice).await?.is_empty(), "alice heard of it");
    ensure!("INV-MN-5", alice.fence(&mut bob).await?.is_empty(), "bob heard of it");
    Ok(())
}

async fn close(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let changes = format!("{object}/changes");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object]).await?;
    for bare in [false, true] {
        let mut bob = stage.open("bob").await?;
        bob.subscribe(&stage, &[&changes]).await?;
        if bare {
            bob.token.clear();
        }
        let from = if bare { bob.runtime.clone() } else { bob.proof() };
        bob.send("close", &from, SESSION, Value::Null).await?;
        let got = bob.closed().await?;
        ensure!("5.15", got.is_empty(), "after close came {got:?}");
    }
    // The routes went with it: a new session of the same runtime listens to nothing.
    let mut bob = stage.open("bob").await?;
    alice.publish(&object, 1).await?;
    let got = alice.fence(&mut bob).await?;
    ensure!("INV-MN-3", got.is_empty(), "a route outlived its session: {got:?}");
    Ok(())
}

async fn grace_is_over(stage: NodeStage) -> Verdict {
    let (object, own) = (stage.object("o"), stage.object("own"));
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object]).await?;
    let mut bob = stage.open("bob").await?;
    let address = bob.sm();
    bob.subscribe(&stage, &[&format!("{object}/changes"), &own]).await?;
    let from = alice.sm();
    let token = lose(&stage, bob).await?;
    let waiting = alice.send("read", &from, &address, json!({})).await?;
    stage.wait(stage.subject.grace() + Duration::from_secs(2), "T_GRACE").await?;
    let answer = alice.answer_to(&json!(waiting)).await?;
    refused_by_node(&stage, &answer, 404, "INV-MN-4", "what waited for a session that did not come back")?;
    let answer = alice.request("read", &from, &address, json!({})).await?;
    ensure_eq!("INV-MN-4", code(&answer), 404, "the code of the answer to a read of it afterwards");
    let mut bob = stage.connect("bob").await?;
    ensure_eq!("INV-SES-2", code(&bob.reopen(&token).await?), 500, "re-open after T_GRACE");
    ensure_eq!("5.15", code(&bob.open().await?), 200, "open after that");
    alice.publish(&object, 1).await?;
    let got = alice.fence(&mut bob).await?;
    ensure!("INV-MN-3", got.is_empty(), "a route outlived its session: {got:?}");
    Ok(())
}

async fn open_replaces(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object]).await?;
    let mut bob = stage.open("bob").await?;
    bob.subscribe(&stage, &[&format!("{object}/changes")]).await?;
    let (from, to) = (alice.sm(), bob.sm());
    let token = lose(&stage, bob).await?;
    alice.publish(&object, 1).await?;
    let waiting = alice.send("read", &from, &to, json!({})).await?;
    alice.settled(&stage).await?;
    let mut bob = stage.connect("bob").await?;
    let answer = bob.open().await?;
    ensure_eq!("M14", code(&answer), 200, "the code of the answer to open for a lost session");
    ensure!("INV-SES-2", bob.token != token, "the token of the lost session was given again");
    let answer = alice.answer_to(&json!(waiting)).await.map_err(|_| {
        Stop::from(crate::protocol::Failure::new("M14", "a buffered request was never answered"))
    })?;
    refused_by_node(&stage, &answer, 404, "M14", "a request buffered for a replaced session")?;
    alice.publish(&object, 2).await?;
    let got = alice.fence(&mut bob).await?;
    ensure!("M14", got.is_empty(), "the new session has routes or messages of the lost one: {got:?}");
    let mut late = stage.connect("bob").await?;
    ensure_eq!("M14", code(&late.reopen(&token).await?), 500, "re-open with the token of the replaced one");
    Ok(())
}

async fn owners_are_told(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut alice = stage.open("alice").await?;
    alice.subscribe(&stage, &[&object, &format!("{object}/subscription")]).await?;
    let listened = [format!("{object}/changes"), format!("{object}/children/notes")];
    for name in ["bob", "carol"] {
        let mut listener = stage.open(name).await?;
        listener.subscribe(&stage, &[&listened[0], &listened[1]]).await?;
        let source = listener.runtime.clone();
        if name == "bob" {
            listener.close().await?;
        } else if stage.has(crate::protocol::Capability::Grace)
            && stage.subject.grace() < stage.patience.longest_wait
        {
            lose(&stage, listener).await?;
            stage.wait(stage.subject.grace() + Duration::from_secs(2), "T_GRACE").await?;
        } else {
            break;
        }
        let told = alice.next("word of a session's end").await?;
        ensure_eq!("M13", told["type"], json!("unsubscribe"), "what the owner is told");
        ensure_eq!("M13", told["to"], json!(format!("{object}/subscription")), "where the owner is told");
        ensure_eq!("M13", told["body"]["source"], json!(source), "whose session ended");
        ensure_eq!("M13", told["body"]["reason"], json!("session-ended"), "the reason");
        let more = alice.settled(&stage).await?;
        ensure!("M13", more.is_empty(), "the owner is told twice: {more:?}");
    }
    Ok(())
}
