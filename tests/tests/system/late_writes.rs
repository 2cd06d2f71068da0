//! A change that asks for a receipt is answered once (INV-MSG-1), also where its writer is no Reporter, or not any more:
//! after a deletion, a delegation, or a takeover. Written raw, past a Syncher that knows better.

use std::sync::Arc;

use hyperty_conformance::world::World;
use hyperty_message_bus::MiniBus;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Body, MessageId, MessageType, ObjectUrl};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::delegation::given;
use crate::support::{Party, topic};
use crate::takeover::{of_user, second};

/// To which message, with which code, and why.
type Answer = (MessageId, u16, Option<String>);

/// A seat of a hyperty of the suite's own beside the app, and the codes of all answers there.
struct Seat {
    minibus: MiniBus,
    answers: Arc<Mutex<Vec<Answer>>>,
    _listener: hyperty_message_bus::Listener,
}

impl Seat {
    fn beside(party: &Party) -> Seat {
        let url = format!("hyperty://example.com/{}-raw", party.name).parse().unwrap();
        let minibus = MiniBus::new(party.runtime.bus(), url).unwrap();
        let answers: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&answers);
        let listener = minibus.listen_any(move |message| {
            if message.kind() == MessageType::Response {
                let body = message.decode::<ResponseBody>().expect("an answer");
                seen.lock().push((message.id().clone(), body.code.0, body.reason.clone()));
            }
        });
        Seat { minibus, answers, _listener: listener.unwrap() }
    }

    /// Writes, and gives all answers that come of it.
    async fn write(&self, object: &ObjectUrl, receipt: bool) -> Vec<(u16, Option<String>)> {
        let body: Value = json!({
            "version": 1, "source": self.minibus.url(), "attribute": "n", "value": 1, "receipt": receipt,
            "lastModified": "2023-11-14T22:13:21.000Z",
        });
        let message =
            self.minibus.new_message(MessageType::Update, object.as_url(), &object.changes(), Body::of(body));
        let id = message.id().clone();
        self.minibus.post(message);
        sleep(std::time::Duration::from_secs(30)).await;
        let answers = self.answers.lock();
        answers.iter().filter(|(of, ..)| *of == id).map(|(_, code, reason)| (*code, reason.clone())).collect()
    }
}

fn one(code: u16, reason: Option<&str>) -> Vec<(u16, Option<String>)> {
    vec![(code, reason.map(str::to_owned))]
}

#[tokio::test(start_paused = true)]
async fn a_raw_write_with_receipt_is_answered_once_whatever_became_of_the_object_inv_msg_1() {
    let world = World::new(950);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let (hers, his) = (Seat::beside(&alice), Seat::beside(&bob));
    let unknown = "comm://example.com/never-made".parse().unwrap();
    assert_eq!(hers.write(&unknown, true).await, one(404, None));
    let board = alice.create(topic("a")).await;
    assert_eq!(hers.write(board.url(), true).await, one(403, None), "of another's object here");
    assert_eq!(his.write(board.url(), true).await, one(404, None), "of one that is not known here");
    let copy = bob.observe(&board).await;
    assert_eq!(his.write(board.url(), true).await, one(403, None), "of one that is observed here");
    assert_eq!(his.write(board.url(), false).await, [], "nothing was asked for");

    let (former, report) = given(&board, &bob).await;
    assert_eq!(hers.write(board.url(), true).await, one(403, Some("delegated")));
    former.unsubscribe().await.unwrap();
    assert_eq!(hers.write(board.url(), true).await, one(403, Some("delegated")), "nobody observes it here");
    assert_eq!(hers.write(board.url(), false).await, []);
    assert_eq!(report.data(), topic("a"));
    report.delete().await.unwrap();
    assert_eq!(his.write(board.url(), true).await, one(410, None));
    drop(copy);
}

/// Another device of the user has taken it over, and the former Reporter has stood down.
#[tokio::test(start_paused = true)]
async fn a_raw_write_at_the_seat_of_a_deposed_reporter_is_answered_inv_msg_1() {
    let world = World::new(951);
    let alice = Party::new(&world, "alice").await;
    let hers = Seat::beside(&alice);
    let board = alice.create(topic("a")).await;
    let image = Arc::new(alice.tables.snapshot());
    world.cut("alice");
    sleep(std::time::Duration::from_secs(120)).await;
    let (tablet, hyperty) = second(&world, "tablet", &image, "alice").await;
    tablet.connected().await;
    let taken = hyperty.resume_by(of_user("alice")).await.unwrap();
    assert_eq!(taken.reporters.len(), 1);
    world.heal("alice");
    sleep(std::time::Duration::from_secs(120)).await;
    assert!(board.is_closed());
    assert_eq!(hers.write(board.url(), true).await, one(409, Some("owner")));
}
