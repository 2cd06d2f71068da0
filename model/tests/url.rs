//! Addresses against protocol section 1.

use std::collections::HashSet;

use hyperty_model::url::{CHILDREN_NAME_BYTES_MAX, TAIL_BYTES_MAX, URL_BYTES_MAX, node};
use hyperty_model::{ChildrenName, DerivedTail, HypertyUrl, ObjectUrl, RuntimeUrl, Url, UrlError, UrlKind};
use proptest::prelude::*;
use proptest::sample::select;

const TAIL_WORDS: [&str; 6] = ["children", "subscription", "changes", "observers", "status", "registration"];

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn domain() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}(\\.[a-z]{2,6}){0,2}(:[0-9]{2,4})?"
}

/// Any segment that is not a tail word; sometimes one with characters that few would think of.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9][A-Za-z0-9._~-]{0,11}", 1 => "[^/#\\x00-\\x1f\\x7f]{1,12}"]
        .prop_filter("a tail word", |text| !TAIL_WORDS.contains(&text.as_str()))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 1..5).prop_map(|segments| segments.join("/"))
}

fn object_text() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        select(vec![
            "comm",
            "connection",
            "context",
            "ctxt",
            "identity",
            "hello",
            "walletData",
            "wallet",
            "resource"
        ])
        .prop_map(str::to_owned),
        "x[a-zA-Z0-9-]{0,6}",
    ];
    (scheme, domain(), path()).prop_map(|(scheme, domain, path)| format!("{scheme}://{domain}/{path}"))
}

fn children_name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[A-Za-z0-9_.-]{1,12}", 1 => select(&TAIL_WORDS[..]).prop_map(str::to_owned)]
}

/// A tail, as text and as what it is read as.
fn tail() -> impl Strategy<Value = (String, DerivedTail)> {
    prop_oneof![
        Just(("/subscription".to_owned(), DerivedTail::Subscription)),
        Just(("/changes".to_owned(), DerivedTail::Changes)),
        Just(("/children".to_owned(), DerivedTail::FlatChildren)),
        Just(("/children/".to_owned(), DerivedTail::FlatChildren)),
        Just(("/observers".to_owned(), DerivedTail::Observers)),
        Just(("/status".to_owned(), DerivedTail::Status)),
        Just(("/registration".to_owned(), DerivedTail::Registration)),
        children_name().prop_map(|name| {
            let tail = DerivedTail::Children(ChildrenName::new(&name).unwrap());
            (format!("/children/{name}"), tail)
        }),
        children_name().prop_map(|name| {
            let tail = DerivedTail::Children(ChildrenName::new(&name).unwrap());
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            (format!("/children/{encoded}"), tail)
        }),
    ]
}

/// A URL of every entity of 1.2 to 1.5, with its kind and its domain by 1.6.
fn entity() -> impl Strategy<Value = (String, UrlKind, Option<String>)> {
    let patterns = select(vec![
        ("hyperty://D/S", UrlKind::Hyperty),
        ("hyperty://D/S#3", UrlKind::Hyperty),
        ("hyperty-runtime://D/S", UrlKind::Runtime),
        ("hyperty-runtime://D/S/sm", UrlKind::Runtime),
        ("hyperty-runtime://D/S/registry/", UrlKind::Runtime),
        ("hyperty-runtime://D/S/registry/changes", UrlKind::Runtime),
        ("hyperty-runtime://D/S/p2phandler/S", UrlKind::Runtime),
        ("hyperty-runtime://D/protostub/S", UrlKind::Runtime),
        ("runtime://D", UrlKind::Runtime),
        ("runtime://D/protostub/S/status", UrlKind::Runtime),
        ("domain://msg-node.D/sm", UrlKind::Domain),
        ("domain://msg-node.D/address-allocation", UrlKind::Domain),
        ("domain://registry.D", UrlKind::Domain),
        ("domain://registry.D/", UrlKind::Domain),
        ("domain://registry.D/comm/user/user://D/S", UrlKind::Domain),
        ("domain://idm.D", UrlKind::Domain),
        ("domain://catalogue.D", UrlKind::Domain),
        ("domain-idp://D", UrlKind::Foreign),
        ("user://D/S", UrlKind::User),
        ("user://someone@D/S", UrlKind::User),
        ("user://D/someone@elsewhere.example", UrlKind::User),
        ("acct://D/user%3A%2F%2Felsewhere.example%2Fsomeone", UrlKind::User),
        ("hyperty-catalogue://catalogue.D/.well-known/dataschema/S", UrlKind::Catalogue),
        ("hyperty-catalogue://D/dataObjectSchema/S", UrlKind::Catalogue),
        ("https://D/.well-known/dataschema/S", UrlKind::Catalogue),
        ("comm://D/S", UrlKind::Object),
        ("context://D/S/S/changes", UrlKind::Object),
        ("comm://D/S/children/resources", UrlKind::Object),
        ("comm:D/S", UrlKind::Object),
    ]);
    let of_domain = (patterns, domain(), segment()).prop_map(|((pattern, kind), domain, segment)| {
        (pattern.replace('S', &segment).replace('D', &domain), kind, Some(domain))
    });
    let domainless = select(vec![
        ("global://registry/", UrlKind::Foreign),
        ("mn:/session", UrlKind::Session),
        ("user-guid://2a9c", UrlKind::User),
    ]);
    let fixed = select(vec![
        ("user://anonymous", UrlKind::User, "anonymous"),
        ("hyperty-runtime://sandbox/internal", UrlKind::Runtime, "sandbox"),
    ]);
    prop_oneof![
        8 => of_domain,
        1 => domainless.prop_map(|(text, kind)| (text.to_owned(), kind, None)),
        1 => fixed.prop_map(|(text, kind, domain)| (text.to_owned(), kind, Some(domain.to_owned()))),
    ]
}

/// The text with some letters of scheme and authority in upper case.
fn in_other_case(text: &str, seed: u64) -> String {
    let path = text.find("://").map_or(0, |at| at + 3);
    let end = text[path..].find('/').map_or(text.len(), |at| path + at);
    let flip = |(at, c): (usize, char)| {
        if at < end && seed >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c }
    };
    text.char_indices().map(flip).collect()
}

proptest! {
    #[test]
    fn parse_then_format_is_the_identity_inv_adr_1((text, kind, domain) in entity(), seed: u64) {
        let parsed = url(&text);
        prop_assert_eq!(parsed.as_str(), text.strip_suffix('/').unwrap_or(&text));
        let again = url(parsed.as_str());
        prop_assert_eq!(again.as_str(), parsed.as_str());
        prop_assert_eq!(parsed.kind(), kind);
        prop_assert_eq!(parsed.domain(), domain.as_deref());

        let other = in_other_case(&text, seed);
        let scrambled = url(&other);
        prop_assert_eq!(scrambled.as_str(), other.strip_suffix('/').unwrap_or(&other), "kept as written");
        prop_assert_eq!(&scrambled, &parsed);
        prop_assert_eq!(HashSet::from([parsed]).len(), HashSet::from([scrambled.clone(), url(&text)]).len());
        prop_assert_eq!(scrambled.kind(), kind);
        prop_assert_eq!(scrambled.domain(), domain.as_deref());
    }

    #[test]
    fn whatever_parses_is_stable_inv_adr_1(text in "[a-zA-Z:/@#.%\u{e9}\\x00 -]{0,24}", scheme in "|a:|a:/|a://|Comm://x") {
        if let Ok(parsed) = Url::parse(&format!("{scheme}{text}")) {
            let again = url(parsed.as_str());
            prop_assert_eq!(again.as_str(), parsed.as_str());
            prop_assert_eq!(&again, &parsed);
            prop_assert!(!parsed.authority().is_empty());
            let derived = parsed.split_derived();
            if let Some((object, None)) = derived {
                prop_assert_eq!(object.as_url(), &parsed);
            }
        }
    }

    #[test]
    fn a_derived_url_splits_into_what_it_was_made_of_inv_adr_2(text in object_text(), (tail_text, tail) in tail(), seed: u64) {
        let object = ObjectUrl::parse(&text).unwrap();
        prop_assert_eq!(url(&text).split_derived(), Some((object.clone(), None)));
        let derived = url(&format!("{text}{tail_text}"));
        prop_assert_eq!(derived.split_derived(), Some((object.clone(), Some(tail.clone()))));
        prop_assert!(ObjectUrl::try_from(derived).is_err());
        let scrambled = url(&in_other_case(&format!("{text}{tail_text}"), seed));
        prop_assert_eq!(scrambled.split_derived(), Some((object, Some(tail))));
    }

    #[test]
    fn made_and_parsed_derived_urls_are_the_same(text in object_text(), name in children_name(), seed: u64) {
        let object = ObjectUrl::parse(&in_other_case(&text, seed)).unwrap();
        let name = ChildrenName::new(&name).unwrap();
        let made = [
            (object.subscription(), DerivedTail::Subscription),
            (object.changes(), DerivedTail::Changes),
            (object.observers(), DerivedTail::Observers),
            (object.status(), DerivedTail::Status),
            (object.registration(), DerivedTail::Registration),
            (object.children(&name), DerivedTail::Children(name)),
        ];
        for (derived, tail) in made {
            let parsed = url(derived.as_str());
            prop_assert_eq!(&parsed, &derived);
            prop_assert_eq!(parsed.key(), derived.key());
            prop_assert_eq!(parsed.path(), derived.path());
            prop_assert_eq!(derived.domain(), object.domain());
            prop_assert_eq!(derived.split_derived(), Some((object.clone(), Some(tail))));
        }
    }

    #[test]
    fn no_url_is_below_one_it_merely_starts_with_inv_adr_3(domain in domain(), id in "[a-z0-9]{1,8}", more in "[a-z0-9.-]{1,4}", seed: u64) {
        let runtime = RuntimeUrl::parse(&format!("hyperty-runtime://{domain}/{id}")).unwrap();
        let other = RuntimeUrl::parse(&format!("hyperty-runtime://{domain}/{id}{more}")).unwrap();
        for component in [runtime.sync_manager(), runtime.registry(), runtime.address_allocation()] {
            prop_assert!(component.is_at_or_below(&runtime));
            prop_assert!(url(&in_other_case(component.as_str(), seed)).is_at_or_below(&runtime));
            prop_assert!(!component.is_at_or_below(&other));
        }
        prop_assert!(!other.is_at_or_below(&runtime));
        prop_assert!(!other.sync_manager().is_at_or_below(&runtime));
        prop_assert!(!runtime.is_at_or_below(&runtime.sync_manager()));
    }

    #[test]
    fn urls_travel_through_serde(text in object_text()) {
        let object = ObjectUrl::parse(&text).unwrap();
        let json = serde_json::to_string(&object).unwrap();
        let read: ObjectUrl = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.as_str(), object.as_str());
        let escaped: String = json.replace('/', "\\/");
        let read: Url = serde_json::from_str(&escaped).unwrap();
        prop_assert_eq!(read.as_str(), object.as_str());
        let value = serde_json::to_value(&object).unwrap();
        prop_assert_eq!(&serde_json::from_value::<ObjectUrl>(value).unwrap(), &object);
    }

    #[test]
    fn identifiers_are_never_tail_words_m24(domain in domain(), before in path(), word in select(&TAIL_WORDS[..]), after in path()) {
        for path in [word.to_owned(), format!("{before}/{word}"), format!("{word}/{after}"), format!("{before}/{word}/{after}")] {
            let text = format!("comm://{domain}/{path}");
            prop_assert!(ObjectUrl::parse(&text).is_err(), "{}", text);
        }
    }
}

#[test]
fn malformed_urls_are_refused_by_the_part_that_is_wrong() {
    type Wanted = fn(&UrlError) -> bool;
    let cases: [(Wanted, &[&str]); 3] = [
        (
            |error| matches!(error, UrlError::Scheme(_)),
            &[
                "",
                "/",
                ":",
                "comm",
                "://d/x",
                "1comm://d/x",
                "-c://d/x",
                "co_mm://d/x",
                "c m://d/x",
                "\u{e9}://d/x",
            ],
        ),
        (
            |error| matches!(error, UrlError::Authority(_)),
            &[
                "comm:",
                "comm:/",
                "comm://",
                "comm:///x",
                "comm://d x/y",
                "comm://d\u{e9}/y",
                "comm://d?x/y",
                "mn:/",
            ],
        ),
        (
            |error| matches!(error, UrlError::Path(_)),
            &[
                "comm://d//",
                "comm://d//x",
                "comm://d/x//",
                "comm://d/x//y",
                "comm://d/\u{7}",
                "comm://d/x\n",
                "comm://d/a:///b",
            ],
        ),
    ];
    for (wanted, texts) in cases {
        for text in texts {
            let error = Url::parse(text).expect_err(text);
            assert!(wanted(&error), "{text}: {error}");
        }
    }
}

#[test]
fn lengths_are_limited_and_leave_room_for_tails() {
    let of_length = |length: usize| format!("{:x<length$}", "comm://d/");
    assert!(Url::parse(&of_length(URL_BYTES_MAX)).is_ok());
    assert!(Url::parse(&format!("{}/", of_length(URL_BYTES_MAX))).is_ok());
    assert!(matches!(Url::parse(&of_length(URL_BYTES_MAX + 1)), Err(UrlError::TooLong { .. })));

    let longest = URL_BYTES_MAX - TAIL_BYTES_MAX;
    let object = ObjectUrl::parse(&of_length(longest)).unwrap();
    let error = ObjectUrl::parse(&of_length(longest + 1)).unwrap_err();
    assert_eq!(error, UrlError::TooLong { bytes: longest + 1, max: longest });
    let name = ChildrenName::new(&"n".repeat(CHILDREN_NAME_BYTES_MAX)).unwrap();
    assert!(ChildrenName::new(&"n".repeat(CHILDREN_NAME_BYTES_MAX + 1)).is_err());
    assert_eq!(url(object.children(&name).as_str()), object.children(&name));

    let authority = |length: usize| format!("comm://{}/x", "a".repeat(length));
    assert!(Url::parse(&authority(256)).is_ok());
    assert!(matches!(Url::parse(&authority(257)), Err(UrlError::Authority(_))));
    // What is shown of a wrong URL is bounded too.
    assert!(Url::parse(&"\u{e9}".repeat(200)).unwrap_err().to_string().len() < 600);
}

#[test]
fn each_newtype_takes_its_own_kind_only() {
    assert!(HypertyUrl::parse("hyperty://d/id").is_ok());
    assert!(HypertyUrl::parse("hyperty://d").is_err());
    assert!(HypertyUrl::parse("hyperty://d/id#3").is_err(), "a child's id");
    assert!(RuntimeUrl::parse("runtime://guid").is_ok());
    assert!(RuntimeUrl::parse("hyperty://d/id").is_err());
    assert!(ObjectUrl::parse("hyperty://d/id").is_err());
    assert!(ObjectUrl::parse("comm://d").is_err());
    assert!(ObjectUrl::parse("domain://d/x").is_err());
    // The two schemes of runtimes name one kind, and two different runtimes.
    assert_ne!(url("runtime://d/x"), url("hyperty-runtime://d/x"));
    assert_eq!(UrlKind::of_scheme("Hyperty-Runtime"), UrlKind::Runtime);
}

#[test]
fn domains_by_the_rules_of_1_6() {
    let cases = [
        ("user://a@b.example/x", Some("b.example")),
        ("user://a@b@c.example/x", Some("c.example")),
        ("user://a@", None),
        ("domain://MSG-NODE.Sp1.example/sm", Some("sp1.example")),
        ("domain://msg-node.registry.sp1/sm", Some("registry.sp1")),
        ("domain://registry.", Some("registry.")),
        ("domain://sp1", Some("sp1")),
        ("hyperty-catalogue://catalogue.sp1/.well-known/x/Y", Some("sp1")),
        ("hyperty-catalogue://registry.sp1/x", Some("registry.sp1")),
        ("comm://catalogue.sp1/x", Some("catalogue.sp1")),
        ("runtime://2c5e", Some("2c5e")),
        ("user-guid://2c5e", None),
        ("mn:/session", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(url(text).domain(), wanted, "{text}");
    }
    assert_eq!(node::subscription_manager("sp1").unwrap().as_str(), "domain://msg-node.sp1/sm");
    assert_eq!(node::registry("sp1").unwrap(), url("domain://registry.sp1/"));
    assert!(node::catalogue("no domain").is_err());
    assert_eq!(node::session(), url("mn:/session"));
}

#[test]
fn percent_encoding_of_children_names_is_undone_for_comparison_only() {
    let derived = url("comm://d/x/children/re%73ources");
    let (object, tail) = derived.split_derived().unwrap();
    assert_eq!(object.as_str(), "comm://d/x");
    assert_eq!(tail, Some(DerivedTail::Children(ChildrenName::new("resources").unwrap())));
    assert_eq!(derived.as_str(), "comm://d/x/children/re%73ources");
    for wrong in [
        "comm://d/x/children/a%2Fb",
        "comm://d/x/children/%+f",
        "comm://d/x/children/%",
        "comm://d/x/children/a b",
    ] {
        assert_eq!(url(wrong).split_derived(), None, "{wrong}");
    }
}
