//! The node's allocation table: every form of request, its limits, and INV-ALL-1 to 3 against a plain model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyperty_address_allocation::{AllocationLimits, AllocationTable};
use hyperty_model::message::ResponseBody;
use hyperty_model::{
    Body, HypertyUrl, Message, MessageType, ObjectUrl, RuntimeUrl, SeededIds, StatusCode, Url,
};
use hyperty_storage::{MemoryTables, StorageError, Tables, durable};
use proptest::prelude::*;
use serde_json::{Value, json};

const DOMAIN: &str = "example.com";

struct Node {
    tables: Arc<MemoryTables>,
    ids: Arc<SeededIds>,
    limits: AllocationLimits,
    table: AllocationTable,
}

impl Node {
    fn new(limits: AllocationLimits) -> Node {
        let (tables, ids) = (Arc::new(MemoryTables::new()), Arc::new(SeededIds::new(7)));
        let table = AllocationTable::open(DOMAIN, tables.clone(), ids.clone(), limits).unwrap();
        Node { tables, ids, limits, table }
    }

    fn restart(&mut self) {
        self.table =
            AllocationTable::open(DOMAIN, self.tables.clone(), self.ids.clone(), self.limits).unwrap();
    }

    fn send(&self, runtime: &RuntimeUrl, kind: MessageType, service: &str, body: Value) -> ResponseBody {
        let to = Url::parse(&format!("domain://msg-node.{DOMAIN}/{service}")).unwrap();
        let message = Message::new(1, kind, runtime.address_allocation(), to, Body::of(body));
        self.table.handle(&message, runtime).0
    }

    fn create(&self, runtime: &RuntimeUrl, body: Value) -> ResponseBody {
        self.send(runtime, MessageType::Create, "address-allocation", body)
    }

    fn delete(&self, runtime: &RuntimeUrl, body: Value) -> StatusCode {
        self.send(runtime, MessageType::Delete, "address-allocation", body).code
    }
}

fn runtime(name: &str) -> RuntimeUrl {
    RuntimeUrl::parse(&format!("hyperty-runtime://{DOMAIN}/{name}")).unwrap()
}

fn allocated(answer: &ResponseBody) -> Vec<Url> {
    assert_eq!(answer.code, StatusCode::OK, "{answer:?}");
    let list = answer.value.as_ref().unwrap()["allocated"].as_array().unwrap();
    list.iter().map(|url| Url::parse(url.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn a_request_gets_exactly_what_it_asks_for() {
    let (node, a) = (Node::new(AllocationLimits::default()), runtime("a"));
    for (number, scheme) in [(1, "comm"), (3, "walletData"), (1000, "hyperty")] {
        let addresses = allocated(&node.create(&a, json!({"scheme": scheme, "value": {"number": number}})));
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), number);
        for address in addresses {
            assert_eq!((address.scheme(), address.domain()), (scheme, Some(DOMAIN)));
            assert_eq!(HypertyUrl::try_from(address.clone()).is_ok(), scheme == "hyperty");
            assert_eq!(ObjectUrl::try_from(address.clone()).is_ok(), scheme != "hyperty");
            assert_eq!(node.table.owner(&address), Some(a.clone()));
        }
    }
    assert_eq!(allocated(&node.create(&a, json!({}))).len(), 1);
    assert_eq!(allocated(&node.create(&a, json!({"value": {"number": null}}))).len(), 1);
}

#[test]
fn the_scheme_defaults_by_the_address_of_the_service() {
    let (node, a) = (Node::new(AllocationLimits::default()), runtime("a"));
    for (service, scheme) in [
        ("address-allocation", "hyperty"),
        ("hyperty-address-allocation", "hyperty"),
        ("object-address-allocation", "resource"),
    ] {
        let answer = node.send(&a, MessageType::Create, service, json!({"value": {"number": 2}}));
        assert!(allocated(&answer).iter().all(|url| url.scheme() == scheme), "{service}");
    }
}

#[test]
fn malformed_requests_are_refused_and_allocate_nothing() {
    let (node, a) = (Node::new(AllocationLimits::default()), runtime("a"));
    for body in [
        json!({"value": {"number": 0}}),
        json!({"value": {"number": -1}}),
        json!({"value": {"number": 1001}}),
        json!({"value": {"number": 1.5}}),
        json!({"value": {"number": "three"}}),
        json!({"value": 3}),
        json!({"scheme": "runtime"}),
        json!({"scheme": "domain"}),
        json!({"scheme": "user"}),
        json!({"scheme": "no scheme"}),
        json!({"scheme": ""}),
        json!({"scheme": "comm://elsewhere.example/x"}),
        json!({"scheme": "comm", "value": {"allocationKey": "k".repeat(513)}}),
    ] {
        assert_eq!(node.create(&a, body.clone()).code, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(node.delete(&a, json!({})), StatusCode::BAD_REQUEST);
    let read = node.send(&a, MessageType::Read, "address-allocation", json!({"resource": "x"}));
    assert_eq!(read.code, StatusCode::BAD_REQUEST);
    assert!(node.table.is_empty());
}

#[test]
fn every_form_of_release_releases() {
    let (node, a) = (Node::new(AllocationLimits::default()), runtime("a"));
    let forms: [fn(&[Url], &str) -> Value; 8] = [
        |urls, _| json!({"childrenResources": urls}),
        |urls, _| json!({"childrenResources": [urls]}),
        |urls, _| json!({"value": {"childrenResources": urls}}),
        |urls, _| json!({"resource": urls}),
        |_, key| json!({"resource": key}),
        |_, key| json!({"resource": key, "attribute": "attribute"}),
        |_, key| json!({"value": {"allocationKey": key}}),
        |urls, key| json!({"childrenResources": urls, "value": {"allocationKey": key}}),
    ];
    for (at, form) in forms.iter().enumerate() {
        let key = format!("{a}/key-{at}");
        let request = json!({"scheme": "comm", "value": {"number": 4, "allocationKey": key}});
        let urls = allocated(&node.create(&a, request));
        assert_eq!(node.table.len(), 4);
        assert_eq!(node.delete(&a, form(&urls, &key)), StatusCode::OK, "form {at}");
        assert!(node.table.is_empty(), "form {at}");
    }
    let one = allocated(&node.create(&a, json!({"scheme": "comm"})));
    assert_eq!(node.delete(&a, json!({"resource": one[0]})), StatusCode::OK);
    assert!(node.table.is_empty());
}

#[test]
fn releasing_the_unknown_or_nothing_is_no_error_inv_all_3() {
    let (node, a) = (Node::new(AllocationLimits::default()), runtime("a"));
    for body in [
        json!({"resource": "no such key"}),
        json!({"childrenResources": ["comm://example.com/unknown", "not a URL"]}),
        json!({"childrenResources": [null]}),
        json!({"childrenResources": [[null]]}),
        json!({"childrenResources": []}),
    ] {
        assert_eq!(node.delete(&a, body.clone()), StatusCode::OK, "{body}");
    }
}

#[test]
fn only_the_runtime_or_a_secret_key_releases() {
    let (node, a, b) = (Node::new(AllocationLimits::default()), runtime("a"), runtime("b"));
    let allocate = |key: &str| {
        allocated(&node.create(&a, json!({"scheme": "comm", "value": {"number": 2, "allocationKey": key}})))
    };
    let (guessable, below, secret) =
        (allocate(a.as_str()), allocate(&format!("{a}/objects")), allocate("s3cr3t"));
    let others = [
        json!({"childrenResources": guessable}),
        json!({"resource": guessable[0]}),
        json!({"resource": a}),
        json!({"resource": format!("{a}/objects")}),
        json!({"childrenResources": secret}),
        json!({"childrenResources": below, "value": {"allocationKey": "s3cr3t"}}),
    ];
    for body in others {
        assert_eq!(node.delete(&b, body.clone()), StatusCode::FORBIDDEN, "{body}");
    }
    assert_eq!(node.table.len(), 6);

    // Nothing is released in part.
    let own = allocated(&node.create(&b, json!({"scheme": "comm"})));
    assert_eq!(node.delete(&b, json!({"childrenResources": [own[0], guessable[0]]})), StatusCode::FORBIDDEN);
    assert_eq!(node.table.owner(&own[0]), Some(b.clone()));

    assert_eq!(node.delete(&b, json!({"resource": "s3cr3t"})), StatusCode::OK);
    assert!(secret.iter().all(|address| node.table.owner(address).is_none()));
    assert_eq!(node.delete(&a, json!({"resource": a})), StatusCode::OK);
    assert_eq!(node.table.len(), 3);
}

#[test]
fn limits_hold_per_runtime_and_in_all() {
    let node = Node::new(AllocationLimits { per_runtime: 3, total: 5 });
    let take = |name: &str, number: usize| {
        node.create(&runtime(name), json!({"scheme": "comm", "value": {"number": number}}))
    };
    let refused = |answer: ResponseBody| {
        assert_eq!((answer.code, answer.reason.as_deref()), (StatusCode::FORBIDDEN, Some("limit")));
    };
    let first = allocated(&take("a", 3));
    refused(take("a", 1));
    refused(take("b", 4));
    allocated(&take("b", 2));
    refused(take("c", 1));
    assert_eq!(node.delete(&runtime("a"), json!({"childrenResources": first})), StatusCode::OK);
    allocated(&take("c", 3));
}

/// INV-ALL-1 does not rest on luck: not even the same random numbers give an address twice.
#[test]
fn what_is_held_is_never_drawn_again_inv_all_1() {
    let mut node = Node::new(AllocationLimits::default());
    let block = json!({"scheme": "comm", "value": {"number": 10}});
    let before = allocated(&node.create(&runtime("a"), block.clone()));
    node.ids = Arc::new(SeededIds::new(7));
    node.restart();
    let after = allocated(&node.create(&runtime("b"), block));
    assert!(after.iter().all(|address| !before.contains(address)));
    assert_eq!(node.table.len(), 20);
}

#[tokio::test]
async fn an_answer_is_durable_when_its_ticket_is() {
    let tables = Arc::new(MemoryTables::new());
    let open = || {
        AllocationTable::open(
            DOMAIN,
            tables.clone(),
            Arc::new(SeededIds::new(1)),
            AllocationLimits::default(),
        )
        .unwrap()
    };
    let to = Url::parse("domain://msg-node.example.com/address-allocation").unwrap();
    let a = runtime("a");
    let message = Message::new(1, MessageType::Create, a.address_allocation(), to, Body::empty());
    let (answer, ticket) = open().handle(&message, &a);
    durable(&*tables, ticket).await.unwrap();
    assert_eq!(open().owner(&allocated(&answer)[0]), Some(a));
}

#[test]
fn a_row_that_is_none_is_refused_by_name() {
    let tables = Arc::new(MemoryTables::new());
    tables.commit(hyperty_storage::Batch::new().put("allocations/v1", b"comm://example.com/x", "{}"));
    let opened =
        AllocationTable::open(DOMAIN, tables, Arc::new(SeededIds::new(1)), AllocationLimits::default());
    let error = opened.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { key, .. } if key == "comm://example.com/x"), "{error}");
}

#[derive(Debug, Clone)]
enum Op {
    Create {
        runtime: u8,
        number: usize,
        key: Option<u8>,
    },
    /// Addresses by their place among all that were ever given out.
    Release {
        runtime: u8,
        places: Vec<usize>,
    },
    ReleaseKey {
        runtime: u8,
        key: u8,
    },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let places = proptest::collection::vec(0..64_usize, 0..6);
    prop_oneof![
        4 => (0..3_u8, 1..6_usize, proptest::option::of(0..3_u8))
            .prop_map(|(runtime, number, key)| Op::Create { runtime, number, key }),
        3 => (0..3_u8, places).prop_map(|(runtime, places)| Op::Release { runtime, places }),
        2 => (0..3_u8, 0..3_u8).prop_map(|(runtime, key)| Op::ReleaseKey { runtime, key }),
        1 => Just(Op::Restart),
    ]
}

/// Who holds what, looked through from end to end.
#[derive(Default)]
struct Model {
    held: BTreeMap<Url, (u8, Option<u8>)>,
    ever: Vec<Url>,
}

impl Model {
    fn release(&mut self, wanted: Vec<Url>, runtime: u8, proof: Option<u8>) -> StatusCode {
        let may = |(owner, key): &(u8, Option<u8>)| *owner == runtime || (key.is_some() && *key == proof);
        if !wanted.iter().filter_map(|url| self.held.get(url)).all(may) {
            return StatusCode::FORBIDDEN;
        }
        wanted.iter().for_each(|url| {
            self.held.remove(url);
        });
        StatusCode::OK
    }
}

proptest! {
    /// INV-ALL-1: never given out twice, over restarts too. INV-ALL-3: releasing twice is releasing once.
    #[test]
    fn the_table_is_the_model_inv_all_1_inv_all_3(ops in proptest::collection::vec(op(), 1..40)) {
        let mut node = Node::new(AllocationLimits::default());
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Create { runtime: r, number, key } => {
                    let key_text = key.map(|key| format!("key-{key}"));
                    let body = json!({"scheme": "comm", "value": {"number": number, "allocationKey": key_text}});
                    for address in allocated(&node.create(&runtime(&r.to_string()), body)) {
                        prop_assert!(!model.ever.contains(&address), "{address} again");
                        model.ever.push(address.clone());
                        model.held.insert(address, (r, key));
                    }
                }
                Op::Release { runtime: r, places } => {
                    let wanted: Vec<Url> = places.iter().filter_map(|&at| model.ever.get(at).cloned()).collect();
                    let code = node.delete(&runtime(&r.to_string()), json!({"childrenResources": wanted}));
                    prop_assert_eq!(code, model.release(wanted, r, None));
                }
                Op::ReleaseKey { runtime: r, key } => {
                    let of_key = |(_, (_, held)): &(&Url, &(u8, Option<u8>))| *held == Some(key);
                    let wanted = model.held.iter().filter(of_key).map(|(url, _)| url.clone()).collect();
                    let code = node.delete(&runtime(&r.to_string()), json!({"resource": format!("key-{key}")}));
                    prop_assert_eq!(code, model.release(wanted, r, Some(key)));
                }
                Op::Restart => node.restart(),
            }
            prop_assert_eq!(node.table.len(), model.held.len());
            for address in &model.ever {
                let owner = model.held.get(address).map(|(owner, _)| runtime(&owner.to_string()));
                prop_assert_eq!(node.table.owner(address), owner);
            }
        }
    }
}
