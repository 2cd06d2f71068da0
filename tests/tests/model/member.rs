//! A party: a runtime with one hyperty, over a disk that can hang and fail.

use std::sync::Arc;
use std::time::Duration;

use hyperty_conformance::party::SCHEMA;
use hyperty_conformance::world::{DOMAIN, World};
use hyperty_model::Url;
use hyperty_runtime::{BackedUp, Hyperty, Runtime};
use hyperty_storage::{FaultPlan, FaultyTables, MemoryTables};
use hyperty_syncher::Delegation;

use crate::command::{PARTIES, Reply};
use crate::shelf::Shelf;
use crate::system::NAMES;

/// The party that is another device of the first one's user.
const SECOND_DEVICE: usize = PARTIES - 1;

/// A disk that goes on takes no longer than this to be clear of everything.
const CLEAN_END: Duration = Duration::from_secs(30);

pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) tables: Arc<FaultyTables<MemoryTables>>,
    pub(crate) runtime: Runtime,
    pub(crate) hyperty: Hyperty,
    pub(crate) schema: Url,
    /// Its disk hangs: what it writes is not durable.
    pub(crate) held: bool,
    /// Its disk fails, or will with the next write.
    pub(crate) failing: bool,
    /// Its application reads no events.
    pub(crate) dozes: bool,
    /// What it says when it is invited.
    pub(crate) reply: Reply,
    /// What it says when it is offered an object.
    pub(crate) gift: Reply,
    /// Offers that it leaves undecided.
    pub(crate) offers: Vec<Delegation>,
}

impl Member {
    pub(crate) async fn start(
        world: &World,
        name: &'static str,
        disk: MemoryTables,
        shelf: &Arc<Shelf>,
    ) -> Member {
        let tables = Arc::new(FaultyTables::new(disk, FaultPlan::default()));
        let runtime = world
            .runtime_with(name, &tables, |builder| {
                builder.backup_at(BackedUp::WhenAsked, Arc::clone(shelf) as _)
            })
            .await;
        let schema = runtime.schema(SCHEMA).expect("the schema is read");
        let user = user_of(name);
        let hyperty = runtime.deploy("app").user(&user).await.expect("the hyperty is deployed");
        Member {
            name,
            tables,
            runtime,
            hyperty,
            schema,
            held: false,
            failing: false,
            dozes: false,
            reply: Reply::default(),
            gift: Reply::default(),
            offers: Vec::new(),
        }
    }

    /// The name by which the reference knows it.
    pub(crate) fn who(&self) -> String {
        self.hyperty.url().to_string()
    }

    /// Stops hard, and gives what a restart finds.
    pub(crate) fn crash(self) -> (&'static str, MemoryTables) {
        let disk = self.tables.inner().snapshot();
        self.runtime.abort();
        (self.name, disk)
    }

    /// Stops in good order.
    pub(crate) async fn shut_down(self) -> (&'static str, MemoryTables) {
        self.tables.thaw();
        // A disk that failed has nothing more to say.
        let _ = tokio::time::timeout(CLEAN_END, self.runtime.shutdown()).await;
        let disk = self.tables.inner().snapshot();
        (self.name, disk)
    }

    /// Whether its disk keeps what is written now.
    pub(crate) fn keeps(&self) -> bool {
        !self.held && !self.failing
    }
}

/// The user of a party: that of the first has two devices.
pub(crate) fn user_of(name: &str) -> String {
    let name = if name == NAMES[SECOND_DEVICE] { NAMES[0] } else { name };
    format!("user://{DOMAIN}/{name}")
}

/// The other device of the same user.
pub(crate) fn sibling(who: usize) -> Option<usize> {
    match who {
        0 => Some(SECOND_DEVICE),
        SECOND_DEVICE => Some(0),
        _ => None,
    }
}
