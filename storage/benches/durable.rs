//! Durable changes against redb itself, in the same run: only the ratios count.
//!
//! * `group`: acknowledged changes per second with many of 1,000 objects in flight, against one redb transaction
//!   for the updates of each 5 ms.
//! * `alone`: each change durable before the next, against one redb transaction each.
//! * `size`: the file after 100,000 updates of 1,000 objects, against what is live in it.
//! * `open`: opening a store of 10,000 objects and reading them all.
//!
//! `cargo bench -p hyperty-storage`; under 30 s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{Children, Metadata};
use hyperty_model::{Position, Timestamp};
use hyperty_storage::{
    DataObjectStorage, DurableTables, ObjectRecord, ObjectStore, RecordStatus, Role, Subscriber, Tables,
    Ticket, flush_and_close, reached,
};
use redb::{Database, TableDefinition};
use serde_json::json;

const OBJECTS: usize = 1_000;
const ROUNDS: usize = 3;
const SPAN: Duration = Duration::from_millis(900);
const TABLE: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("o");

fn main() {
    let dir = std::env::temp_dir().join(format!("hyperty-bench-{}", std::process::id()));
    for bytes in [100, 1_000] {
        compare("group", bytes, &dir, redb_group, objects_group);
        compare("alone", bytes, &dir, redb_alone, objects_alone);
    }
    size(&fresh(&dir));
    open(&fresh(&dir));
    let _ = std::fs::remove_dir_all(&dir);
}

/// Both in turn, so that a slow moment of the machine hits both; the median of the ratios counts.
fn compare(
    what: &str,
    bytes: usize,
    dir: &Path,
    base: fn(&Path, usize) -> f64,
    ours: fn(&Path, usize) -> f64,
) {
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (base, ours) = (base(&fresh(dir), bytes), ours(&fresh(dir), bytes));
            println!(
                "{what:5} {bytes:5} B   redb {base:9.0}/s   objects {ours:9.0}/s   ratio {:.2}",
                ours / base
            );
            ours / base
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("{what:5} {bytes:5} B   median ratio {:.2}", ratios[ROUNDS / 2]);
}

fn fresh(dir: &Path) -> PathBuf {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir).expect("the temporary directory can be written");
    dir.join("store.redb")
}

/// An update message as it travels.
fn message(bytes: usize) -> Vec<u8> {
    let value = "x".repeat(bytes);
    let body = json!({"version": 1_000_000, "source": "hyperty://example.com/6f1c8a54-7c0e-4d52-9f7a-0c1d2e3f4a5b",
        "attribute": "current.value", "lastModified": "2026-01-01T00:00:00.000Z", "value": value});
    let object = "comm://example.com/8a7b6c5d-1e2f-4a3b-9c8d-7e6f5a4b3c2d";
    let message =
        json!({"id": 1, "type": "update", "from": object, "to": format!("{object}/changes"), "body": body});
    message.to_string().into_bytes()
}

fn redb_put(database: &Database, until: impl Fn(u64) -> bool, next: &mut u64, value: &[u8]) {
    let transaction = database.begin_write().expect("it can be written");
    {
        let mut table = transaction.open_table(TABLE).expect("it can be written");
        let from = *next;
        while !until(*next - from) {
            table.insert((*next % OBJECTS as u64) as u32, value).expect("it can be written");
            *next += 1;
        }
    }
    transaction.commit().expect("it can be written");
}

fn redb_group(path: &Path, bytes: usize) -> f64 {
    let (database, value) = (Database::create(path).expect("it is new"), message(bytes));
    let (start, mut next) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        let begun = Instant::now();
        redb_put(&database, |_| begun.elapsed() >= Duration::from_millis(5), &mut next, &value);
    }
    next as f64 / start.elapsed().as_secs_f64()
}

fn redb_alone(path: &Path, bytes: usize) -> f64 {
    let (database, value) = (Database::create(path).expect("it is new"), message(bytes));
    let (start, mut next) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        redb_put(&database, |done| done == 1, &mut next, &value);
    }
    next as f64 / start.elapsed().as_secs_f64()
}

/// Objects as a Sync Manager holds them: a committed copy of each beside the store.
struct Objects {
    store: ObjectStore,
    tables: Arc<DurableTables>,
    records: Vec<ObjectRecord>,
    change: UpdateBody,
    last: Ticket,
    next: usize,
}

impl Objects {
    fn new(path: &Path, bytes: usize, objects: usize) -> Objects {
        let tables = Arc::new(DurableTables::open(path).expect("it is new"));
        let store = ObjectStore::new(Arc::clone(&tables) as _);
        let value = json!("x".repeat(bytes));
        let change = Change::new("current.value", ChangeOp::Set(value.clone()));
        let change = UpdateBody {
            source: "hyperty://example.com/6f1c8a54-7c0e-4d52-9f7a-0c1d2e3f4a5b".parse().ok(),
            last_modified: Some(Timestamp::from_millis(1_767_225_600_000)),
            ..UpdateBody::new(UpdateKind::Change(change))
        };
        let records: Vec<_> = (0..objects).map(|i| record(i, json!({"current": {"value": value}}))).collect();
        assert!(store.load(Role::Reporter).expect("it is empty").is_empty());
        let last = records.iter().map(|record| store.save(record)).last().unwrap_or_default();
        let objects = Objects { store, tables, records, change, last, next: 0 };
        objects.wait();
        objects
    }

    /// The next change of the next object, without waiting for it. The value is always the same, and so is the
    /// data that a checkpoint writes.
    fn change(&mut self) {
        let at = self.next % self.records.len();
        self.next += 1;
        let record = &mut self.records[at];
        record.position = record.position.next();
        self.change.version = Some(record.position.version);
        let appended = self.store.append(Role::Reporter, &record.metadata.url, &self.change);
        self.last = appended.ticket;
        if appended.checkpoint_due {
            self.last = self.store.checkpoint(record);
        }
    }

    fn wait(&self) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        runtime.block_on(reached(self.tables.progress(), self.last)).expect("it can be written");
    }
}

fn record(i: usize, data: serde_json::Value) -> ObjectRecord {
    let url = |text: String| text.parse().expect("a URL");
    let created = Timestamp::from_millis(1_767_225_600_000);
    let metadata = Metadata {
        url: format!("comm://example.com/8a7b6c5d-1e2f-4a3b-9c8d-{i:012}").parse().expect("an object"),
        reporter: "hyperty://example.com/6f1c8a54-7c0e-4d52-9f7a-0c1d2e3f4a5b".parse().expect("a hyperty"),
        runtime: "hyperty-runtime://example.com/alice-laptop".parse().expect("a runtime"),
        schema: url(
            "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Communication".to_owned()
        ),
        name: "standup".to_owned(),
        created,
        last_modified: created,
        description: None,
        tags: Vec::new(),
        resources: Vec::new(),
        public_observation: false,
        observer_storage: None,
        mutual_authentication: None,
    };
    ObjectRecord {
        role: Role::Reporter,
        metadata,
        position: Position::default(),
        data: Some(data),
        log: Vec::new(),
        broken: false,
        children: Children::default(),
        children_names: Vec::new(),
        subscriptions: vec![Subscriber {
            runtime: "hyperty-runtime://example.com/bob-phone".parse().ok(),
            ..Subscriber::new(
                "hyperty://example.com/0c1d2e3f-7c0e-4d52-9f7a-6f1c8a54a5b4".parse().expect("a hyperty"),
            )
        }],
        grants: Vec::new(),
        invitations: Vec::new(),
        reporter_user: None,
        status: RecordStatus::Live,
        store: true,
        domain_registration: true,
        domain_routing: true,
        backup: false,
        delegation: None,
        pending: Default::default(),
    }
}

fn objects_group(path: &Path, bytes: usize) -> f64 {
    let mut objects = Objects::new(path, bytes, OBJECTS);
    let start = Instant::now();
    while start.elapsed() < SPAN {
        (0..100).for_each(|_| objects.change());
    }
    objects.wait();
    objects.next as f64 / start.elapsed().as_secs_f64()
}

fn objects_alone(path: &Path, bytes: usize) -> f64 {
    let mut objects = Objects::new(path, bytes, OBJECTS);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let start = Instant::now();
    runtime.block_on(async {
        while start.elapsed() < SPAN {
            objects.change();
            reached(objects.tables.progress(), objects.last).await.expect("it can be written");
        }
    });
    objects.next as f64 / start.elapsed().as_secs_f64()
}

fn size(path: &Path) {
    let mut objects = Objects::new(path, 100, OBJECTS);
    for i in 0..100_000 {
        objects.change();
        if i % 100 == 99 {
            objects.wait();
        }
    }
    let live: usize = objects.records.iter().map(live_bytes).sum();
    let open = std::fs::metadata(path).expect("it is there").len();
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(flush_and_close(&*objects.tables)).expect("it can be written");
    let took = begun.elapsed();
    let closed = std::fs::metadata(path).expect("it is there").len();
    println!(
        "size  100,000 updates of {OBJECTS} objects: {:.2} MB live, file {:.2} MB open, {:.2} MB closed (in {took:.0?}), ratio {:.2}",
        live as f64 / 1e6,
        open as f64 / 1e6,
        closed as f64 / 1e6,
        closed as f64 / live as f64
    );
}

/// The record as JSON.
fn live_bytes(record: &ObjectRecord) -> usize {
    let json = |value: serde_json::Value| value.to_string().len();
    let subscriptions = json(serde_json::to_value(&record.subscriptions).expect("it is JSON"));
    let metadata = json(serde_json::to_value(&record.metadata).expect("it is JSON"));
    metadata + subscriptions + record.data.as_ref().map_or(0, |data| json(data.clone()))
}

fn open(path: &Path) {
    const MANY: usize = 10_000;
    let mut objects = Objects::new(path, 1_000, MANY);
    (0..MANY).for_each(|_| objects.change());
    objects.wait();
    drop(objects);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let tables = Arc::new(DurableTables::open(path).expect("it is free"));
        let opened = start.elapsed();
        let records = ObjectStore::new(tables).load(Role::Reporter).expect("it can be read");
        let all = start.elapsed();
        assert_eq!(records.len(), MANY);
        assert!(records.iter().all(|record| record.position == Position::new(0, 1)));
        println!("open  {MANY} objects of 1 kB: opened in {opened:.1?}, all read after {all:.1?}");
    }
}
