//! Backups of objects that live in another domain than their Reporter or Observer (protocol 5.19): the user's next device
//! goes on with them, or is told what it cannot reach.

use hyperty_model::{Identity, ObjectUrl};
use hyperty_syncher::{Accept, Criteria, Observer, Reporter};
use tokio::time::{sleep, timeout};

use crate::backup::{AFTERWARDS, GONE, backed_up, is_backed_up, same};
use crate::delegation_domains::{Domains, HERE, One, THERE, create, given, observe};
use crate::support::{settled, topic};

fn of_bob() -> Criteria {
    Criteria::default().identity(Identity::of_user(&format!("user://{THERE}/bob")))
}

/// Alice's object, which lives at her domain, and which Bob, at home elsewhere, has taken over.
async fn taken_by_bob(domains: &Domains) -> (One, One, Observer, Reporter) {
    let alice = domains.party(HERE, "alice", |builder| builder).await;
    let laptop = domains.device(THERE, ("laptop", "bob"), &[HERE, THERE], backed_up).await;
    let board = create(&alice, Accept::All).await;
    let (former, board) = given(&board, &laptop.app).await;
    board.set("topic", "bob's").await.unwrap();
    (alice, laptop, former, board)
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_domain_is_gone_on_with_inv_bak_2() {
    let domains = Domains::new();
    let (_alice, laptop, mut copy, board) = taken_by_bob(&domains).await;
    is_backed_up(&board).await;
    let kept = || domains.nodes.iter().map(|(_, node)| node.stats().backups).collect::<Vec<_>>();
    assert_eq!(kept(), [1, 0], "it is kept where it lives");
    let (url, at) = (board.url().clone(), board.position());
    drop(board);
    laptop.runtime.abort();
    sleep(GONE).await;

    let phone = domains.device(THERE, ("phone", "bob"), &[HERE, THERE], backed_up).await;
    timeout(AFTERWARDS, phone.runtime.connected()).await.unwrap();
    let resumed = phone.app.resume_by(of_bob()).await.unwrap();
    assert_eq!((resumed.reporters.len(), resumed.missing.len()), (1, 0), "{resumed:?}");
    let board = resumed.reporters[0].clone();
    assert_eq!((board.url(), board.data()), (&url, topic("bob's")));
    assert_eq!((board.position().epoch, board.position().version), (at.epoch + 1, at.version + 1));
    board.set("topic", "the phone's").await.unwrap();
    settled(&mut copy, board.version()).await;
    same(&copy, &board).await;
    is_backed_up(&board).await;
    assert_eq!(kept(), [1, 0]);
    timeout(AFTERWARDS, board.delete()).await.unwrap().unwrap();
    sleep(AFTERWARDS).await;
    assert_eq!(kept(), [0, 0]);
}

/// Whoever names it hears that it cannot be reached; whoever asks for all has what is reached.
#[tokio::test(start_paused = true)]
async fn what_lives_out_of_reach_is_missing_and_nothing_else_waits_for_it() {
    let domains = Domains::new();
    let (_alice, laptop, _copy, board) = taken_by_bob(&domains).await;
    is_backed_up(&board).await;
    let own = {
        let schema = laptop.runtime.schema(hyperty_conformance::party::SCHEMA).unwrap();
        laptop.app.create(schema).data(topic("own")).store(true).await.unwrap()
    };
    is_backed_up(&own).await;
    let (url, own_url): (ObjectUrl, ObjectUrl) = (board.url().clone(), own.url().clone());
    drop((board, own));
    laptop.runtime.abort();
    sleep(GONE).await;

    let phone = domains.device(THERE, ("phone", "bob"), &[THERE], backed_up).await;
    timeout(AFTERWARDS, phone.runtime.connected()).await.unwrap();
    let named = phone.app.resume_by(of_bob().resources([url.clone()])).await.unwrap();
    assert_eq!((named.reporters.len(), &named.missing), (0, &vec![url]), "{named:?}");
    let all = phone.app.resume_by(of_bob()).await.unwrap();
    let urls: Vec<&ObjectUrl> = all.reporters.iter().map(Reporter::url).collect();
    assert_eq!((urls, all.missing.len()), (vec![&own_url], 0), "{all:?}");
}

/// It is kept at the home of who observes, wherever the object lives.
#[tokio::test(start_paused = true)]
async fn an_observation_in_another_domain_is_gone_on_with() {
    let domains = Domains::new();
    let alice = domains.party(HERE, "alice", |builder| builder).await;
    let laptop = domains.device(THERE, ("laptop", "bob"), &[HERE, THERE], backed_up).await;
    let board = create(&alice, Accept::All).await;
    let copy = observe(&laptop, &board).await;
    sleep(AFTERWARDS).await;
    let kept: Vec<usize> = domains.nodes.iter().map(|(_, node)| node.stats().backups).collect();
    assert_eq!(kept, [0, 1]);
    drop(copy);
    laptop.runtime.abort();
    sleep(GONE).await;
    board.accept(Accept::None);
    board.set("topic", "b").await.unwrap();

    let phone = domains.device(THERE, ("phone", "bob"), &[HERE, THERE], backed_up).await;
    timeout(AFTERWARDS, phone.runtime.connected()).await.unwrap();
    let resumed = phone.app.observe_by(of_bob()).await.unwrap();
    assert_eq!((resumed.observers.len(), resumed.missing.len()), (1, 0), "{resumed:?}");
    let mut copy = resumed.observers[0].clone();
    board.set("topic", "c").await.unwrap();
    settled(&mut copy, 2).await;
    same(&copy, &board).await;
}
