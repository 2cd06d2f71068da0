//! The node learns whose an object is before the new owner does: the answer to its claim is lost. What is asked of the
//! object meanwhile reaches a runtime at which nobody is yet, waits there, and is answered by the owner (INV-DLG-4).

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageType};
use hyperty_syncher::{Accept, ReporterEvent};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::delegation::PATIENCE;
use crate::support::{Party, topic};

/// Loses so many grants.
pub(crate) struct LoseGrants(pub(crate) AtomicUsize);

impl Interceptor for LoseGrants {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let is_grant = direction == Direction::Incoming
            && message.kind() == MessageType::Response
            && message.decode::<ResponseBody>().is_ok_and(|body| body.extra.contains_key("subscribers"));
        let lost = is_grant
            && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if lost { Verdict::Drop } else { Verdict::Pass(message) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_ahead_of_the_grant_is_answered_by_the_owner_inv_dlg_4() {
    let world = World::new(9_200);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (carol, dave) = (Party::new(&world, "carol").await, Party::new(&world, "dave").await);
    let board = alice.create(topic("a")).await;
    let copy = Arc::new(carol.observe(&board).await);
    bob.runtime.bus().add_interceptor(Arc::new(LoseGrants(AtomicUsize::new(1))));
    let mut offers = bob.hyperty.delegations();
    let taking = tokio::spawn(async move {
        let offer = timeout(PATIENCE, offers.next()).await.expect("an offer in time").expect("an offer");
        let report = offer.accept().observers(Accept::All).await.expect("it is taken over");
        let (mut events, mut requests) = (report.events(), report.requests());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let ReporterEvent::Read(request) = event {
                    request.accept();
                }
            }
        });
        while let Some(request) = requests.next().await {
            request.answer(json!("bob"));
        }
    });
    let (from, to) = (board.clone(), bob.hyperty.url().clone());
    let giving = tokio::spawn(async move { from.delegate(&to).await });
    // By then it is given, and everything in the domain says so; the next claim is seconds away.
    sleep(Duration::from_secs(6)).await;
    assert_eq!((alice.runtime.stats().given, bob.runtime.stats().taken), (1, 0));
    let url = board.url().clone();
    let reading = {
        let (dave, url) = (dave.hyperty.clone(), url.clone());
        tokio::spawn(async move { dave.read(&url).await.map(drop).map_err(|error| error.to_string()) })
    };
    let subscribing = {
        let (dave, url) = (dave.hyperty.clone(), url.clone());
        tokio::spawn(async move { dave.subscribe(&url).await.map_err(|error| error.to_string()) })
    };
    let acting = {
        let copy = Arc::clone(&copy);
        tokio::spawn(
            async move { copy.request("rename", json!("b")).await.map_err(|error| error.to_string()) },
        )
    };
    let adding = tokio::spawn(copy.children("notes").unwrap().add(json!({"by": "carol"})).into_future());

    assert_eq!(timeout(PATIENCE, reading).await.expect("an answer").unwrap(), Ok(()));
    let his = timeout(PATIENCE, subscribing).await.expect("an answer").unwrap().expect("it is accepted");
    assert_eq!(his.metadata().reporter, *bob.hyperty.url());
    let acted = timeout(PATIENCE, acting).await.expect("an answer").unwrap();
    assert_eq!(acted, Ok(json!("bob")));
    // Whoever adds a child is told after seconds that it is under way, and it arrives (M18).
    drop(timeout(PATIENCE, adding).await.expect("an answer").unwrap());
    sleep(Duration::from_secs(60)).await;
    let notes = his.children("notes").unwrap().list();
    assert_eq!(notes.iter().map(|child| &child.data["by"]).collect::<Vec<_>>(), ["carol"]);
    let _former = timeout(PATIENCE, giving).await.expect("an end").unwrap().expect("it is given");
    taking.abort();
}
