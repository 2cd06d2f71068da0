//! A crash between two batches that one operation commits: the store keeps the first and not the second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_conformance::world::World;
use hyperty_storage::{Batch, MemoryTables, Progress, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Tables that remember what was in them after each batch.
#[derive(Default)]
struct Recorded {
    inner: MemoryTables,
    images: Mutex<Vec<MemoryTables>>,
}

impl Tables for Recorded {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(table, key)
    }
    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.inner.scan(table, prefix)
    }
    fn commit(&self, batch: Batch) -> Ticket {
        let ticket = self.inner.commit(batch);
        self.images.lock().push(self.inner.snapshot());
        ticket
    }
    fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress()
    }
    fn close(&self) {
        self.inner.close();
    }
}

/// INV-RES-7, M18: a change of a child that was made while cut off, with a crash after each batch that it commits. What
/// its writer finds afterwards fits what the Reporter's side has, or is on its way there.
#[tokio::test(start_paused = true)]
async fn a_change_of_a_child_is_kept_whole_or_not_at_all_inv_res_7() {
    let mut tried = 0;
    for batch in 0.. {
        let world = World::new(700 + batch);
        let alice = Party::new(&world, "alice").await;
        let board = alice.create(json!({"topic": "a"})).await;
        let tables = Arc::new(Recorded::default());
        let runtime = world.runtime("bob", &tables).await;
        runtime.schema(SCHEMA).unwrap();
        let app = runtime.deploy("app").user("user://example.com/bob").await.unwrap();
        let copy = app.subscribe(board.url()).store(true).await.unwrap();
        let child = copy.children("notes").unwrap().add(json!({"n": 0})).await.unwrap();
        sleep(Duration::from_secs(5)).await;

        world.cut("bob");
        let before = tables.images.lock().len();
        drop(tokio::spawn({
            let child = child.clone();
            async move { child.set("n", 1).await }
        }));
        sleep(Duration::from_millis(50)).await;
        let image = tables.images.lock().get(before + batch as usize).map(MemoryTables::snapshot);
        let Some(image) = image else { break };
        tried += 1;
        runtime.abort();
        drop((child, copy, app, runtime));
        world.heal("bob");

        let bob = Party::over(&world, "bob", Arc::new(image)).await;
        // At once, before anything could be compared.
        let notes = bob.observer().children("notes").unwrap();
        let child = notes.mine().pop().expect("its own child");
        let set = timeout(Duration::from_secs(30), child.set("n", 2)).await.expect("an answer in time");
        set.unwrap_or_else(|error| panic!("after batch {batch}: {error}"));
        sleep(Duration::from_secs(30)).await;
        let theirs = board.children("notes").unwrap().list();
        assert_eq!(theirs[0].data, json!({"n": 2}), "after batch {batch}");
    }
    assert!(tried >= 2, "one operation commits several batches: {tried}");
}
