//! Invitation and announcement as a whole (protocol 5.2, INV-INV-1, INV-INV-2, INV-INV-3): who is told, who is let in, what the
//! Reporter hears, and what is left of it after losses and restarts.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_message_bus::MiniBus;
use hyperty_model::{HypertyUrl, ManualClock, MessageType, StatusCode, Timestamp};
use hyperty_runtime::Hyperty;
use hyperty_storage::{InvitedStage, MemoryTables, Role};
use hyperty_syncher::{
    Accept, ChildError, Invitation, InviteAnswer, InviteAnswers, InviteError, Reporter, ReporterEvent,
    RevokeError, SubscribeError,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::{Spy, stored};
use crate::support::{Party, topic};

/// Longer than any exchange, and than the longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn invited(hyperty: &Hyperty) -> Invitation {
    timeout(PATIENCE, hyperty.invitations().next()).await.expect("an invitation in time").expect("it goes on")
}

async fn not_invited(hyperty: &Hyperty) {
    assert!(timeout(PATIENCE, hyperty.invitations().next()).await.is_err());
}

async fn answer(answers: &mut InviteAnswers) -> (HypertyUrl, u16, bool) {
    let answer = timeout(PATIENCE, answers.next()).await.expect("an answer in time").expect("more to come");
    (answer.invitee, answer.code.0, answer.provisional)
}

/// The next answer that is told as an event.
pub(crate) async fn event(reporter: &Reporter) -> InviteAnswer {
    let mut events = reporter.events();
    let reading = async {
        loop {
            if let Some(ReporterEvent::InviteAnswer(answer)) = events.next().await {
                return answer;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("an answer in time")
}

async fn refused(hyperty: &Hyperty, board: &Reporter) -> u16 {
    match timeout(PATIENCE, hyperty.subscribe(board.url())).await.expect("an answer in time") {
        Err(SubscribeError::Refused { code, .. }) => code.0,
        other => panic!("{other:?}"),
    }
}

/// An object that nobody observes who was not invited.
async fn closed(party: &Party) -> Reporter {
    let board = party.create(topic("a")).await;
    board.accept(Accept::None);
    board
}

#[tokio::test(start_paused = true)]
async fn the_invited_are_told_once_and_come_in_without_the_application_inv_inv_1_2_3() {
    let world = World::new(700);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let carol = Party::new(&world, "carol").await;
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = closed(&alice).await;
    let spies = [Spy::on(bob.runtime.bus()), Spy::on(carol.runtime.bus())];
    let who = [bob.hyperty.url(), carol.hyperty.url(), neighbour.url()].map(Clone::clone);
    let mut answers = board.invite(who.clone()).await.unwrap();
    let mut arrived: Vec<_> =
        [answer(&mut answers).await, answer(&mut answers).await, answer(&mut answers).await].into();
    arrived.sort();
    let mut expected = who.clone().map(|who| (who, 100, true));
    expected.sort();
    assert_eq!(arrived, expected);

    let invitation = invited(&bob.hyperty).await;
    assert_eq!((invitation.object(), invitation.metadata().name.as_str()), (board.url(), "board"));
    assert_eq!(invitation.reporter(), alice.hyperty.url());
    assert_eq!(invitation.identity().unwrap().user(), Some("user://example.com/alice"));
    let observer = invitation.accept().await.unwrap();
    assert_eq!(observer.data(), topic("a"));
    assert_eq!(answer(&mut answers).await, (bob.hyperty.url().clone(), 200, false));
    let near = invited(&neighbour).await.accept().await.unwrap();
    assert_eq!((near.data(), answer(&mut answers).await.1), (topic("a"), 200));
    assert_eq!(refused(&neighbour_of(&bob).await, &board).await, 403);

    invited(&carol.hyperty).await.decline("no time");
    let declined = timeout(PATIENCE, answers.next()).await.unwrap().unwrap();
    assert_eq!((declined.code, declined.reason.as_str()), (StatusCode::DECLINED, "no time"));
    assert!(timeout(PATIENCE, answers.next()).await.unwrap().is_none(), "all have said their last word");
    assert_eq!(refused(&carol.hyperty, &board).await, 403, "declining takes the grant back");
    for spy in &spies {
        let of = |message: &hyperty_model::Message| message.kind() == MessageType::Create;
        assert_eq!(spy.incoming(of).len(), 1);
    }
    assert!(stored(&alice, Role::Reporter)[0].invitations.is_empty());
}

async fn neighbour_of(party: &Party) -> Hyperty {
    party.runtime.deploy("neighbour").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_is_away_is_invited_when_it_comes_back_also_by_the_next_session() {
    let world = World::new(701);
    let alice = Party::new(&world, "alice").await;
    let board = closed(&alice).await;
    // Its address is known; there is no such hyperty yet.
    let tables = Arc::new(MemoryTables::new());
    let runtime = world.runtime("bob", &tables).await;
    let bob = runtime.deploy("app").await.unwrap();
    let url = bob.url().clone();
    runtime.shutdown().await.unwrap();
    drop((bob, runtime));
    let tables = Arc::new(tables.snapshot());
    let mut answers = board.invite([url.clone()]).await.unwrap();
    assert_eq!(answer(&mut answers).await, (url.clone(), 408, true));
    assert_eq!(stored(&alice, Role::Reporter)[0].invitations[0].stage, InvitedStage::Waiting);
    drop((answers, board));
    let alice = alice.crash().await;
    alice.reporter().accept(Accept::None);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(event(&alice.reporter()).await.code, StatusCode::TIMEOUT);

    let runtime = world.runtime("bob", &tables).await;
    let bob = runtime.deploy("app").await.unwrap();
    assert_eq!(*bob.url(), url);
    let invitation = invited(&bob).await;
    let arrived = event(&alice.reporter()).await;
    assert_eq!(
        (arrived.invitee, arrived.code, arrived.provisional),
        (url.clone(), StatusCode::PROVISIONAL, true)
    );
    assert_eq!(stored(&alice, Role::Reporter)[0].invitations[0].stage, InvitedStage::Delivered);
    // The Reporter's runtime is gone while it is decided; what counts is the subscription.
    let alice = alice.crash().await;
    alice.reporter().accept(Accept::None);
    sleep(PATIENCE).await;
    not_invited(&bob).await;
    invitation.accept().await.unwrap();
    assert_eq!(event(&alice.reporter()).await.code, StatusCode::OK);
    assert!(stored(&alice, Role::Reporter)[0].invitations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_only_delays_an_invitation() {
    let world = World::new(702);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = closed(&alice).await;
    for cut in ["bob", "alice"] {
        world.cut(cut);
        sleep(Duration::from_secs(1)).await;
        let mut answers = board.invite([bob.hyperty.url().clone()]).await.unwrap();
        let waits = answer(&mut answers).await;
        assert_eq!((waits.1, waits.2), (408, true), "{cut}");
        world.heal(cut);
        let invitation = invited(&bob.hyperty).await;
        assert_eq!(answer(&mut answers).await.1, 100, "{cut}");
        invitation.decline("no");
        assert_eq!(answer(&mut answers).await.1, 406, "{cut}");
    }
    // An answer that takes longer than anybody waits for it.
    let mut answers = board.invite([bob.hyperty.url().clone()]).await.unwrap();
    let invitation = invited(&bob.hyperty).await;
    assert_eq!(answer(&mut answers).await.1, 100);
    sleep(Duration::from_secs(24 * 3600)).await;
    invitation.decline("no");
    assert_eq!(answer(&mut answers).await.1, 406);
    assert_eq!(refused(&bob.hyperty, &board).await, 403);
}

/// A Reporter whose clock the test turns.
async fn timed(
    world: &World,
    tables: &Arc<MemoryTables>,
    clock: &Arc<ManualClock>,
) -> (hyperty_runtime::Runtime, Hyperty) {
    let clock: Arc<dyn hyperty_model::Clock> = Arc::clone(clock) as _;
    let runtime = world.runtime_with("alice", tables, |builder| builder.clock(clock)).await;
    runtime.schema(SCHEMA).unwrap();
    let hyperty = runtime.deploy("app").user("user://example.com/alice").await.unwrap();
    (runtime, hyperty)
}

#[tokio::test(start_paused = true)]
async fn an_invitation_ends_and_whoever_observes_by_then_goes_on() {
    let world = World::new(703);
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    let tables = Arc::new(MemoryTables::new());
    let (runtime, alice) = timed(&world, &tables, &clock).await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let create = alice.create(runtime.schema(SCHEMA).unwrap()).data(topic("a")).store(true);
    let board = create.accept(Accept::None).await.unwrap();
    let who = [bob.hyperty.url().clone(), carol.hyperty.url().clone()];
    let hour = Duration::from_secs(3600);
    let mut answers = board.invite(who).until(hour).await.unwrap();
    let (to_bob, to_carol) = (invited(&bob.hyperty).await, invited(&carol.hyperty).await);
    assert_eq!((answer(&mut answers).await.1, answer(&mut answers).await.1), (100, 100));
    clock.advance(hour - Duration::from_millis(1));
    let mut observer = to_bob.accept().await.unwrap();
    assert_eq!(answer(&mut answers).await.1, 200);
    clock.advance(Duration::from_millis(1));
    assert!(matches!(
        to_carol.accept().await,
        Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, .. })
    ));
    // Who observes goes on, and may come back to it.
    board.set("topic", "b").await.unwrap();
    crate::support::settled(&mut observer, 1).await;
    board.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
    observer.children("notes").unwrap().add(json!({"n": 2})).await.unwrap();
    drop((board, observer, answers));
    drop(alice);
    runtime.abort();
    let tables = Arc::new(tables.snapshot());
    let (_runtime, alice) = timed(&world, &tables, &clock).await;
    alice.resumed().reporters[0].accept(Accept::None);
    let bob = bob.crash().await;
    assert_eq!(bob.hyperty.subscribe(alice.resumed().reporters[0].url()).await.unwrap().data(), topic("b"));
    assert_eq!(refused(&carol.hyperty, &alice.resumed().reporters[0]).await, 403);
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_nobody_answers_ends_and_the_reporter_hears_so() {
    let world = World::new(704);
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
    let (runtime, alice) = timed(&world, &Arc::new(MemoryTables::new()), &clock).await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(runtime.schema(SCHEMA).unwrap()).await.unwrap();
    let nobody: HypertyUrl = "hyperty://example.com/nobody".parse().unwrap();
    let mut answers =
        board.invite([bob.hyperty.url().clone(), nobody.clone()]).until(PATIENCE).await.unwrap();
    let mut first = [answer(&mut answers).await.1, answer(&mut answers).await.1];
    first.sort_unstable();
    assert_eq!(first, [100, 408]);
    clock.advance(PATIENCE);
    let ended = [answer(&mut answers).await, answer(&mut answers).await];
    assert!(ended.iter().all(|(_, code, provisional)| (*code, *provisional) == (408, false)), "{ended:?}");
    assert!(timeout(PATIENCE, answers.next()).await.unwrap().is_none());
    assert!(matches!(
        board.invite([nobody]).until(Duration::ZERO).await,
        Err(InviteError::Refused { code: StatusCode::BAD_REQUEST, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_scope_of_an_invitation_is_held_for_as_long_as_its_observer_observes() {
    let world = World::new(705);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = closed(&alice).await;
    let who = [bob.hyperty.url().clone(), neighbour.url().clone()];
    let mut answers = board.invite(who).children(false).await.unwrap();
    let to_bob = invited(&bob.hyperty).await;
    assert!(!to_bob.scope().children);
    let _far = to_bob.accept().store(true).await.unwrap();
    let near = invited(&neighbour).await.accept().await.unwrap();
    while answer(&mut answers).await.1 != 200 {}
    let denied = |result| matches!(result, Err(ChildError::Refused { code: StatusCode::FORBIDDEN, .. }));
    for observer in [&_far, &near] {
        let added = observer.children("notes").unwrap().add(json!({"n": 1})).await;
        assert!(denied(added.map(drop)));
        assert!(observer.children("notes").unwrap().list().is_empty());
    }
    assert!(board.children("notes").unwrap().list().is_empty());
    // After a restart of both sides too, where the observer came back by itself.
    drop((board, answers, _far, near));
    drop(neighbour);
    let (alice, bob) = (alice.crash().await, bob.crash().await);
    alice.reporter().accept(Accept::All);
    sleep(PATIENCE).await;
    let added = bob.observer().children("notes").unwrap().add(json!({"n": 1})).await;
    assert!(denied(added.map(drop)));
    // A new invitation says anew what is allowed.
    let _answers = alice.reporter().invite([bob.hyperty.url().clone()]).await.unwrap();
    sleep(PATIENCE).await;
    bob.hyperty.subscribe(alice.reporter().url()).await.unwrap();
    bob.observer().unsubscribe().await.unwrap();
    let observer = bob.hyperty.subscribe(alice.reporter().url()).await.unwrap();
    observer.children("notes").unwrap().add(json!({"n": 1})).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_invitation_is_taken_back_before_it_is_used_and_not_after() {
    let world = World::new(706);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = closed(&alice).await;
    let url = bob.hyperty.url().clone();
    assert_eq!(board.revoke(&url).await, Err(RevokeError::NotGranted));
    let answers = board.invite([url.clone()]).await.unwrap();
    let invitation = invited(&bob.hyperty).await;
    board.revoke(&url).await.unwrap();
    assert!(invitation.accept().await.is_err());
    assert_eq!(refused(&bob.hyperty, &board).await, 403);
    drop(answers);
    // Durable when it is answered.
    board.invite([url.clone()]).await.unwrap();
    board.revoke(&url).await.unwrap();
    drop(board);
    let alice = alice.crash().await;
    let board = alice.reporter();
    board.accept(Accept::None);
    assert_eq!(refused(&bob.hyperty, &board).await, 403);

    let _answers = board.invite([url.clone()]).await.unwrap();
    let _observer = bob.hyperty.subscribe(board.url()).await.unwrap();
    assert_eq!(board.revoke(&url).await, Err(RevokeError::Observing));
    // Users are granted without being told, and taken back alike.
    let user: hyperty_model::Url = "user://example.com/carol".parse().unwrap();
    let carol = Party::new(&world, "carol").await;
    assert!(timeout(PATIENCE, board.invite([user.clone()]).await.unwrap().next()).await.unwrap().is_none());
    carol.hyperty.subscribe(board.url()).await.unwrap().unsubscribe().await.unwrap();
    board.revoke(&user).await.unwrap();
    assert_eq!(refused(&carol.hyperty, &board).await, 403);
}

#[tokio::test(start_paused = true)]
async fn an_announcement_grants_nothing() {
    let world = World::new(707);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = closed(&alice).await;
    let mut answers = board.invite([bob.hyperty.url().clone()]).announce().await.unwrap();
    let invitation = invited(&bob.hyperty).await;
    assert!(invitation.is_announcement());
    assert!(matches!(
        invitation.accept().await,
        Err(SubscribeError::Refused { code: StatusCode::FORBIDDEN, .. })
    ));
    assert_eq!((answer(&mut answers).await.1, answer(&mut answers).await.1), (100, 408));
    assert!(stored(&alice, Role::Reporter)[0].grants.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_the_reporter_invites_and_within_limits() {
    let world = World::new(709);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = closed(&alice).await;
    let spy = Spy::on(alice.runtime.bus());
    // What a neighbour may say to its Sync Manager, in its own name.
    let neighbour =
        MiniBus::new(alice.runtime.bus(), "hyperty://example.com/neighbour".parse().unwrap()).unwrap();
    let manager = alice.runtime.url().sync_manager();
    let invite = json!({"resource": board.url(), "authorise": [neighbour.url()], "value": {}});
    let elsewhere = json!({"resource": "comm://example.com/nothing", "authorise": [neighbour.url()]});
    let revoke = json!({"resource": board.url(), "source": neighbour.url(), "reason": "revoked"});
    for (kind, body, code) in [
        (MessageType::Create, invite, StatusCode::FORBIDDEN),
        (MessageType::Create, elsewhere, StatusCode::NOT_FOUND),
        (MessageType::Unsubscribe, revoke, StatusCode::FORBIDDEN),
    ] {
        let request = neighbour.new_message(kind, neighbour.url(), &manager, body);
        assert_eq!(timeout(PATIENCE, neighbour.request(request)).await.unwrap().code(), code);
    }
    assert!(
        spy.outgoing(|m| m.kind() == MessageType::Create && m.from() == &board.url().subscription())
            .is_empty()
    );

    let many: Vec<HypertyUrl> =
        (0..1_001).map(|n| format!("hyperty://example.com/many-{n}").parse().unwrap()).collect();
    let too_many = board.invite(many).await;
    assert!(matches!(too_many, Err(InviteError::Refused { code: StatusCode::INTERNAL, .. })), "{too_many:?}");
    assert!(stored(&alice, Role::Reporter)[0].grants.is_empty(), "all or none");
    board.delete().await.unwrap();
    assert!(matches!(board.invite([bob.hyperty.url().clone()]).await, Err(InviteError::Closed)));
}
