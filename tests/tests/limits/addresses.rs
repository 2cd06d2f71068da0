//! What a runtime registers, and the addresses that it is given.

use hyperty_conformance::world::DOMAIN;
use serde_json::{Value, json};

use crate::{Scene, Trying, plain, told};

const MNA: &str = "domain://msg-node.example.com/address-allocation";
const REG: &str = "domain://registry.example.com";

fn registration(runtime: &str, i: usize, padding: usize) -> Value {
    json!({"value": {
        "url": format!("comm://{DOMAIN}/eve-{i}"), "runtime": runtime, "status": "live", "resources": ["chat"],
        "dataSchemes": ["comm"], "schema": format!("hyperty-catalogue://{DOMAIN}/.well-known/dataschema/X"),
        "name": "x".repeat(padding), "expires": 60, "reporter": format!("hyperty://{DOMAIN}/eve"),
        "user": format!("user://{DOMAIN}/eve"), "guid": "user-guid://eve",
    }})
}

pub(crate) fn registrations(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (runtime, from) = (scene.eve.runtime.clone(), format!("{}/registry", scene.eve.runtime));
        let mut last = plain(0, "");
        for i in 0..n {
            last = told(&scene.eve.request("create", &from, REG, registration(&runtime, i, 1)).await);
        }
        last
    })
}

pub(crate) fn record(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let (runtime, from) = (scene.eve.runtime.clone(), format!("{}/registry", scene.eve.runtime));
        let empty = registration(&runtime, 0, 0).to_string().len();
        let body = registration(&runtime, 0, n - empty);
        assert_eq!(body.to_string().len(), n);
        told(&scene.eve.request("create", &from, REG, body).await)
    })
}

pub(crate) fn addresses(scene: &mut Scene, n: usize) -> Trying<'_> {
    Box::pin(async move {
        let from = format!("{}/address-allocation", scene.eve.runtime);
        let body = json!({"scheme": "comm", "value": {"number": n}});
        told(&scene.eve.request("create", &from, MNA, body).await)
    })
}
