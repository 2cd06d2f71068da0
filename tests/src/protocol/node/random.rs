//! Random sequences of what runtimes do, against a model of a node that is too simple to be wrong: sets of who listens,
//! and lists of what must have come.

mod world;

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use world::World;

use super::NodeCase;
use super::stage::{NodeStage, node_cases};
use crate::protocol::{Verdict, generated, random_sequences};

const RUNTIMES: usize = 3;
const OBJECTS: usize = 2;

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "INV-MN-1/random-sequences" checks ["INV-MN-1", "INV-MN-2", "INV-MN-3", "INV-MN-4", "INV-MN-5", "INV-MSG-1"]
            needs [Grace, EnforcePublisher, ExclusiveRoutes] => random;
    }
}

/// What a runtime does. Runtimes and objects are numbers.
#[derive(Debug, Clone, Copy)]
enum Step {
    Subscribe {
        who: usize,
        object: usize,
    },
    Unsubscribe {
        who: usize,
        object: usize,
    },
    /// Takes the route `O`.
    Hold {
        who: usize,
        object: usize,
    },
    GiveUp {
        who: usize,
        object: usize,
    },
    Publish {
        who: usize,
        object: usize,
        times: u64,
    },
    Ask {
        who: usize,
        whom: usize,
    },
    AskNobody {
        who: usize,
    },
    /// Sends in another runtime's name.
    Forge {
        who: usize,
        as_whom: usize,
    },
    /// Sends what is no message.
    Noise {
        who: usize,
    },
    Lose {
        who: usize,
    },
    Reopen {
        who: usize,
    },
    ReopenWithWrongToken {
        who: usize,
    },
    Open {
        who: usize,
    },
    Close {
        who: usize,
    },
}

impl Step {
    fn who(self) -> usize {
        match self {
            Step::Subscribe { who, .. }
            | Step::Unsubscribe { who, .. }
            | Step::Hold { who, .. }
            | Step::GiveUp { who, .. }
            | Step::Publish { who, .. }
            | Step::Ask { who, .. }
            | Step::AskNobody { who }
            | Step::Forge { who, .. }
            | Step::Noise { who }
            | Step::Lose { who }
            | Step::Reopen { who }
            | Step::ReopenWithWrongToken { who }
            | Step::Open { who }
            | Step::Close { who } => who,
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, object) = (0..RUNTIMES, 0..OBJECTS);
    let both = (who.clone(), object);
    let two = (who.clone(), who.clone());
    let step = prop_oneof![
        4 => both.clone().prop_map(|(who, object)| Step::Subscribe { who, object }),
        2 => both.clone().prop_map(|(who, object)| Step::Unsubscribe { who, object }),
        2 => both.clone().prop_map(|(who, object)| Step::Hold { who, object }),
        1 => both.clone().prop_map(|(who, object)| Step::GiveUp { who, object }),
        6 => (both, 1..4_u64).prop_map(|((who, object), times)| Step::Publish { who, object, times }),
        3 => two.clone().prop_map(|(who, whom)| Step::Ask { who, whom }),
        1 => who.clone().prop_map(|who| Step::AskNobody { who }),
        1 => two.prop_map(|(who, as_whom)| Step::Forge { who, as_whom }),
        1 => who.clone().prop_map(|who| Step::Noise { who }),
        3 => who.clone().prop_map(|who| Step::Lose { who }),
        4 => who.clone().prop_map(|who| Step::Reopen { who }),
        1 => who.clone().prop_map(|who| Step::ReopenWithWrongToken { who }),
        3 => who.clone().prop_map(|who| Step::Open { who }),
        2 => who.prop_map(|who| Step::Close { who }),
    ];
    prop::collection::vec(step, 5..40)
}

async fn random(stage: NodeStage) -> Verdict {
    fn run(stage: NodeStage, steps: Vec<Step>) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            let mut world = World::new(stage);
            for who in 0..RUNTIMES {
                world.act(Step::Open { who }).await?;
            }
            for step in steps {
                world.stage.trace.note(format_args!("{step:?}"));
                world.act(step).await?;
            }
            world.end().await
        })
    }
    let sequences = generated(&stage, &steps())?;
    random_sequences(&stage, sequences, run).await
}
