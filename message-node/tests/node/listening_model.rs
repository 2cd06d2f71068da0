//! Who may listen, in any order of what may happen, against a model.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use crate::listening::{Scene, stream};
use crate::support::{Client, versions};

#[derive(Debug, Clone, Copy)]
enum Step {
    Listen(usize),
    Leave(usize),
    Ask(usize),
    Answer(usize, u64),
    Grant(usize),
    Revoke(usize),
    Public(bool),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..3_usize;
    prop_oneof![
        who.clone().prop_map(Step::Listen),
        who.clone().prop_map(Step::Leave),
        who.clone().prop_map(Step::Ask),
        (who.clone(), prop::sample::select(vec![100, 200, 200, 403]))
            .prop_map(|(who, code)| Step::Answer(who, code)),
        who.clone().prop_map(Step::Grant),
        who.prop_map(Step::Revoke),
        any::<bool>().prop_map(Step::Public),
        Just(Step::Publish),
    ]
}

/// What has to be true of three clients.
#[derive(Default)]
struct Model {
    listening: BTreeSet<usize>,
    accepted: BTreeSet<usize>,
    /// Let in while the object was open to all; stays so until it is closed.
    open: BTreeSet<usize>,
    public: bool,
}

impl Model {
    fn hears(&self, who: usize) -> bool {
        self.listening.contains(&who) && (self.accepted.contains(&who) || self.open.contains(&who))
    }

    fn act(&mut self, step: Step, answered: bool) {
        match step {
            Step::Listen(who) => {
                if self.listening.insert(who) && self.public {
                    self.open.insert(who);
                }
            }
            Step::Leave(who) => {
                if self.listening.remove(&who) {
                    self.open.remove(&who);
                    self.accepted.remove(&who);
                }
            }
            Step::Answer(who, 200) if answered => {
                self.accepted.insert(who);
            }
            Step::Grant(who) => {
                self.accepted.insert(who);
            }
            Step::Revoke(who) => {
                self.accepted.remove(&who);
                self.open.remove(&who);
            }
            Step::Public(public) => {
                if public {
                    self.open.extend(&self.listening);
                } else {
                    self.open.clear();
                }
                self.public = public;
            }
            Step::Ask(_) | Step::Answer(..) | Step::Publish => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// INV-LSN-1, INV-LSN-2: in any order of events exactly those hear a version whom the owner lets.
    #[test]
    fn listening_agrees_with_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let executor = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        executor.block_on(async {
            let mut scene = Scene::new().await;
            let mut clients = Vec::new();
            for name in ["a", "b", "c"] {
                clients.push(Client::open(&scene.node, name).await);
            }
            let mut questions: Vec<Vec<Value>> = vec![Vec::new(); 3];
            let mut model = Model::default();
            for step in steps {
                let mut answered = false;
                let [changes, children] = stream(&scene.object);
                match step {
                    Step::Listen(who) => scene.listen(&mut clients[who]).await,
                    Step::Leave(who) => {
                        clients[who].unsubscribe(&[&changes, &children]).await;
                    }
                    Step::Ask(who) => questions[who].push(scene.ask(&mut clients[who]).await),
                    Step::Answer(who, code) => {
                        if let Some(question) = questions[who].first().cloned() {
                            if code != 100 {
                                questions[who].remove(0);
                            }
                            answered = true;
                            scene.answer(&question, code).await;
                            clients[who].recv().await;
                        }
                    }
                    Step::Grant(who) => {
                        scene.judge("subscribe", "grant", ["a", "b", "c"][who]).await;
                    }
                    Step::Revoke(who) => {
                        scene.judge("unsubscribe", "revoke", ["a", "b", "c"][who]).await;
                    }
                    Step::Public(public) => {
                        scene.set_public(public).await;
                    }
                    Step::Publish => {}
                }
                model.act(step, answered);
                scene.version += 1;
                scene.owner.publish(&scene.object, scene.version).await;
                for (who, client) in clients.iter_mut().enumerate() {
                    let heard = versions(&client.drain().await) == [scene.version];
                    assert_eq!(heard, model.hears(who), "{who} after {step:?}");
                }
            }
        });
    }
}
