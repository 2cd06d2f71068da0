//! Records of objects that are kept for the devices of their users (protocol 5.19).

use std::sync::Arc;
use std::time::Duration;

use hyperty_message_node::admission::{AdmissionConfig, Claims, IssuerKey, TokenAdmission};
use hyperty_message_node::{MessageNode, NodeConfig};
use hyperty_model::{SeededIds, Timestamp};
use hyperty_storage::{MemoryTables, Tables};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, DOMAIN, REG, SESSION, assert_refused, code, node, reason, start};

const BACKUP: &str = "domain://msg-node.example.com/backup";

fn user(name: &str) -> String {
    format!("user://{DOMAIN}/{name}")
}

/// A record of one part, as its Reporter would save it.
fn record(object: &str, owner: &str, epoch: u64, version: u64, text: &str) -> Value {
    json!({"resource": object, "role": "reporter", "user": user(owner), "epoch": epoch, "version": version, "text": text})
}

async fn ask(client: &mut Client, kind: &str, body: Value) -> Value {
    let from = format!("{}/backup", client.runtime);
    client.request(kind, &from, BACKUP, body).await
}

/// The text of a record, or why there is none.
async fn fetched(client: &mut Client, object: &str, owner: &str) -> Result<String, u64> {
    let answer = ask(client, "read", json!({"resource": object, "user": user(owner)})).await;
    match code(&answer) {
        200 => Ok(answer["body"]["text"].as_str().unwrap().to_owned()),
        code => Err(code),
    }
}

async fn listed(client: &mut Client, owner: &str, role: &str) -> Vec<Value> {
    let answer = ask(client, "read", json!({"role": role, "user": user(owner)})).await;
    assert_eq!(code(&answer), 200, "{answer}");
    answer["body"]["value"].as_array().unwrap().clone()
}

/// Registers an object for a user, so that another device may go on with it.
async fn register(client: &mut Client, object: &str, owner: &str, epoch: u64) -> Value {
    let value = json!({
        "url": object, "user": user(owner), "runtime": client.runtime, "schema": "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/S",
        "name": "n", "reporter": "hyperty://example.com/h", "epoch": epoch, "resources": [], "expires": 3600, "status": "live",
    });
    let from = format!("{}/registry", client.runtime);
    client.request("create", &from, REG, json!({"value": value})).await
}

#[tokio::test(start_paused = true)]
async fn a_record_is_saved_listed_fetched_and_removed() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    let saved = ask(&mut phone, "create", record(&object, "alice", 0, 3, "{\"a\":1}")).await;
    assert_eq!((code(&saved), &saved["body"]["kept"]), (200, &json!({"epoch": 0, "version": 3})));
    let mut tablet = Client::open(&node, "tablet").await;
    assert_eq!(fetched(&mut tablet, &object, "alice").await, Ok("{\"a\":1}".to_owned()));
    let list = listed(&mut tablet, "alice", "reporter").await;
    assert_eq!(
        list,
        [json!({"resource": object, "runtime": phone.runtime, "epoch": 0, "version": 3, "bytes": 7})]
    );
    assert_eq!(listed(&mut tablet, "alice", "observer").await, Vec::<Value>::new());
    assert_eq!((node.stats().backups, node.stats().backup_bytes, node.stats().backed_up), (1, 7, 1));
    // Another device may not remove what it has not gone on with.
    let removal =
        |epoch: u64| json!({"resource": object, "user": user("alice"), "epoch": epoch, "version": 0});
    let refused = ask(&mut tablet, "delete", removal(0)).await;
    assert_refused(&refused, 409, "outdated", BACKUP);
    assert_eq!(code(&ask(&mut phone, "delete", removal(0)).await), 200);
    assert_eq!(code(&ask(&mut phone, "delete", removal(0)).await), 200, "twice is once");
    assert_eq!(fetched(&mut tablet, &object, "alice").await, Err(404));
    assert!(node.metrics().contains("hyperty_backup_records 0"));
}

#[tokio::test(start_paused = true)]
async fn the_later_state_wins_and_who_was_overtaken_is_told() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    assert_eq!(code(&register(&mut phone, &object, "alice", 0).await), 200);
    assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 5, "five")).await), 200);
    let refused = ask(&mut phone, "create", record(&object, "alice", 0, 4, "four")).await;
    assert_refused(&refused, 409, "outdated", BACKUP);
    assert_eq!(refused["body"]["kept"], json!({"epoch": 0, "version": 5}));
    // The phone is gone; the tablet takes the object over.
    drop(phone);
    sleep(Duration::from_secs(61)).await;
    let mut tablet = Client::open(&node, "tablet").await;
    let before = ask(&mut tablet, "create", record(&object, "alice", 1, 6, "six")).await;
    assert_refused(&before, 403, "forbidden", BACKUP);
    assert_eq!(code(&register(&mut tablet, &object, "alice", 1).await), 200);
    assert_eq!(code(&ask(&mut tablet, "create", record(&object, "alice", 1, 6, "six")).await), 200);
    let mut phone = Client::open(&node, "phone").await;
    let late = ask(&mut phone, "create", record(&object, "alice", 0, 9, "nine")).await;
    assert_refused(&late, 409, "outdated", BACKUP);
    assert_eq!(fetched(&mut tablet, &object, "alice").await, Ok("six".to_owned()));
}

/// Observations of a runtime are its own; what a runtime saves of objects it must have.
#[tokio::test(start_paused = true)]
async fn a_stranger_saves_nothing_of_an_object_and_reads_nothing() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    let mut eve = Client::open(&node, "eve").await;
    let refused = ask(&mut eve, "create", record(&object, "eve", 7, 0, "eve's")).await;
    assert_refused(&refused, 403, "forbidden", BACKUP);
    let elsewhere = ask(&mut eve, "create", record("comm://example.org/1", "eve", 0, 0, "eve's")).await;
    assert_refused(&elsewhere, 403, "forbidden", BACKUP);
    let nobodys = ask(&mut eve, "create", record("comm://example.com/nobody", "eve", 0, 0, "eve's")).await;
    assert_refused(&nobodys, 403, "forbidden", BACKUP);
    assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 0, "alice's")).await), 200);
    assert_eq!(fetched(&mut eve, &object, "eve").await, Err(403));
    let observed = |text: &str| json!({"resource": object, "role": "observer", "user": user("eve"), "version": 0, "text": text});
    assert_eq!(code(&ask(&mut eve, "create", observed("e")).await), 200);
    assert_eq!(listed(&mut eve, "alice", "observer").await.len(), 0);
    assert_eq!(fetched(&mut phone, &object, "alice").await, Ok("alice's".to_owned()));
}

fn issuer() -> IssuerKey {
    IssuerKey::generate(&SeededIds::new(7))
}

async fn open(node: &MessageNode, name: &str, owner: &str) -> Client {
    let start = Timestamp::from_millis(1_700_000_000_000);
    let claims = Claims::new(&user(owner), DOMAIN, start, Duration::from_secs(3 * 24 * 3600));
    let mut client = Client::connect(node, name);
    let from = client.runtime.clone();
    let token = issuer().issue(&claims).unwrap();
    let answer = client.request("open", &from, SESSION, json!({"accessToken": token})).await;
    assert_eq!(code(&answer), 200, "{answer}");
    client
}

fn guarded(tables: &Arc<MemoryTables>) -> MessageNode {
    let mut config = NodeConfig::new(DOMAIN);
    config.admission = AdmissionConfig::Tokens(TokenAdmission::new(issuer().public()));
    start(config, Arc::clone(tables) as Arc<dyn Tables>)
}

#[tokio::test(start_paused = true)]
async fn where_sessions_are_somebodys_it_counts_who_they_are() {
    let tables = Arc::new(MemoryTables::new());
    let node = guarded(&tables);
    let mut phone = open(&node, "phone", "alice").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    let mut unnamed = record(&object, "", 0, 0, "alice's");
    unnamed.as_object_mut().unwrap().remove("user");
    assert_eq!(code(&ask(&mut phone, "create", unnamed).await), 200);
    let mut eve = open(&node, "eve", "eve").await;
    assert_eq!(fetched(&mut eve, &object, "alice").await, Err(403));
    let own = ask(&mut eve, "read", json!({"resource": object})).await;
    assert_refused(&own, 403, "forbidden", BACKUP);
    let list = ask(&mut eve, "read", json!({"role": "reporter", "user": user("alice")})).await;
    assert_refused(&list, 403, "forbidden", BACKUP);
    let removal = json!({"resource": object, "epoch": 9, "version": 0});
    assert_refused(&ask(&mut eve, "delete", removal).await, 403, "forbidden", BACKUP);
    let mut tablet = open(&node, "tablet", "alice").await;
    assert_eq!(fetched(&mut tablet, &object, "alice").await, Ok("alice's".to_owned()));
}

/// Long after an object was registered its address is still the lost device's. Another device of the user may go on.
#[tokio::test(start_paused = true)]
async fn what_nobody_remembers_is_still_the_users() {
    for (by_token, backed_up) in [(true, false), (true, true), (false, true), (false, false)] {
        let tables = Arc::new(MemoryTables::new());
        let node = if by_token { guarded(&tables) } else { start(NodeConfig::new(DOMAIN), tables.clone()) };
        let enter = async |name: &str, owner: &str| {
            if by_token { open(&node, name, owner).await } else { Client::open(&node, name).await }
        };
        let mut phone = enter("phone", "alice").await;
        let object = phone.allocate("comm", 1).await.remove(0);
        if backed_up {
            assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 3, "three")).await), 200);
        }
        let mut tablet = enter("tablet", "alice").await;
        let live = register(&mut tablet, &object, "alice", 1).await;
        assert_refused(&live, 403, "forbidden", REG);
        drop(phone);
        sleep(Duration::from_secs(61)).await;
        let mut eve = enter("eve", "eve").await;
        assert_refused(&register(&mut eve, &object, "eve", 1).await, 403, "forbidden", REG);
        let taken = register(&mut tablet, &object, "alice", 1).await;
        let expected = if by_token || backed_up { 200 } else { 403 };
        assert_eq!(code(&taken), expected, "{by_token} {backed_up} {taken}");
    }
}

fn part(object: &str, version: u64, number: u64, of: u64, bytes: u64, text: &str) -> Value {
    let mut body = json!({"transfer": "t", "part": number, "text": text});
    if number == 1 {
        let head = json!({"resource": object, "role": "reporter", "user": user("alice"), "version": version, "parts": of, "bytes": bytes});
        body.as_object_mut().unwrap().extend(head.as_object().unwrap().clone());
    } else {
        body["user"] = json!(user("alice"));
    }
    body
}

#[tokio::test(start_paused = true)]
async fn a_large_record_comes_and_goes_in_parts() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    let text: String = (0..120_000_u32).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let pieces: Vec<&str> = [0..40_000, 40_000..80_000, 80_000..120_000].map(|range| &text[range]).into();
    for number in [1, 3, 2] {
        let body = part(&object, 1, number, 3, 120_000, pieces[number as usize - 1]);
        assert_eq!(fetched(&mut phone, &object, "alice").await, Err(404), "not before it is whole");
        let answer = ask(&mut phone, "create", body).await;
        assert_eq!(code(&answer), 200, "{answer}");
    }
    let first = ask(&mut phone, "read", json!({"resource": object, "user": user("alice")})).await;
    let (parts, transfer) = (first["body"]["parts"].as_u64().unwrap(), first["body"]["transfer"].clone());
    assert_eq!((parts, &first["body"]["bytes"]), (3, &json!(120_000)));
    let mut whole = first["body"]["text"].as_str().unwrap().to_owned();
    let asked = |number: u64| json!({"resource": object, "user": user("alice"), "transfer": transfer, "part": number});
    for number in 2..=3 {
        let next = ask(&mut phone, "read", asked(number)).await;
        whole.push_str(next["body"]["text"].as_str().unwrap());
    }
    assert!(whole == text);
    assert_eq!(code(&ask(&mut phone, "read", asked(4)).await), 400);
    // Replaced in between, parts of two states are never put together.
    assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 2, "two")).await), 200);
    let refused = ask(&mut phone, "read", asked(2)).await;
    assert_refused(&refused, 404, "transfer", BACKUP);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_bounded_and_forgotten() {
    let mut config = NodeConfig::new(DOMAIN);
    config.limits.backup.upload_bytes = 100;
    config.limits.backup.record_bytes = 60;
    let node = start(config, Arc::new(MemoryTables::new()));
    let mut phone = Client::open(&node, "phone").await;
    let objects = phone.allocate("comm", 4).await;
    let begin = |at: usize, name: &str, bytes: u64| {
        let mut body = part(&objects[at], 1, 1, 2, bytes, "x");
        body["transfer"] = json!(name);
        body
    };
    for bytes in [60, 61, 600] {
        let answer = ask(&mut phone, "create", begin(0, "0", bytes)).await;
        let expected = if bytes > 60 { (403, "limit") } else { (200, "") };
        assert_eq!((code(&answer), reason(&answer)), expected, "{bytes}");
    }
    // Another beginning for the same object is in the place of the first.
    assert_eq!(code(&ask(&mut phone, "create", begin(0, "0a", 60)).await), 200);
    let stale =
        ask(&mut phone, "create", json!({"user": user("alice"), "transfer": "0", "part": 2, "text": "y"}))
            .await;
    assert_refused(&stale, 404, "transfer", BACKUP);
    let busy = ask(&mut phone, "create", begin(1, "1", 41)).await;
    assert_refused(&busy, 500, "limit", BACKUP);
    assert_eq!(code(&ask(&mut phone, "create", begin(1, "1", 40)).await), 200);
    let third = ask(&mut phone, "create", begin(2, "2", 0)).await;
    assert_eq!(code(&third), 403, "two parts of nothing");
    let mut tablet = Client::open(&node, "tablet").await;
    let theirs = tablet.allocate("comm", 1).await.remove(0);
    let full = ask(&mut tablet, "create", part(&theirs, 1, 1, 2, 2, "x")).await;
    assert_refused(&full, 500, "limit", BACKUP);
    // Nobody goes on with them: their room is given to others.
    sleep(Duration::from_secs(62)).await;
    assert_eq!(code(&ask(&mut tablet, "create", part(&theirs, 1, 1, 2, 60, "x")).await), 200);
    let more = ask(&mut tablet, "create", part(&theirs, 1, 2, 2, 60, &"y".repeat(60))).await;
    assert_eq!(code(&more), 400, "more than was told: {more}");
    let over = ask(&mut tablet, "create", part(&theirs, 1, 2, 2, 60, "y")).await;
    assert_refused(&over, 404, "transfer", BACKUP);
    assert_eq!(node.stats().backups, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_promised_is_there_after_a_crash_of_the_node() {
    let tables = Arc::new(MemoryTables::new());
    let node = start(NodeConfig::new(DOMAIN), tables.clone());
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 3, "three")).await), 200);
    let node = start(NodeConfig::new(DOMAIN), Arc::new(tables.snapshot()));
    let mut tablet = Client::open(&node, "tablet").await;
    assert_eq!(fetched(&mut tablet, &object, "alice").await, Ok("three".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    let alice = user("alice");
    for (kind, body) in [
        ("create", json!({"resource": object, "user": alice, "version": 1})),
        ("create", json!({"resource": object, "user": alice, "text": "x"})),
        ("create", json!({"user": alice, "version": 1, "text": "x"})),
        ("create", json!({"resource": object, "version": 1, "text": "x"})),
        ("create", json!({"resource": object, "user": {}, "version": 1, "text": "x"})),
        ("create", json!({"resource": object, "user": alice, "version": 1, "text": "x", "bytes": 2})),
        (
            "create",
            json!({"resource": object, "user": alice, "version": 1, "text": "x", "parts": 0, "part": 0}),
        ),
        (
            "create",
            json!({"resource": object, "user": alice, "version": 1, "text": "x", "parts": 2, "bytes": 2}),
        ),
        ("create", json!({"resource": object, "user": "u".repeat(600), "version": 1, "text": "x"})),
        ("create", json!({"resource": 5})),
        ("delete", json!({"user": alice})),
        ("read", json!({"resource": "x", "user": alice})),
        ("subscribe", json!({"resource": object, "user": alice})),
    ] {
        let answer = ask(&mut phone, kind, body.clone()).await;
        assert_eq!(code(&answer), 400, "{kind} {body}: {answer}");
    }
    let mut config = NodeConfig::new(DOMAIN);
    config.backup = false;
    let node = start(config, Arc::new(MemoryTables::new()));
    let mut phone = Client::open(&node, "phone").await;
    let answer = ask(&mut phone, "read", json!({"user": alice})).await;
    assert_refused(&answer, 501, "backup", BACKUP);
}

/// INV-DEL-3: whoever deleted an object may never have told the backup.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_kept_no_longer() {
    let node = node();
    let mut phone = Client::open(&node, "phone").await;
    let object = phone.allocate("comm", 1).await.remove(0);
    assert_eq!(code(&register(&mut phone, &object, "alice", 0).await), 200);
    assert_eq!(code(&ask(&mut phone, "create", record(&object, "alice", 0, 3, "three")).await), 200);
    let from = format!("{}/registry", phone.runtime);
    assert_eq!(code(&phone.request("delete", &from, REG, json!({"resource": object})).await), 200);
    assert_eq!((node.stats().backups, node.stats().backup_bytes), (0, 0));
    let again = ask(&mut phone, "create", record(&object, "alice", 0, 4, "four")).await;
    assert_eq!(code(&again), 410, "{again}");
}
