//! A creation that invites (protocol 5.2): whom, and no more than may be.

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::World;
use hyperty_model::StatusCode;
use hyperty_syncher::Accept;

use crate::invitations::{event, invited};
use crate::support::{Party, topic};

#[tokio::test(start_paused = true)]
async fn a_creation_invites_and_tells_the_answers() {
    let world = World::new(708);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let create = alice.hyperty.create(alice.runtime.schema(SCHEMA).unwrap()).data(topic("a"));
    let board = create.invite([bob.hyperty.url().clone()]).accept(Accept::None).await.unwrap();
    let invitation = invited(&bob.hyperty).await;
    assert_eq!(invitation.object(), board.url());
    assert_eq!(event(&board).await.code, StatusCode::PROVISIONAL);
    invitation.accept().await.unwrap();
    assert_eq!(event(&board).await.code, StatusCode::OK);
}

/// The limit of grants holds for those of the creation as well.
#[tokio::test(start_paused = true)]
async fn a_creation_grants_no_more_than_may_be() {
    let world = World::new(9310);
    let mut config = hyperty_runtime::SyncManagerConfig::default();
    config.grants_max = 2;
    let alice = Party::with(&world, "alice", |builder| builder.sync_manager(config)).await;
    let schema = alice.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
    let users = ["user://example.com/a", "user://example.com/b", "user://example.com/c"];
    let url = |user: &&str| hyperty_model::Url::parse(user).unwrap();
    for n in 1..=3 {
        let create = alice.hyperty.create(schema.clone()).name("board").data(topic("a"));
        let created = create.authorise(users[..n].iter().map(url)).await;
        match n {
            3 => assert!(
                matches!(
                    &created,
                    Err(hyperty_syncher::CreateError::Refused {
                        code: hyperty_model::StatusCode::INTERNAL,
                        ..
                    })
                ),
                "{created:?}"
            ),
            _ => drop(created.expect("as many as may be")),
        }
    }
}
