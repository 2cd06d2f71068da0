//! What a query finds at the registry, page by page (protocol 5.13).

use serde_json::{Value, json};

use super::registry::{ask, object_record, register};
use super::stage::NodeStage;
use crate::protocol::Verdict;
use crate::protocol::client::{Client, code};
use crate::{ensure, ensure_eq};

/// The URLs that a query finds.
pub(super) async fn found(client: &mut Client, stage: &NodeStage, query: Value) -> Verdict<Vec<String>> {
    let answer = ask(client, stage, "read", query.clone()).await?;
    if code(&answer) == 404 {
        return Ok(Vec::new());
    }
    ensure_eq!("5.13", code(&answer), 200, "the code of the answer to {query}");
    let value = answer["body"]["value"].as_object();
    let mut urls: Vec<String> = value.into_iter().flat_map(|map| map.keys().cloned()).collect();
    urls.sort();
    Ok(urls)
}

pub(super) async fn queries(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let (one, two, of_bob) = (stage.object("1"), stage.object("2"), stage.object("3"));
    let mut record = object_record(&stage, &alice, &one, "alice");
    register(&mut alice, &stage, &record).await?;
    record["url"] = json!(two);
    record["resources"] = json!(["video"]);
    register(&mut alice, &stage, &record).await?;
    let record_of_bob = object_record(&stage, &bob, &of_bob, "bob");
    register(&mut bob, &stage, &record_of_bob).await?;
    let user = stage.user("alice");
    let guid = format!("user-guid://{}-alice", stage.nonce);
    let (both, first) = (vec![one.clone(), two.clone()], vec![one.clone()]);
    let wanted = [
        (json!({"resource": user}), &both),
        (json!({"resource": guid}), &both),
        (json!({"resource": format!("/comm/user/{user}")}), &both),
        (json!({"resource": format!("/dataObject/user/{user}")}), &both),
        (json!({"resource": format!("/comm/user-guid/{guid}")}), &both),
        (json!({"resource": user, "criteria": {"dataSchemes": ["comm"]}}), &both),
        (json!({"resource": user, "criteria": {"resources": ["chat"]}}), &first),
        (
            json!({"resource": user, "criteria": {"resources": ["audio", "chat"], "dataSchemes": ["comm"]}}),
            &first,
        ),
        (json!({"resource": "/comm", "criteria": {"reporter": record["reporter"]}}), &both),
        (json!({"resource": record["name"]}), &both),
        (json!({"resource": one}), &first),
    ];
    for (query, wanted) in wanted {
        ensure_eq!("INV-REG-4", found(&mut bob, &stage, query.clone()).await?, *wanted, "found by {query}");
    }
    let nothing = [
        json!({"resource": format!("/hyperty/user/{user}")}),
        json!({"resource": user, "criteria": {"resources": ["chat", "video"]}}),
        json!({"resource": user, "criteria": {"dataSchemes": ["context"]}}),
        json!({"resource": stage.user("ali")}),
    ];
    for query in nothing {
        ensure_eq!("INV-REG-4", found(&mut bob, &stage, query.clone()).await?, [""; 0], "found by {query}");
    }
    Ok(())
}

/// More than fits one message is told page by page: each entry once, in order, with the code of the whole.
pub(super) async fn pages(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let mut wanted = Vec::new();
    for n in 0..24 {
        let url = stage.object(&format!("page-{n:02}"));
        let mut record = object_record(&stage, &alice, &url, "alice");
        record["description"] = json!("d".repeat(14_000));
        register(&mut alice, &stage, &record).await?;
        wanted.push(url);
    }
    let (mut found, mut page, mut asked) = (Vec::new(), Value::Null, 0);
    loop {
        let query = json!({"resource": stage.user("alice"), "page": page});
        let answer = ask(&mut bob, &stage, "read", query).await?;
        ensure_eq!("5.13", code(&answer), 200, "the code of page {asked}");
        let bytes = answer.to_string().len();
        ensure!("INV-REG-4", bytes < 256 << 10, "a page of {bytes} bytes");
        let value = answer["body"]["value"].as_object();
        let mut urls: Vec<String> = value.into_iter().flat_map(|map| map.keys().cloned()).collect();
        urls.sort();
        found.extend(urls);
        (page, asked) = (answer["body"]["next"].clone(), asked + 1);
        if page.is_null() || asked > wanted.len() {
            break;
        }
    }
    ensure_eq!("INV-REG-4", found, wanted, "what all {asked} pages tell");
    Ok(())
}
