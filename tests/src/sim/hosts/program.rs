//! What runs in a runtime: the code of applications.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyperty_runtime::{Hyperty, Runtime};

use crate::reference::Violation;
use crate::sim::Sim;
use crate::sim::rng::SimRng;

/// An application: it is given its hyperty whenever its runtime starts, and ends hard when that crashes.
pub type Program = Arc<dyn Fn(Hyperty, Seat) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a program knows beside its hyperty.
#[derive(Clone)]
pub struct Seat {
    /// The simulation it lives in.
    pub sim: Sim,
    /// Its runtime.
    pub runtime: Runtime,
    /// The name of its runtime.
    pub name: String,
    /// How often the runtime was started; 1 the first time.
    pub start: u64,
    /// Randomness of its own, another with each start.
    pub rng: Arc<SimRng>,
}

impl Seat {
    /// Lets virtual time go by.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Hands a violation to the simulation, which then ends.
    pub fn check(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.sim.violated(violation);
        }
    }

    /// Writes a line into the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.sim.note(&self.name, text);
    }
}

pub(crate) fn program<F>(code: impl Fn(Hyperty, Seat) -> F + Send + Sync + 'static) -> Program
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |hyperty, seat| Box::pin(code(hyperty, seat)))
}
