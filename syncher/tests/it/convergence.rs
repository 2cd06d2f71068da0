//! Children written by several at once (5.9).

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::{ChildBody, ResponseBody, UpdateBody};
use hyperty_model::object::{ChildOutcome, Children};
use hyperty_model::{Ids, Message, MessageType, SeededIds, StatusCode};
use hyperty_syncher::{ChildOp, ObserverEvent};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::children::{NAME, id_of, watching};
use crate::manager::{Manager, name};

/// INV-CHD-1, INV-CHD-3, INV-CHD-4, INV-CHD-7: several writers, answers and deliveries late and in any interleaving,
/// some refused. In the end all hold what the Sync Manager holds, and those that fold the events too.
#[tokio::test(start_paused = true)]
async fn all_participants_hold_the_same_children_in_the_end() {
    for seed in 0..20 {
        converge(seed).await;
    }
}

async fn converge(seed: u64) {
    let manager = Manager::new();
    let random = SeededIds::new(seed);
    let pick = |n: u64| (random.random() as u64) % n;
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[NAME]).await;
    let mut observers = Vec::new();
    for id in ["bob", "carol"] {
        observers.push(watching(&manager, id).await);
    }
    let mut writers = vec![reporter.children(NAME).unwrap()];
    writers.extend(observers.iter().map(|(_, _, children)| children.clone()));
    // The committed truth, in the order of commits; operations wait in `queue` for their turn.
    let truth = Arc::new(Mutex::new(Children::default()));
    let mut queue = Vec::new();
    for _ in 0..120 {
        let children = &writers[pick(3) as usize];
        let mine = children.mine();
        match (pick(6), mine.is_empty()) {
            (0 | 1, _) | (_, true) => drop(children.add(json!({"text": "", "n": pick(10)}))),
            (2, _) => drop(mine[pick(mine.len() as u64) as usize].delete()),
            _ => drop(mine[pick(mine.len() as u64) as usize].set("text", format!("{}", pick(1000)))),
        }
        queue.extend(manager.rest().await);
        while !queue.is_empty() && pick(3) > 0 {
            commit(&manager, &truth, &queue.remove(0), pick(8) == 0);
        }
    }
    queue.iter().for_each(|message| commit(&manager, &truth, message, false));
    let truth: Vec<(String, Value)> =
        truth.lock().iter().map(|(_, id, entry)| (id.to_string(), entry.value.data.clone())).collect();
    for children in &writers {
        let seen: Vec<_> = children.list().into_iter().map(|child| (child.id, child.data)).collect();
        assert_eq!(seen, truth, "seed {seed}");
    }
    for (bob, mut observer, _) in observers {
        let mut folded = std::collections::BTreeMap::new();
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_millis(1), observer.next_event()).await
        {
            let ObserverEvent::Child(event) = event else { panic!("{event:?}") };
            assert_ne!(event.reporter, bob.url);
            match event.op {
                ChildOp::Create => assert!(folded.insert(event.id, event.data).is_none()),
                ChildOp::Update => assert!(folded.insert(event.id, event.data).is_some()),
                ChildOp::Delete => assert!(folded.remove(&event.id).is_some()),
            }
        }
        let others = truth.iter().filter(|(id, _)| !id.starts_with(bob.url.as_str())).cloned().collect();
        assert_eq!(folded, others, "seed {seed}");
        // INV-CHD-4, and the snapshot a handle gives.
        let all: Vec<_> = observer
            .snapshot()
            .children
            .iter()
            .map(|(_, id, e)| (id.to_string(), e.value.data.clone()))
            .collect();
        assert_eq!(all, truth);
    }
}

/// What a Sync Manager does with an operation: check, answer, release.
fn commit(manager: &Arc<Manager>, truth: &Mutex<Children>, message: &Message, refuse: bool) {
    let (of, from) = (name(NAME), message.from());
    let outcome = {
        let mut truth = truth.lock();
        match message.kind() {
            _ if refuse => Err(StatusCode::FORBIDDEN),
            MessageType::Create => {
                let body = message.decode::<ChildBody>().unwrap();
                truth.create(&of, body.value.clone().into()).map_err(|refusal| refusal.code())
            }
            MessageType::Update => {
                let body = message.decode::<UpdateBody>().unwrap();
                truth.update(&of, &id_of(message), from, &body).map_err(|refusal| refusal.code())
            }
            _ => truth.delete(&of, &id_of(message), from).map_err(|refusal| refusal.code()),
        }
    };
    match outcome {
        Ok(outcome) => {
            assert_eq!(outcome, ChildOutcome::Applied);
            manager.settle(message, ResponseBody::ok());
            // Its writer gets it back, too: it must know it.
            manager.bus.release(message);
        }
        Err(code) => manager.settle(message, ResponseBody::failure(code, "no")),
    }
}
