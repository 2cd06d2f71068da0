//! What every stub does: carry messages both ways.

use hyperty_message_bus::{SendError, StubStatus};
use hyperty_model::{Body, Message, MessageType};
use serde_json::{Value, json};

use super::far::{Far, OWN, PEER, inward, numbers, url};
use super::{End, Tried};
use crate::suites::{Broken, Checked, demand};

pub(super) fn run(tried: &mut Tried<'_>) {
    tried.case("messages leave in order, and once", "10.3", true, |far| Box::pin(outward(far)));
    tried.case("messages arrive in order, with their way", "5.15/frames", true, |far| Box::pin(inbound(far)));
    tried.case("nothing goes back where it came from", "INV-MSG-4", true, |far| Box::pin(back(far)));
    tried.case("members that nobody knows are carried", "INV-MSG-5", true, |far| Box::pin(unknown(far)));
    let sessions = tried.capabilities.sessions;
    tried.case("what is no message is dropped", "5.15/frames", sessions, |far| Box::pin(malformed(far)));
    tried.case("after a cut for good nothing is taken", "5.15/close", !sessions, |far| Box::pin(cut(far)));
}

/// A connection that carries messages.
async fn connected(far: &mut Far) -> Result<End, Broken> {
    if far.capabilities.sessions {
        return far.open("t1").await.map(|(end, _)| end);
    }
    let end = far.accept("INV-SES-3").await?;
    far.until("INV-SES-3", "live once it is connected", |far| far.status() == StubStatus::Live).await?;
    Ok(end)
}

async fn outward(far: &mut Far) -> Checked {
    let mut end = connected(far).await?;
    for number in 0..5 {
        far.control(number)?;
    }
    let mut found = Vec::new();
    while found.len() < 5 {
        found.push(far.next(&mut end, "10.3").await?);
    }
    found.extend(far.drain(&mut end).await);
    let is = numbers(&found);
    demand!("10.3", is == [0, 1, 2, 3, 4], "five messages left as {is:?}");
    Ok(())
}

async fn inbound(far: &mut Far) -> Checked {
    let end = connected(far).await?;
    for number in 0..20 {
        far.send_to_stub(&end, &inward(number)).await?;
    }
    far.until("5.15/frames", "twenty messages arrive", |far| far.received.lock().len() >= 20).await?;
    far.settle().await;
    let is = far.received();
    demand!("5.15/frames", is.iter().copied().eq(0..20), "twenty messages arrived as {is:?}");
    let stub = far.rig.stub.url().clone();
    for message in far.received.lock().iter() {
        demand!(
            "INV-MSG-4",
            message.hops() == [stub.clone()],
            "came through {stub}, its way is {:?}",
            message.hops()
        );
        let body: Value = serde_json::from_slice(message.body().raw()).unwrap_or_default();
        demand!("2.2", body.get("auth").is_none(), "auth came in through a stub: {body}");
    }
    Ok(())
}

async fn back(far: &mut Far) -> Checked {
    let mut end = connected(far).await?;
    let own = far.rig.stub.url().clone();
    let elsewhere = url("hyperty-runtime://elsewhere.example/protostub/9");
    let message =
        |id: u64| Message::new(id, MessageType::Event, url(OWN), url(PEER), Body::of(json!({"number": id})));
    for (id, hop) in [(1, &own), (2, &elsewhere)] {
        let sent = far.rig.stub.send(message(id).with_hop(hop.clone()));
        demand!("INV-MSG-4", sent.is_ok(), "what comes round is dropped in silence, not refused: {sent:?}");
    }
    let mut found = vec![far.next(&mut end, "10.3").await?];
    found.extend(far.drain(&mut end).await);
    demand!(
        "INV-MSG-4",
        numbers(&found) == [2],
        "of one that came round and one that did not left {found:?}"
    );
    let via = &found[0]["body"]["via"];
    demand!("INV-MSG-4", *via == json!([elsewhere]), "its way was [{elsewhere}] and left as {via}");
    Ok(())
}

async fn unknown(far: &mut Far) -> Checked {
    let mut end = connected(far).await?;
    let body = json!({"number": 1, "colour": {"of": ["sky", null, 1.5]}, "accessToken": "t"});
    let message = Message::new(1_u64, MessageType::Event, url(OWN), url(PEER), body.clone());
    demand!("10.3", far.rig.stub.send(message).is_ok(), "a message is refused");
    let left = far.next(&mut end, "10.3").await?;
    demand!("INV-MSG-5", left["body"] == body, "{body} left as {}", left["body"]);
    let sent = json!({"id": "6", "type": "event", "from": PEER, "to": OWN, "body": body});
    far.send_to_stub(&end, &sent).await?;
    far.until("5.15/frames", "a message arrives", |far| !far.received.lock().is_empty()).await?;
    let arrived: Value = serde_json::from_slice(far.received.lock()[0].body().raw()).unwrap_or_default();
    for member in ["colour", "accessToken", "number"] {
        let (was, is) = (&body[member], &arrived[member]);
        demand!("INV-MSG-5", was == is, "body.{member} was {was} and arrived as {is}");
    }
    Ok(())
}

async fn malformed(far: &mut Far) -> Checked {
    let end = connected(far).await?;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for text in ["", "{", "[]", "null", "{}", r#"{"id":1,"type":"event","from":"x","to":"y"}"#, &deep] {
        let sent = end.to_stub.send(text.to_owned().into()).await;
        demand!("5.15/frames", sent.is_ok(), "a frame that is no message ended the connection: {:.40}", text);
    }
    far.send_to_stub(&end, &inward(9)).await?;
    far.until("5.15/frames", "a message after some that are none", |far| far.received() == [9]).await?;
    demand!(
        "INV-SES-3",
        far.status() == StubStatus::Live,
        "it is {:?} after frames that are no message",
        far.status()
    );
    Ok(())
}

async fn cut(far: &mut Far) -> Checked {
    let end = connected(far).await?;
    drop(end);
    far.until("INV-SES-3", "disconnected after a cut", |far| far.status() == StubStatus::Disconnected)
        .await?;
    let sent = far.send(MessageType::Read, PEER, 1);
    demand!("5.15/close", sent == Err(SendError::Closed), "after a cut for good: {sent:?}");
    let told = far.told();
    demand!(
        "INV-SES-3",
        told.last() == Some(&StubStatus::Disconnected),
        "of the cut nothing was told: {told:?}"
    );
    Ok(())
}
