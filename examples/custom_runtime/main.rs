//! A runtime assembled from the crates, without `hyperty-runtime`: its own storage, no message node.
//!
//! `cargo run -p hyperty-examples --bin custom_runtime`

mod journal;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use hyperty_address_allocation::LocalAllocator;
use hyperty_message_bus::{BusConfig, DomainRoutes, MessageBus, MiniBus};
use hyperty_model::{HypertyUrl, Identity, RuntimeUrl, SystemClock, SystemIds, Url};
use hyperty_policy::Permissive;
use hyperty_registry::{Catalogue, NoRegistry, Registrations, RuntimeRegistry, SchemaCatalogue};
use hyperty_storage::{ObjectStore, Tables};
use hyperty_sync_manager::{Parts, SyncManager, SyncManagerConfig};
use hyperty_syncher::{Accept, Syncher, SyncherConfig};
use serde_json::json;
use tokio::task::JoinSet;

use journal::JournalTables;

const SCHEMA: &str = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Lamp";

/// A runtime of one's own: the parts, and the tasks that drive them. Dropping it stops everything.
struct House {
    url: RuntimeUrl,
    bus: MessageBus,
    registry: RuntimeRegistry,
    tables: Arc<dyn Tables>,
    tasks: JoinSet<()>,
}

impl House {
    fn build(journal: &Path) -> Result<House, Box<dyn Error>> {
        let url = RuntimeUrl::parse("hyperty-runtime://example.com/house")?;
        let tables: Arc<dyn Tables> = Arc::new(JournalTables::open(journal)?);
        let bus =
            MessageBus::new(BusConfig { runtime: Some(url.clone()), ..BusConfig::default() }, &SystemIds);
        let registry = RuntimeRegistry::new(url.clone());
        bus.set_resolver(Arc::new(registry.clone()));
        let catalogue = Catalogue::new(bus.clone(), &url)?;
        catalogue.add(Url::parse(SCHEMA)?, json!({"properties": {"scheme": {"constant": "context"}}}))?;
        let (_manager, driver) = SyncManager::new(Parts {
            runtime: url.clone(),
            bus: bus.clone(),
            routes: DomainRoutes::new(bus.clone(), url.clone()),
            storage: Arc::new(ObjectStore::new(Arc::clone(&tables))),
            allocator: Arc::new(LocalAllocator::new(Arc::new(SystemIds))),
            registry: registry.clone(),
            registrations: Registrations::new(Arc::new(NoRegistry), bus.clone(), &url),
            catalogue: Arc::new(catalogue),
            backup: None,
            policy: Arc::new(Permissive),
            ids: Arc::new(SystemIds),
            clock: Arc::new(SystemClock),
            config: SyncManagerConfig::default(),
        })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        Ok(House { url, bus, registry, tables, tasks })
    }

    /// A hyperty at an address of our choice: the same after a restart, so that it resumes.
    fn hyperty(&mut self, id: &str) -> Result<Syncher, Box<dyn Error>> {
        let url = HypertyUrl::parse(&format!("hyperty://example.com/{id}"))?;
        let identity = Identity::of_user(&format!("user://example.com/{id}"));
        self.registry.add_hyperty(&url, Some(identity.clone()))?;
        let config = SyncherConfig { identity: Some(identity), ..SyncherConfig::new(self.url.clone()) };
        let (syncher, driver) = Syncher::new(MiniBus::new(&self.bus, url)?, config)?;
        self.tasks.spawn(driver.run());
        Ok(syncher)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let journal = std::env::temp_dir().join(format!("hyperty-house-{}.jsonl", std::process::id()));

    let mut house = House::build(&journal)?;
    let switch = house.hyperty("switch")?;
    let lamp = switch
        .create(Url::parse(SCHEMA)?)
        .name("lamp")
        .data(json!({"on": false}))
        .store(true)
        .accept(Accept::All)
        .await?;
    let mut wall = house.hyperty("wall")?.subscribe(lamp.url()).await?;
    lamp.set("on", true).await?;
    if let Some(change) = wall.next().await {
        println!("the wall shows {} at version {}", wall.data(), change.version);
    }
    drop((lamp, wall, switch));
    house.tables.close();
    drop(house);

    // The next session reads the journal: the lamp is still on.
    let mut house = House::build(&journal)?;
    let resumed = house.hyperty("switch")?.resume().await?;
    let lamp = resumed.reporters.first().ok_or("the lamp was not resumed")?;
    println!("after the restart: {} at version {}", lamp.data(), lamp.version());
    assert_eq!(lamp.data(), json!({"on": true}));
    std::fs::remove_file(journal)?;
    Ok(())
}
