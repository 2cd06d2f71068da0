//! What the tests of whole systems share.

use std::sync::Arc;

use hyperty_conformance::world::World;
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::MemoryTables;
use hyperty_syncher::{Accept, Observer, ObserverEvent, Reporter};
use serde_json::{Value, json};

/// Objects with children `notes`, which observers may write, and `news`, which they may only read.
pub(crate) const SCHEMA: &str = r#"{
    "title": "Board",
    "type": "object",
    "properties": {
        "scheme": {"constant": "comm"},
        "children": {"constant": ["notes", "news"]},
        "topic": {"type": "string"}
    },
    "News": {
        "stereotype": "children",
        "properties": {"listener": {"constant": "news"}, "observerPermissions": {"constant": "read"}}
    }
}"#;

/// A runtime that can stop like a crash and start again.
pub(crate) struct Party {
    pub(crate) world: World,
    pub(crate) name: &'static str,
    pub(crate) tables: Arc<MemoryTables>,
    pub(crate) runtime: Runtime,
    pub(crate) hyperty: Hyperty,
}

impl Party {
    pub(crate) async fn new(world: &World, name: &'static str) -> Party {
        let tables = Arc::new(MemoryTables::new());
        Party::over(world, name, tables).await
    }

    async fn over(world: &World, name: &'static str, tables: Arc<MemoryTables>) -> Party {
        let runtime = world.runtime(name, &tables).await;
        runtime.schema(SCHEMA).unwrap();
        let user = format!("user://example.com/{name}");
        let hyperty = runtime.deploy("app").user(&user).await.unwrap();
        Party { world: world.clone(), name, tables, runtime, hyperty }
    }

    /// Stops hard and starts again over what was durable.
    pub(crate) async fn crash(self) -> Party {
        let Party { world, name, tables, runtime, hyperty } = self;
        let image = Arc::new(tables.snapshot());
        runtime.abort();
        drop((hyperty, runtime));
        Party::over(&world, name, image).await
    }

    pub(crate) async fn create(&self, data: Value) -> Reporter {
        let schema = self.runtime.schema(SCHEMA).unwrap();
        self.hyperty.create(schema).name("board").data(data).store(true).accept(Accept::All).await.unwrap()
    }

    pub(crate) async fn observe(&self, reporter: &Reporter) -> Observer {
        self.hyperty.subscribe(reporter.url()).store(true).await.unwrap()
    }

    /// What was resumed, as the only Reporter.
    pub(crate) fn reporter(&self) -> Reporter {
        self.hyperty.resumed().reporters.first().expect("a resumed reporter").clone()
    }

    /// What was resumed, as the only Observer.
    pub(crate) fn observer(&self) -> Observer {
        self.hyperty.resumed().observers.first().expect("a resumed observer").clone()
    }
}

/// Reads events until the one of a version. Every change must be the next one, unless a resync covers what is
/// between (INV-SUB-1, INV-UPD-4).
pub(crate) async fn until(observer: &mut Observer, version: u64) -> Vec<ObserverEvent> {
    let mut events = Vec::new();
    let mut last = None;
    while last.is_none_or(|last| last < version) {
        let event = tokio::time::timeout(PATIENCE, observer.next_event()).await.expect("an event in time");
        let event = event.expect("the observation goes on");
        match &event {
            ObserverEvent::Change(change) => {
                assert!(
                    last.is_none_or(|last| change.version == last + 1),
                    "{} after {last:?}",
                    change.version
                );
                last = Some(change.version);
            }
            ObserverEvent::Resync { version, .. } => last = Some(*version),
            _ => {}
        }
        events.push(event);
    }
    events
}

/// Waits until the copy stands at a version, whatever is told on the way.
pub(crate) async fn settled(observer: &mut Observer, version: u64) {
    let waiting = async {
        while observer.version() < version {
            observer.next_event().await.expect("the observation goes on");
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the copy settles in time");
}

/// Far longer than any recovery takes; time is paused, so it costs nothing.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

pub(crate) fn topic(text: &str) -> Value {
    json!({ "topic": text })
}
