//! Address allocation (protocol 5.12).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::NodeCase;
use super::stage::{NodeStage, allocated, node_cases};
use crate::protocol::Verdict;
use crate::protocol::client::{Client, code};
use crate::{ensure, ensure_eq};

pub(super) fn cases() -> Vec<NodeCase> {
    node_cases! {
        "5.12/blocks" checks ["5.12", "INV-ALL-1"] needs [Allocation] => blocks;
        "5.12/refused-requests" checks ["5.12"] needs [Allocation] => refused;
        "5.12/older-addresses" checks ["5.12"] needs [Allocation] => older_addresses;
        "5.12/of-another-runtime" checks ["5.12"] needs [Allocation] => of_another;
        "5.12/object-is-not-routed-yet" checks ["5.12"] needs [Allocation] => not_routed_yet;
        "INV-ALL-1/never-twice" checks ["INV-ALL-1"] needs [Allocation] => never_twice;
        "INV-ALL-3/release-in-every-form" checks ["INV-ALL-3", "5.12"] needs [Allocation] => release;
    }
}

async fn ask(client: &mut Client, stage: &NodeStage, body: Value) -> Verdict<Value> {
    let from = format!("{}/address-allocation", client.runtime);
    client.request("create", &from, &stage.mna(), body).await
}

async fn blocks(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let mut all = BTreeSet::new();
    let mut wanted = 0;
    for scheme in ["comm", "hyperty", "context", "my-own1"] {
        for number in [1_usize, 2, 3, 10, 1000] {
            let body = json!({"scheme": scheme, "value": {"number": number}});
            let answer = ask(&mut alice, &stage, body).await?;
            ensure_eq!("5.12", code(&answer), 200, "the code of the answer to {number} of {scheme}");
            let list = allocated(&answer)?;
            ensure_eq!("5.12", list.len(), number, "addresses in the answer to a block of {number}");
            let prefix = format!("{scheme}://{}/", stage.domain());
            for url in &list {
                ensure!("5.12", url.starts_with(&prefix), "{url} does not begin with {prefix}");
            }
            wanted += number;
            all.extend(list);
            ensure_eq!("INV-ALL-1", all.len(), wanted, "different addresses so far");
        }
    }
    for body in [json!({"scheme": "comm"}), json!({"scheme": "comm", "value": {}})] {
        let answer = ask(&mut alice, &stage, body.clone()).await?;
        ensure_eq!("5.12", code(&answer), 200, "the code of the answer to {body}");
        ensure_eq!("5.12", allocated(&answer)?.len(), 1, "addresses if no number is given");
    }
    Ok(())
}

async fn refused(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    for number in [json!(0), json!(-1), json!(1001), json!(1.5), json!("many"), json!([1]), json!(true)] {
        let answer = ask(&mut alice, &stage, json!({"scheme": "comm", "value": {"number": number}})).await?;
        ensure_eq!("5.12", code(&answer), 400, "the code of the answer to a block of {number}");
    }
    for scheme in ["user", "domain", "hyperty-runtime", "runtime", "hyperty-catalogue", "mn", "", "1a", "a b"]
    {
        let answer = ask(&mut alice, &stage, json!({"scheme": scheme, "value": {"number": 1}})).await?;
        ensure_eq!("5.12", code(&answer), 400, "the code of the answer to scheme {scheme:?}");
    }
    Ok(())
}

async fn older_addresses(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let from = alice.sm();
    for (component, scheme) in [
        ("address-allocation", "hyperty"),
        ("hyperty-address-allocation", "hyperty"),
        ("object-address-allocation", "resource"),
    ] {
        let to = format!("domain://msg-node.{}/{component}", stage.domain());
        for (body, prefix) in [
            (json!({"value": {"number": 1}}), scheme),
            (json!({"scheme": "comm", "value": {"number": 1}}), "comm"),
        ] {
            let answer = alice.request("create", &from, &to, body).await?;
            ensure_eq!("5.12", code(&answer), 200, "the code of the answer of {to}");
            let list = allocated(&answer)?;
            let good = list.len() == 1 && list[0].starts_with(&format!("{prefix}://"));
            ensure!("5.12", good, "{to} gave {list:?} instead of one {prefix} address");
        }
    }
    Ok(())
}

async fn of_another(stage: NodeStage) -> Verdict {
    let (mut alice, mut mallory) = (stage.open("alice").await?, stage.open("mallory").await?);
    let list = alice.allocate(&stage, "comm", 2).await?;
    let from = mallory.sm();
    let answer = mallory.request("delete", &from, &stage.mna(), json!({"childrenResources": list})).await?;
    ensure_eq!("5.12", code(&answer), 403, "the code of the answer to a release by another runtime");
    // Nothing came of it: they are still nobody else's.
    let again = mallory.allocate(&stage, "comm", 20).await?;
    ensure!("INV-ALL-1", !again.iter().any(|url| list.contains(url)), "an address was given out twice");
    Ok(())
}

async fn not_routed_yet(stage: NodeStage) -> Verdict {
    let (mut alice, mut bob) = (stage.open("alice").await?, stage.open("bob").await?);
    let object = alice.allocate(&stage, "comm", 1).await?.remove(0);
    let from = bob.sm();
    let answer = bob.request("read", &from, &object, json!({})).await?;
    ensure_eq!("5.12", code(&answer), 404, "the code of the answer to a read before the route is subscribed");
    alice.subscribe(&stage, &[&object]).await?;
    let id = bob.send("read", &from, &object, json!({})).await?;
    let request = alice.next("a read").await?;
    alice.answer(&request, json!({"code": 200})).await?;
    ensure_eq!("5.12", code(&bob.answer_to(&json!(id)).await?), 200, "the answer once it is subscribed");
    Ok(())
}

async fn never_twice(stage: NodeStage) -> Verdict {
    let mut all = BTreeSet::new();
    let mut count = 0;
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        clients.push(stage.open(name).await?);
    }
    for _ in 0..5 {
        // All at once, from several sessions.
        let mut asked = Vec::new();
        for (index, client) in clients.iter_mut().enumerate() {
            let from = client.sm();
            for _ in 0..5 {
                let body = json!({"scheme": "comm", "value": {"number": 7}});
                asked.push((index, client.send("create", &from, &stage.mna(), body).await?));
            }
        }
        for (index, id) in asked {
            let list = allocated(&clients[index].answer_to(&json!(id)).await?)?;
            count += list.len();
            all.extend(list);
        }
        ensure_eq!("INV-ALL-1", all.len(), count, "different addresses of three sessions");
    }
    // Allocations outlive the session that made them.
    for client in clients {
        client.close().await?;
    }
    let mut again = stage.open("a").await?;
    let list = again.allocate(&stage, "comm", 50).await?;
    ensure!(
        "INV-ALL-1",
        list.iter().all(|url| !all.contains(url)),
        "given out again after its session ended"
    );
    Ok(())
}

async fn release(stage: NodeStage) -> Verdict {
    let mut alice = stage.open("alice").await?;
    let from = alice.sm();
    let key = format!("key-{}", stage.nonce);
    let keyed = json!({"scheme": "comm", "value": {"number": 4, "allocationKey": key}});
    for _ in 0..2 {
        let answer = ask(&mut alice, &stage, keyed.clone()).await?;
        ensure_eq!("5.12", allocated(&answer)?.len(), 4, "addresses under a key");
    }
    let mut urls = alice.allocate(&stage, "comm", 6).await?;
    let own = alice.runtime.clone();
    alice.close().await?;
    // A later session of the same runtime releases what an earlier one allocated.
    let mut alice = stage.open("alice").await?;
    ensure_eq!("5.12", alice.runtime, own, "the runtime");
    let mut next = || urls.pop().unwrap_or_default();
    let forms = [
        json!({"resource": key}),
        json!({"childrenResources": [next(), next()]}),
        json!({"childrenResources": [[next()]]}),
        json!({"value": {"childrenResources": [next()]}}),
        json!({"resource": next()}),
        json!({"value": {"allocationKey": "unknown"}}),
        json!({"childrenResources": [next(), format!("comm://{}/unknown", stage.domain())]}),
        json!({"resource": "an-unknown-key"}),
    ];
    for body in forms {
        for time in ["", " again"] {
            let answer = alice.request("delete", &from, &stage.mna(), body.clone()).await?;
            ensure_eq!("INV-ALL-3", code(&answer), 200, "the code of the answer to delete {body}{time}");
        }
    }
    Ok(())
}
