//! Routes, and the addresses that a session has.

use hyperty_conformance::peer::code;
use hyperty_conformance::world::DOMAIN;
use serde_json::json;

use crate::{Scene, Trying, plain, told};

pub(crate) const MN: &str = "domain://msg-node.example.com/sm";

fn streams(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("comm://{DOMAIN}/{i}/changes")).collect()
}

pub(crate) fn routes_at_once(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let node = scene.world.node().unwrap();
        // Routes of objects that nobody has accepted her for wait.
        let routes = || node.stats().routes + node.stats().waiting;
        let (sm, before) = (scene.eve.sm(), routes());
        let answer = scene.eve.request("subscribe", &sm, MN, json!({"resources": streams(n)})).await;
        assert_eq!(routes() - before, if code(&answer) == 200 { n } else { 0 }, "all or nothing");
        told(&answer)
    })
}

pub(crate) fn routes_one_by_one(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let sm = scene.eve.sm();
        let mut last = plain(0, "");
        for url in streams(n) {
            last = told(&scene.eve.request("subscribe", &sm, MN, json!({"resources": [url]})).await);
        }
        if last.0 != 200 {
            // What it has it keeps, may ask for again, and may exchange for something else.
            let again = scene.eve.request("subscribe", &sm, MN, json!({"resources": streams(1)})).await;
            assert_eq!(code(&again), 200);
            scene.eve.request("unsubscribe", &sm, MN, json!({"resources": streams(1)})).await;
            let other = json!({"resources": [format!("comm://{DOMAIN}/other/changes")]});
            assert_eq!(code(&scene.eve.request("subscribe", &sm, MN, other).await), 200);
        }
        last
    })
}

pub(crate) fn bound(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let mut last = plain(0, "");
        for i in 0..n {
            let from = format!("hyperty://{DOMAIN}/eve-{i}");
            let answer = scene.eve.request("read", &from, MN, json!({})).await;
            // The Subscription Manager takes no reads: whoever may speak is told so.
            last = if code(&answer) == 400 { plain(200, "") } else { told(&answer) };
        }
        last
    })
}
