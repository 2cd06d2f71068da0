//! What waits for a connection (protocol 10.3, M15, INV-EXT-4).

use hyperty_message_bus::SendError;
use hyperty_model::MessageType;
use serde_json::{Value, json};

use super::Tried;
use super::far::{Far, OWN, PEER, numbers, url};
use crate::suites::{Checked, demand};

const STREAM: &str = "comm://example.com/a/changes";
const OTHER: &str = "comm://example.com/b/changes";

pub(super) fn run(tried: &mut Tried<'_>) {
    let queue = tried.capabilities.sessions && tried.capabilities.queue.is_some();
    tried.case("waiting updates of one object give way to its newest", "10.3", queue, |far| {
        Box::pin(conflates(far))
    });
    tried.case("children give way one by one", "10.3", queue, |far| Box::pin(children(far)));
    tried.case("what must not be dropped is refused, and taken again", "INV-EXT-4", queue, |far| {
        Box::pin(refuses(far))
    });
}

async fn conflates(far: &mut Far) -> Checked {
    let limit = far.capabilities.queue.unwrap_or_default() as u64;
    far.control(1_000)?;
    for (to, number) in [(OTHER, 2_000)].into_iter().chain((0..5 * limit).map(|number| (STREAM, number))) {
        let sent = far.send(MessageType::Update, to, number);
        demand!("10.3", sent.is_ok(), "an update that can replace an older one is refused: {sent:?}");
    }
    far.control(1_001)?;
    let (mut end, _) = far.open("t1").await?;
    let sent = numbers(&far.drain(&mut end).await);
    let newest = 5 * limit - 1;
    for (number, what) in
        [(1_000, "a request"), (1_001, "a request"), (2_000, "the only update of an object")]
    {
        demand!("10.3", sent.contains(&number), "{what}, {number}, was dropped: {sent:?} is left");
    }
    demand!("10.3", sent.contains(&newest), "the newest update, {newest}, was dropped: {sent:?} is left");
    demand!("INV-EXT-4", sent.len() as u64 <= limit, "{} messages waited, at most {limit} may", sent.len());
    let order: Vec<u64> = sent.iter().copied().filter(|number| *number < 1_000).collect();
    demand!("10.3", order.is_sorted(), "updates of one object left as {order:?}");
    Ok(())
}

async fn children(far: &mut Far) -> Checked {
    let limit = far.capabilities.queue.unwrap_or_default() as u64;
    let channel = url("comm://example.com/a/children/notes");
    let last = 10 * limit;
    for number in 0..last {
        // One child less than fits.
        let child = format!("{OWN}#{}", number % (limit - 1));
        let body = json!({"resource": child, "number": number});
        let message =
            hyperty_model::Message::new(number, MessageType::Update, url(OWN), channel.clone(), body);
        let sent = far.rig.stub.send(message);
        demand!(
            "10.3",
            sent.is_ok(),
            "an update of a child that can replace an older one is refused: {sent:?}"
        );
    }
    let (mut end, _) = far.open("t1").await?;
    let sent: Vec<Value> = far.drain(&mut end).await;
    let is = numbers(&sent);
    let missing: Vec<u64> = (last - (limit - 1)..last).filter(|number| !is.contains(number)).collect();
    demand!(
        "10.3",
        missing.is_empty(),
        "the newest updates {missing:?} of children were dropped: {is:?} is left"
    );
    demand!("INV-EXT-4", is.len() as u64 <= limit, "{} messages waited, at most {limit} may", is.len());
    Ok(())
}

async fn refuses(far: &mut Far) -> Checked {
    let limit = far.capabilities.queue.unwrap_or_default() as u64;
    let mut taken = Vec::new();
    for number in 0..10 * limit {
        match far.send(MessageType::Read, PEER, number) {
            Ok(()) => taken.push(number),
            Err(SendError::Full) => {}
            Err(SendError::Closed) => {
                demand!("10.3", false, "a stub without a connection says that it is closed")
            }
        }
    }
    demand!("INV-EXT-4", taken.len() as u64 <= limit, "{} requests wait, at most {limit} may", taken.len());
    demand!("10.3", taken.len() as u64 == limit, "{} requests wait, there is room for {limit}", taken.len());
    let update = far.send(MessageType::Update, STREAM, 5_000);
    demand!("10.3", update == Err(SendError::Full), "an update pushes a request out: {update:?}");
    let (mut end, _) = far.open("t1").await?;
    let sent = numbers(&far.drain(&mut end).await);
    demand!("10.3", sent == taken, "{taken:?} were taken, {sent:?} left");
    far.control(6_000)?;
    let sent = far.next(&mut end, "10.3").await?;
    demand!("10.3", numbers(std::slice::from_ref(&sent)) == [6_000], "with room again left {sent}");
    Ok(())
}
