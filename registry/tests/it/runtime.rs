//! Locality and routes of a runtime (protocol 1.6, 5.17; INV-ADR-3).

use std::sync::Arc;

use hyperty_message_bus::{Protostub, Route, RouteResolver, SendError, StubStatus};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, Message, ObjectUrl, RuntimeUrl, Url};
use hyperty_registry::RuntimeRegistry;
use proptest::prelude::*;

struct Stub {
    url: Url,
    domain: String,
}

impl Stub {
    fn to(domain: &str) -> Arc<Stub> {
        let url = url(&format!("hyperty-runtime://{domain}/protostub/1"));
        Arc::new(Stub { url, domain: domain.to_owned() })
    }
}

impl Protostub for Stub {
    fn url(&self) -> &Url {
        &self.url
    }
    fn domain(&self) -> &str {
        &self.domain
    }
    fn status(&self) -> StubStatus {
        StubStatus::Live
    }
    fn send(&self, _message: Message) -> Result<(), SendError> {
        Ok(())
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn registry() -> RuntimeRegistry {
    RuntimeRegistry::new(RuntimeUrl::parse("hyperty-runtime://a.example/r1").unwrap())
}

/// `local`, the domain of the stub, or `none`.
fn way(registry: &RuntimeRegistry, to: &str) -> String {
    match registry.resolve(&url(to)) {
        Route::Local => "local".to_owned(),
        Route::Stub(stub) => stub.domain().to_owned(),
        Route::Unroutable => "none".to_owned(),
    }
}

#[test]
fn everything_goes_to_the_stub_of_its_domain_unless_it_is_here() {
    let registry = registry();
    let object = ObjectUrl::parse("comm://a.example/8a7b").unwrap();
    registry.add_object(&object).unwrap();
    registry.add_hyperty(&HypertyUrl::parse("hyperty://a.example/h").unwrap(), None).unwrap();
    registry.add_stub_for_domain("A.example", Stub::to("a.example")).unwrap();
    registry.add_stub_for_domain("b.example", Stub::to("b.example")).unwrap();
    for (to, expected) in [
        ("hyperty-runtime://a.example/r1", "local"),
        ("hyperty-runtime://A.EXAMPLE/r1/sm", "local"),
        ("hyperty-runtime://a.example/r12/sm", "a.example"),
        // Another kind of address, although it names the same: the two are never rewritten into each other.
        ("runtime://a.example/r1/sm", "a.example"),
        ("hyperty-runtime://a.example/protostub/1", "a.example"),
        ("hyperty://a.example/h", "local"),
        ("hyperty://a.example/h2", "a.example"),
        ("comm://a.example/8a7b", "local"),
        ("comm://a.example/8a7b/subscription", "local"),
        ("comm://a.example/8a7b/children/resources", "local"),
        ("comm://a.example/8a7b/x", "a.example"),
        // Observed here, perhaps; reported elsewhere.
        ("comm://b.example/8a7b/subscription", "b.example"),
        // Who publishes, and who passes on what is published, has routes of its own (INV-UPD-2).
        ("comm://b.example/8a7b/changes", "none"),
        ("comm://b.example/8a7b/children/resources", "none"),
        ("comm://b.example/8a7b/children", "none"),
        ("domain://msg-node.b.example/sm", "b.example"),
        ("domain://registry.a.example", "a.example"),
        ("domain://catalogue.B.example", "b.example"),
        ("domain-idp://b.example", "b.example"),
        ("user://bob@b.example/x", "b.example"),
        ("hyperty://c.example/h", "none"),
        ("global://registry/", "none"),
        ("user-guid://1234", "none"),
        ("mn:/session", "none"),
    ] {
        assert_eq!(way(&registry, to), expected, "{to}");
    }
    registry.remove_stub_for_domain("B.EXAMPLE");
    assert_eq!(way(&registry, "comm://b.example/8a7b"), "none");
    registry.remove_object(&object);
    assert_eq!(way(&registry, "comm://a.example/8a7b/subscription"), "a.example");
}

#[test]
fn a_hyperty_has_its_user() {
    let registry = registry();
    let hyperty = HypertyUrl::parse("hyperty://a.example/h").unwrap();
    assert!(!registry.has_hyperty(&hyperty));
    let alice = Identity::of_user("user://a.example/alice");
    registry.add_hyperty(&hyperty, Some(alice.clone())).unwrap();
    assert_eq!(registry.user_of(&hyperty), Some(alice));
    registry.add_hyperty(&hyperty, None).unwrap();
    assert!(registry.has_hyperty(&hyperty));
    assert_eq!(registry.user_of(&hyperty), None);
    registry.remove_hyperty(&hyperty);
    assert!(!registry.is_local(&hyperty));
}

proptest! {
    /// INV-ADR-3: a text that begins like a local address is local only at a segment's end.
    #[test]
    fn a_prefix_is_not_locality_inv_adr_3(
        id in "[a-z0-9]{1,6}",
        more in "[a-z0-9]{1,3}",
        tail in prop_oneof![Just(""), Just("/sm"), Just("/registry"), Just("/p2phandler/7")],
    ) {
        let runtime = RuntimeUrl::parse(&format!("hyperty-runtime://a.example/{id}")).unwrap();
        let registry = RuntimeRegistry::new(runtime.clone());
        let local = |text: String| registry.is_local(&url(&text));
        let own = local(format!("{runtime}{tail}"));
        let longer = local(format!("{runtime}{more}{tail}"));
        let shifted = local(format!("hyperty-runtime://a.example/{more}{id}{tail}"));
        prop_assert_eq!((own, longer, shifted), (true, false, false));
    }

    /// Of an object reported here, and of nothing else, every derived URL is local.
    #[test]
    fn derived_urls_are_local_with_their_object(ids in proptest::collection::vec("[a-z0-9]{1,5}", 1..4), name in "[a-z]{1,8}") {
        let object = ObjectUrl::parse(&format!("comm://a.example/id-{}", ids.join("/"))).unwrap();
        let registry = registry();
        let name = ChildrenName::new(&name).unwrap();
        let derived = [
            object.as_url().clone(),
            object.subscription(),
            object.changes(),
            object.children(&name),
            object.observers(),
            object.status(),
            object.registration(),
        ];
        prop_assert!(derived.iter().all(|url| !registry.is_local(url)));
        registry.add_object(&object).unwrap();
        prop_assert!(derived.iter().all(|url| registry.is_local(url)));
        let longer = ObjectUrl::parse(&format!("{object}0")).unwrap();
        prop_assert!(!registry.is_local(&longer.subscription()));
        prop_assert!(!registry.is_local(&object.as_url().join("x/changes").unwrap()));
    }
}
