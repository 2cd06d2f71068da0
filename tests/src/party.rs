//! A runtime of a [`World`] with one hyperty in it, which can stop like a crash and start again.

use std::sync::Arc;

use hyperty_runtime::{Hyperty, Runtime, RuntimeBuilder};
use hyperty_storage::MemoryTables;
use hyperty_syncher::{Accept, Observer, Reporter};
use serde_json::Value;

use crate::world::{DOMAIN, World};

/// Objects with children `notes`, which observers may write, and `news`, which they may only read. Their `topic` is
/// a text, and anything else may be in them.
pub const SCHEMA: &str = r#"{
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

/// A runtime with one hyperty, `app`, of a user of its own.
pub struct Party {
    /// Where it lives.
    pub world: World,
    /// The last segment of the URL of its runtime and of its user, and the name of its connection.
    pub name: &'static str,
    /// What it stores.
    pub tables: Arc<MemoryTables>,
    /// Its runtime.
    pub runtime: Runtime,
    /// Its hyperty.
    pub hyperty: Hyperty,
}

impl Party {
    /// Starts one that has nothing stored.
    pub async fn new(world: &World, name: &'static str) -> Party {
        Party::over(world, name, Arc::new(MemoryTables::new())).await
    }

    /// Starts one over what is stored.
    ///
    /// # Panics
    /// When it cannot be started: it must not depend on any connection.
    pub async fn over(world: &World, name: &'static str, tables: Arc<MemoryTables>) -> Party {
        let runtime = world.runtime(name, &tables).await;
        Party::on(world, name, tables, runtime).await
    }

    /// Starts one that has nothing stored, with parts of one's own choice. They are not chosen again after a crash.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn with(
        world: &World,
        name: &'static str,
        choose: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder,
    ) -> Party {
        let tables = Arc::new(MemoryTables::new());
        let runtime = world.runtime_with(name, &tables, choose).await;
        Party::on(world, name, tables, runtime).await
    }

    async fn on(world: &World, name: &'static str, tables: Arc<MemoryTables>, runtime: Runtime) -> Party {
        runtime.schema(SCHEMA).expect("the schema is read");
        let user = format!("user://{DOMAIN}/{name}");
        let hyperty = runtime.deploy("app").user(&user).await.expect("the hyperty is deployed");
        Party { world: world.clone(), name, tables, runtime, hyperty }
    }

    /// Stops hard and starts again over what was durable.
    pub async fn crash(self) -> Party {
        let Party { world, name, tables, runtime, hyperty } = self;
        let image = Arc::new(tables.snapshot());
        runtime.abort();
        drop((hyperty, runtime));
        Party::over(&world, name, image).await
    }

    /// Creates a stored object that everybody may observe.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn create(&self, data: Value) -> Reporter {
        let schema = self.runtime.schema(SCHEMA).expect("the schema is read");
        let create = self.hyperty.create(schema).name("board").data(data).store(true).accept(Accept::All);
        create.await.expect("the object is created")
    }

    /// Subscribes, so that it is resumed after a crash.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn observe(&self, reporter: &Reporter) -> Observer {
        self.hyperty.subscribe(reporter.url()).store(true).await.expect("the subscription is accepted")
    }

    /// What was resumed, as the only Reporter.
    ///
    /// # Panics
    /// When there is none.
    pub fn reporter(&self) -> Reporter {
        self.hyperty.resumed().reporters.first().expect("a resumed reporter").clone()
    }

    /// What was resumed, as the only Observer.
    ///
    /// # Panics
    /// When there is none.
    pub fn observer(&self) -> Observer {
        self.hyperty.resumed().observers.first().expect("a resumed observer").clone()
    }
}
