//! The session with a message node (protocol 5.15).

use std::sync::atomic::Ordering;

use hyperty_message_bus::{SendError, StubStatus};
use hyperty_model::MessageType;
use serde_json::json;
use tokio::time::Instant;

use super::Tried;
use super::far::{Far, OWN, PEER, inward, numbers};
use super::ours::RUNTIME;
use crate::suites::{Checked, demand};

const ROUTE: &str = "comm://example.com/1/changes";

pub(super) fn run(tried: &mut Tried<'_>) {
    let sessions = tried.capabilities.sessions;
    tried
        .case("live only after a 200 to its own question", "INV-SES-3", sessions, |far| Box::pin(opens(far)));
    tried.case("a refused session is asked for again", "INV-SES-3", sessions, |far| Box::pin(refused(far)));
    tried.case("routes are told before what waited", "INV-SES-1", sessions, |far| Box::pin(replays(far)));
    tried
        .case("a lost session is taken up by its token", "INV-SES-1", sessions, |far| Box::pin(reopens(far)));
    tried.case("a refused token leads to a fresh session", "INV-SES-2", sessions, |far| {
        Box::pin(forgotten(far))
    });
    tried.case("a replay that was not answered is made again", "INV-SES-1", sessions, |far| {
        Box::pin(unconfirmed(far))
    });
    tried.case("closing sends what waits, and says goodbye", "5.15/close", sessions, |far| {
        Box::pin(closes(far))
    });
    let silence = tried.capabilities.silence.is_some();
    tried.case("silence is noticed", "5.15/silence", sessions && silence, |far| Box::pin(falls_silent(far)));
}

async fn opens(far: &mut Far) -> Checked {
    let mut end = far.accept("INV-SES-3").await?;
    let opening = far.opening(&mut end, "open", None).await?;
    let sent = far.drain(&mut end).await;
    demand!("INV-SES-3", sent.is_empty(), "before it is open it sends {sent:?}");
    let told = far.told();
    let first = [StubStatus::Created, StubStatus::InProgress];
    demand!("INV-SES-3", told == first, "told {told:?} while it connects, should be {first:?}");

    // A yes to somebody else, and one that is none yet.
    let stranger = json!({"id": 4_711_000, "type": "response", "from": "mn:/session", "to": RUNTIME, "body": {"code": 200}});
    far.send_to_stub(&end, &stranger).await?;
    far.answer(&end, &opening, json!({"code": 100})).await?;
    far.settle().await;
    demand!(
        "INV-SES-2",
        far.status() == StubStatus::InProgress,
        "{:?} after a 200 to another question",
        far.status()
    );
    far.accept_open(&mut end, &opening, "t1").await?;
    let told = far.told();
    let all = [StubStatus::Created, StubStatus::InProgress, StubStatus::Live];
    demand!("INV-SES-3", told == all, "told {told:?}, should be {all:?}");
    Ok(())
}

async fn refused(far: &mut Far) -> Checked {
    far.control(1)?;
    let mut end = far.accept("INV-SES-3").await?;
    let opening = far.opening(&mut end, "open", None).await?;
    far.answer(&end, &opening, json!({"code": 403, "desc": "not admitted"})).await?;
    far.until("INV-SES-3", "a refusal is told", |far| far.told().contains(&StubStatus::Failed)).await?;
    let (mut end, _) = far.open("t1").await?;
    let sent = far.next(&mut end, "10.3").await?;
    demand!("10.3", numbers(std::slice::from_ref(&sent)) == [1], "instead of what waited came {sent}");
    let live = far.told().iter().filter(|status| **status == StubStatus::Live).count();
    demand!("INV-SES-3", live == 1, "live was told {live} times for one 200");
    Ok(())
}

async fn replays(far: &mut Far) -> Checked {
    far.set_routes(&[ROUTE]);
    for number in 1..=3 {
        far.control(number)?;
    }
    let (mut end, _) = far.open("t1").await?;
    let sent = far.drain(&mut end).await;
    demand!("10.3", numbers(&sent) == [1, 2, 3] && sent.len() == 3, "after the replay came {sent:?}");
    Ok(())
}

async fn reopens(far: &mut Far) -> Checked {
    far.set_routes(&[ROUTE]);
    let (end, _) = far.open("t1").await?;
    far.lose(end).await?;
    let mut end = far.accept("INV-SES-1").await?;
    far.control(1)?;
    // The node goes on where the session left off, perhaps before it answers.
    let opening = far.opening(&mut end, "re-open", Some("t1")).await?;
    far.send_to_stub(&end, &inward(5)).await?;
    far.answer(&end, &opening, json!({"code": 200})).await?;
    far.until("INV-SES-3", "live after a 200", |far| far.status() == StubStatus::Live).await?;
    let sent = far.drain(&mut end).await;
    demand!("INV-SES-1", sent.len() == 1 && numbers(&sent) == [1], "re-opened, it sent {sent:?}");
    far.until("INV-SES-1", "what the node sent meanwhile", |far| far.received() == [5]).await?;
    let told = far.told();
    let again = [StubStatus::Disconnected, StubStatus::InProgress, StubStatus::Live];
    demand!("INV-SES-3", told.ends_with(&again), "told {told:?}, should end with {again:?}");
    Ok(())
}

async fn forgotten(far: &mut Far) -> Checked {
    let (end, _) = far.open("t1").await?;
    far.lose(end).await?;
    far.set_routes(&[ROUTE]);
    let mut end = far.accept("INV-SES-1").await?;
    let opening = far.opening(&mut end, "re-open", Some("t1")).await?;
    far.control(1)?;
    far.answer(&end, &opening, json!({"code": 500, "desc": "Reconnection fail. Incorrect runtime token!"}))
        .await?;
    far.settle().await;
    demand!("INV-SES-2", far.status() != StubStatus::Live, "live with a token that was refused");
    // On the same connection or another.
    let mut end = if end.to_stub.is_closed() { far.accept("INV-SES-1").await? } else { end };
    let opening = far.opening(&mut end, "open", None).await?;
    far.accept_open(&mut end, &opening, "t2").await?;
    let sent = far.drain(&mut end).await;
    demand!("10.3", numbers(&sent) == [1] && sent.len() == 1, "after the replay came {sent:?}");
    far.lose(end).await?;
    let mut end = far.accept("INV-SES-1").await?;
    far.opening(&mut end, "re-open", Some("t2")).await?;
    Ok(())
}

async fn unconfirmed(far: &mut Far) -> Checked {
    far.set_routes(&[ROUTE]);
    let mut end = far.accept("INV-SES-1").await?;
    let opening = far.opening(&mut end, "open", None).await?;
    far.answer(&end, &opening, json!({"code": 200, "runtimeToken": "t1"})).await?;
    let replayed = far.next(&mut end, "INV-SES-1").await?;
    demand!("INV-SES-1", replayed["type"] == "subscribe", "instead of its routes it sent {replayed}");
    // The node may have lost them with the connection: this session cannot be relied on.
    far.lose(end).await?;
    far.open("t2").await?;
    Ok(())
}

async fn closes(far: &mut Far) -> Checked {
    let (mut end, _) = far.open("t1").await?;
    far.control(1)?;
    let closing = tokio::spawn((far.rig.close)());
    let sent = far.next(&mut end, "5.15/close").await?;
    demand!("5.15/close", numbers(std::slice::from_ref(&sent)) == [1], "instead of what waited came {sent}");
    let goodbye = far.next(&mut end, "5.15/close").await?;
    let as_told = goodbye["type"] == "close" && goodbye["from"] == format!("{RUNTIME}/t1");
    demand!("5.15/close", as_told, "instead of a goodbye came {goodbye}");
    let refused = far.send(MessageType::Read, PEER, 2);
    demand!("5.15/close", refused == Err(SendError::Closed), "while it closes it takes more: {refused:?}");
    drop(end);
    let ended = closing.await;
    demand!("5.15/close", ended.is_ok(), "closing ended badly: {ended:?}");
    let (status, told) = (far.status(), far.told());
    let over = status == StubStatus::Disconnected && told.last() == Some(&StubStatus::Disconnected);
    demand!("INV-SES-3", over, "closed, it is {status:?} and told {told:?}");
    far.settle().await;
    let again = far.rig.connections.try_recv().is_ok();
    demand!("5.15/close", !again, "closed, it connects again");
    Ok(())
}

async fn falls_silent(far: &mut Far) -> Checked {
    let Some(silence) = far.capabilities.silence else { return Ok(()) };
    let (end, _) = far.open("t1").await?;
    // As long as anything moves, nothing is lost.
    for number in 0..4 {
        tokio::time::sleep(silence / 2).await;
        far.send_to_stub(&end, &inward(number)).await?;
    }
    demand!(
        "5.15/silence",
        far.status() == StubStatus::Live,
        "{:?} although messages for {OWN} come",
        far.status()
    );
    end.silent.store(true, Ordering::SeqCst);
    let since = Instant::now();
    far.until("5.15/silence", "a silent connection is given up", |far| far.status() != StubStatus::Live)
        .await?;
    let (took, most) = (since.elapsed(), silence * 2);
    demand!("5.15/silence", took <= most, "noticed after {took:?}, should be within {most:?}");
    let mut next = far.accept("5.15/silence").await?;
    far.opening(&mut next, "re-open", Some("t1")).await?;
    drop(end);
    Ok(())
}
