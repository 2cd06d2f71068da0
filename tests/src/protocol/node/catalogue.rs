//! The schema catalogue (protocol M22).

use serde_json::json;

use super::stage::{NodeStage, node_cases};
use super::{NodeCase, refused_by_node};
use crate::ensure_eq;
use crate::protocol::Verdict;
use crate::protocol::client::code;

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "M22/upload-and-read" checks ["M22"] needs [Catalogue] => upload_and_read;
    }
}

async fn upload_and_read(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let url = format!(
        "hyperty-catalogue://catalogue.{}/.well-known/dataschema/S{}",
        stage.domain(),
        stage.nonce.replace('-', "x")
    );
    let (from, to) = (alice.sm(), stage.catalogue());
    let schema = json!({"title": "T", "type": "object", "properties": {"scheme": {"constant": "comm"}}});
    let other = json!({"title": "U", "type": "object", "properties": {"scheme": {"constant": "comm"}}});
    let read = json!({"resource": url});
    let answer = alice.request("read", &from, &to, read.clone()).await?;
    refused_by_node_or_not_found(&stage, &answer)?;
    for time in ["", " again"] {
        let answer = alice.request("create", &from, &to, json!({"resource": url, "value": schema})).await?;
        ensure_eq!("M22", code(&answer), 200, "the code of the answer to an upload{time}");
    }
    let reader = bob.sm();
    let answer = bob.request("read", &reader, &to, read.clone()).await?;
    ensure_eq!("M22", (code(&answer), &answer["body"]["value"]), (200, &schema), "what is read");
    let answer = bob.request("create", &reader, &to, json!({"resource": url, "value": other})).await?;
    refused_by_node(&stage, &answer, 409, "M22", "another schema under the same URL")?;
    let answer = bob.request("read", &reader, &to, read).await?;
    ensure_eq!("M22", answer["body"]["value"], schema, "what is read after that was refused");
    Ok(())
}

/// Unknown is not the same as unreachable: the node says 404, and not that it knows no way.
fn refused_by_node_or_not_found(stage: &NodeStage, answer: &serde_json::Value) -> Verdict {
    ensure_eq!("M22", code(answer), 404, "the code of the answer for an unknown schema");
    let reason = answer["body"]["reason"].as_str().unwrap_or_default();
    if reason == "no-route" && stage.has(crate::protocol::Capability::Reasons) {
        let text = "an unknown schema is answered as if there were no catalogue";
        return Err(crate::protocol::Failure::new("M12", text).into());
    }
    Ok(())
}
