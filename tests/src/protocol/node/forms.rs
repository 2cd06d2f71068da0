//! Older and other forms of messages that have to be understood (protocol 2, 5.12, 5.14).

use serde_json::{Value, json};

use super::NodeCase;
use super::stage::{NodeStage, node_cases, versions};
use crate::protocol::Verdict;
use crate::protocol::client::code;
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "5.14/lists-of-addresses" checks ["5.14"] needs [] => lists;
        "5.14/nothing-in-the-list" checks ["5.14"] needs [] => nothing_in_the_list;
        "5.14/without-source" checks ["5.14"] needs [] => without_source;
        "2.1/types-in-any-case" checks ["2.1"] needs [] => types_in_any_case;
        "1.1/addresses-in-other-forms" checks ["1.1"] needs [] => addresses_in_other_forms;
    }
}

/// Everything that names addresses in a subscription, in all the places it was ever seen in.
fn forms(kind: &str, one: &str, two: &str) -> Vec<Value> {
    vec![
        json!({"resources": [one, two]}),
        json!({kind: [one, two]}),
        json!({"resources": [one], kind: [two]}),
        json!({"resource": one, "childrenResources": [two]}),
    ]
}

async fn lists(stage: NodeStage) -> Verdict {
    let (one, two) = (stage.object("one"), stage.object("two"));
    let changes = [format!("{one}/changes"), format!("{two}/changes")];
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    alice.subscribe(&stage, &[&one, &two]).await?;
    let sm = bob.sm();
    for form in 0..4 {
        for (kind, wanted) in [("subscribe", 2), ("unsubscribe", 0)] {
            let body = forms(kind, &changes[0], &changes[1]).swap_remove(form);
            let answer = bob.request(kind, &sm, &stage.mn(), body.clone()).await?;
            ensure_eq!("5.14", code(&answer), 200, "the code of the answer to {kind} {body}");
            alice.publish(&one, 1).await?;
            alice.publish(&two, 1).await?;
            let got = alice.fence(&mut bob).await?;
            ensure_eq!("5.14", got.len(), wanted, "messages of two objects after {kind} {body}");
        }
    }
    Ok(())
}

async fn nothing_in_the_list(stage: NodeStage) -> Verdict {
    let mut bob = stage.open("bob").await?;
    let sm = bob.sm();
    for kind in ["subscribe", "unsubscribe"] {
        for body in [Value::Null, json!({}), json!({"resources": []}), json!({"resources": [], kind: []})] {
            let what = format!("{kind} {body}");
            let answer = bob.request(kind, &sm, &stage.mn(), body).await?;
            ensure_eq!("5.14", code(&answer), 400, "the code of the answer to {what}");
        }
        for body in [json!({"resources": "x"}), json!({"resources": [7]}), json!({"resources": [""]})] {
            let what = format!("{kind} {body}");
            let answer = bob.request(kind, &sm, &stage.mn(), body).await?;
            ensure!("5.14", code(&answer) != 500, "the answer to {what} is {answer}");
        }
    }
    Ok(())
}

async fn without_source(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut carol = stage.open("carol").await?;
    // Whoever is named as source: what counts is the session that delivered the message.
    let list = json!([format!("{object}/changes")]);
    let sources = [json!({"resources": list}), json!({"resources": list, "source": carol.runtime})];
    for body in sources {
        let answer = bob.request("subscribe", &bob.sm(), &stage.mn(), body).await?;
        ensure_eq!("5.14", code(&answer), 200, "the code of the answer to subscribe");
    }
    alice.publish(&object, 1).await?;
    ensure_eq!("5.14", versions(&alice.fence(&mut bob).await?), [1], "what came to who asked");
    let got = alice.fence(&mut carol).await?;
    ensure!("INV-MN-5", got.is_empty(), "what another asked for came to carol: {got:?}");
    Ok(())
}

async fn types_in_any_case(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let mut alice = stage.open("alice").await?;
    let mut bob = stage.connect("bob").await?;
    let from = bob.runtime.clone();
    let admission = bob.admission.clone();
    let answer = bob.request("OPEN", &from, "mn:/session", admission).await?;
    ensure_eq!("2.1", code(&answer), 200, "the code of the answer to OPEN");
    let list = json!({"resources": [format!("{object}/changes")]});
    let answer = bob.request("SUBSCRIBE", &bob.sm(), &stage.mn(), list).await?;
    ensure_eq!("2.1", code(&answer), 200, "the code of the answer to SUBSCRIBE");
    alice.send("Update", &object, &format!("{object}/changes"), json!({"version": 1})).await?;
    ensure_eq!("2.1", versions(&alice.fence(&mut bob).await?), [1], "what came of an Update");
    Ok(())
}

async fn addresses_in_other_forms(stage: NodeStage) -> Verdict {
    let object = stage.object("o");
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    // Scheme and authority in any case, and one slash more at the end.
    let shouted = format!("{}/changes", object.replacen("comm://", "COMM://", 1));
    bob.subscribe(&stage, &[&shouted]).await?;
    alice.publish(&object, 1).await?;
    ensure_eq!("1.1", versions(&alice.fence(&mut bob).await?), [1], "what came to who subscribed {shouted}");
    bob.unsubscribe(&stage, &[&format!("{object}/changes/")]).await?;
    alice.publish(&object, 2).await?;
    let got = alice.fence(&mut bob).await?;
    ensure!("1.1", got.is_empty(), "an unsubscription with a slash at the end had no effect: {got:?}");
    Ok(())
}
