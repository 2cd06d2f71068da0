//! What is read of schemas, against protocol section 3.7.

use std::path::PathBuf;

use hyperty_model::schema::{
    CHILDREN_NAMES_MAX, ChildrenRule, SCHEME_DEFAULT, SchemaError, SchemaFacts, last_segment,
    validation_document,
};
use hyperty_model::{ChildrenName, ObjectUrl, Url};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

fn facts(schema: &Value) -> SchemaFacts {
    SchemaFacts::read(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn names(facts: &SchemaFacts) -> Vec<&str> {
    facts.children.iter().map(|rule| rule.name.as_str()).collect()
}

/// The reference's own schemas, where a copy of them lies beside the project.
fn reference(name: &str) -> Option<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/schemas/data-objects");
    let text = std::fs::read(folder.join(name)).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[test]
fn the_schemas_of_the_reference() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("Communication.json", "comm", &["resources"]),
        ("Connection.json", "connection", &[]),
        ("Context.json", "context", &[]),
        ("HelloWorldDataSchema.ds.json", "hello", &[]),
        ("SyncDataObject.json", "resource", &[]),
        ("HypertyResource.json", "resource", &[]),
    ];
    for (file, scheme, children) in cases {
        let Some(schema) = reference(file) else { continue };
        let facts = facts(&schema);
        assert_eq!((facts.scheme.as_str(), names(&facts)), (scheme, children.to_vec()), "{file}");
        assert!(facts.skipped.is_empty(), "{file}");
        assert!(facts.children.iter().all(|rule| rule.observers_may_write));
    }
}

#[test]
fn a_scheme_in_every_spelling_and_the_first_wins() {
    let cases = [
        (json!({"constant": "comm"}), "comm"),
        (json!({"const": "comm"}), "comm"),
        (json!({"enum": ["comm"]}), "comm"),
        (json!("comm"), "comm"),
        (json!({"constant": "a", "const": "b", "enum": ["c"]}), "a"),
        (json!({"const": "b", "enum": ["c"]}), "b"),
        (json!({"enum": ["comm", "context"]}), SCHEME_DEFAULT),
        (json!({"type": "string"}), SCHEME_DEFAULT),
        (json!({"constant": "walletData"}), "walletData"),
    ];
    for (declared, scheme) in cases {
        assert_eq!(facts(&json!({"properties": {"scheme": declared}})).scheme, scheme, "{declared}");
    }
    assert_eq!(facts(&json!({})).scheme, SCHEME_DEFAULT);
    assert_eq!(facts(&json!({"properties": {}})).scheme, SCHEME_DEFAULT);
}

#[test]
fn a_scheme_that_no_object_can_have_is_refused() {
    let read = |scheme: &str| SchemaFacts::read(&json!({"properties": {"scheme": {"const": scheme}}}));
    let reserved = "hyperty hyperty-runtime runtime domain domain-idp global mn user user-guid acct hyperty-catalogue http https";
    for scheme in reserved.split(' ').chain(["Hyperty", "MN"]) {
        assert_eq!(read(scheme), Err(SchemaError::ReservedScheme(scheme.to_owned())));
    }
    for scheme in ["", "1a", "-a", "a_b", "a b", "a:", "\u{e9}", &"a".repeat(65)] {
        assert!(matches!(read(scheme), Err(SchemaError::Scheme(_))), "{scheme}");
    }
    for schema in [json!(true), json!([]), json!("comm"), json!(null)] {
        assert_eq!(SchemaFacts::read(&schema), Err(SchemaError::NotAnObject));
    }
}

#[test]
fn children_in_every_spelling_and_the_first_wins() {
    let definition =
        |listener: Value| json!({"stereotype": "children", "properties": {"listener": listener}});
    let cases = [
        (json!({"properties": {"children": {"constant": ["b", "a"]}}}), vec!["b", "a"]),
        (json!({"properties": {"children": {"const": ["a"]}}}), vec!["a"]),
        (json!({"properties": {"childrens": ["a"]}}), vec!["a"]),
        (json!({"properties": {"childrens": {"constant": ["a"]}}}), vec!["a"]),
        (json!({"properties": {"children": ["a"]}}), vec!["a"]),
        (json!({"Things": definition(json!({"constant": "a"}))}), vec!["a"]),
        (json!({"Things": definition(json!({"default": "a"}))}), vec!["a"]),
        (json!({"definitions": {"Things": definition(json!({"constant": "a"}))}}), vec!["a"]),
        (json!({"$defs": {"Things": definition(json!({"const": "a"}))}}), vec!["a"]),
        (json!({"Things": definition(json!({"constant": "<a>"}))}), vec![]),
        (json!({"Things": definition(json!({"type": "string"}))}), vec![]),
        (json!({"Things": {"stereotype": "other", "properties": {"listener": {"constant": "a"}}}}), vec![]),
        (
            json!({"properties": {"children": {"constant": ["a"]}, "childrens": ["b"]}, "T": definition(json!({"constant": "c"}))}),
            vec!["a"],
        ),
        (json!({"properties": {"childrens": ["b"], "children": ["a"]}}), vec!["b"]),
        (
            json!({"properties": {"children": {"constant": []}}, "T": definition(json!({"constant": "c"}))}),
            vec![],
        ),
        (json!({"properties": {"children": {"type": "array", "items": {"type": "string"}}}}), vec![]),
        (json!({"properties": {"children": {"const": ["a", "a", "b"]}}}), vec!["a", "b"]),
        (json!({}), vec![]),
    ];
    for (schema, wanted) in cases {
        let facts = facts(&schema);
        assert_eq!(names(&facts), wanted, "{schema}");
        assert!(facts.skipped.is_empty(), "{schema}");
    }
}

#[test]
fn names_that_no_url_can_hold_are_skipped_and_reported() {
    let facts = facts(&json!({"properties": {"children": {"const": ["a/b", "ok", "", "c d", 7, "<x>"]}}}));
    assert_eq!(names(&facts), ["ok"]);
    assert_eq!(facts.skipped, ["a/b", "", "c d", "7", "<x>"]);
    let of = |count: usize| json!({"properties": {"children": {"const": (0..count).map(|at| format!("n{at}")).collect::<Vec<_>>()}}});
    assert!(SchemaFacts::read(&of(CHILDREN_NAMES_MAX)).is_ok());
    let error = SchemaFacts::read(&of(CHILDREN_NAMES_MAX + 1)).unwrap_err();
    assert_eq!(error, SchemaError::TooManyChildren(CHILDREN_NAMES_MAX + 1));
}

#[test]
fn observers_may_write_unless_they_may_only_read() {
    let cases = [
        (json!({"constant": "read"}), false),
        (json!({"const": "read"}), false),
        (json!({"default": "read"}), false),
        (json!({"constant": "write"}), true),
        (json!({"constant": "write_read"}), true),
        (json!({"enum": ["write", "write_read", "read"]}), true),
    ];
    for (permissions, wanted) in cases {
        let definition = json!({"stereotype": "children", "properties": {"listener": {"constant": "a"}, "observerPermissions": permissions}});
        for schema in [
            json!({"Things": definition}),
            json!({"properties": {"children": {"constant": ["a", "b"]}}, "definitions": {"Things": definition}}),
        ] {
            let facts = facts(&schema);
            let rule = ChildrenRule { name: ChildrenName::new("a").unwrap(), observers_may_write: wanted };
            assert_eq!(facts.children[0], rule, "{schema}");
            assert!(
                facts.children[1..].iter().all(|rule| rule.observers_may_write),
                "nothing is said of the others"
            );
        }
    }
}

#[test]
fn the_built_in_table_goes_by_name() {
    let builtin = |url: &str| SchemaFacts::builtin(&Url::parse(url).unwrap());
    let cases = [
        ("Context", "context"),
        ("ContextReporter", "context"),
        ("ContextObserver", "context"),
        ("Connection", "connection"),
        ("WalletData", "walletData"),
        ("Communication", "comm"),
        ("HelloWorldDataSchema", "hello"),
    ];
    for (name, scheme) in cases {
        for folder in
            ["hyperty-catalogue://catalogue.sp1/.well-known/dataschema", "https://sp1/dataObjectSchema"]
        {
            let facts = builtin(&format!("{folder}/{name}")).unwrap();
            assert_eq!(facts.scheme, scheme);
            assert_eq!(names(&facts), if name == "Communication" { vec!["resources"] } else { vec![] });
        }
    }
    for unknown in [
        "https://sp1/dataschema/context",
        "https://sp1/mine/Context",
        "https://Context",
        "https://sp1/dataschema/X",
    ] {
        assert_eq!(builtin(unknown), None, "{unknown}");
    }
    // Where both are known they agree.
    for (file, name) in
        [("Communication.json", "Communication"), ("HelloWorldDataSchema.ds.json", "HelloWorldDataSchema")]
    {
        if let Some(schema) = reference(file) {
            assert_eq!(Some(facts(&schema)), builtin(&format!("https://sp1/dataschema/{name}")));
        }
    }
}

#[test]
fn the_short_name_of_a_schema_is_its_last_segment() {
    let last = |url: &str| last_segment(&Url::parse(url).unwrap()).to_owned();
    assert_eq!(last("https://sp1/.well-known/dataschema/Weather"), "Weather");
    assert_eq!(last("https://sp1/Weather/"), "Weather");
    assert_eq!(last("https://sp1"), "sp1");
}

#[test]
fn the_validation_document_speaks_of_data_only_m23() {
    let schema = json!({
        "id": "Thing",
        "required": ["scheme", "a", "children"],
        "properties": {
            "scheme": "thing",
            "childrens": ["x"],
            "a": {"required": ["scheme"], "enum": [1]},
            "id": {"type": "string"},
            "enum": {"enum": []},
            "b": {"const": {"enum": [], "properties": {"c": 1}}, "default": {"enum": []}},
        },
        "anyOf": [{"enum": []}, {"$ref": "#/Part"}],
        "Part": {"id": "https://sp1/part", "items": {"enum": []}},
    });
    let wanted = json!({
        "required": ["a"],
        "properties": {
            "a": {"required": ["scheme"], "enum": [1]},
            "id": {"type": "string"},
            "enum": {},
            "b": {"const": {"enum": [], "properties": {"c": 1}}, "default": {"enum": []}},
        },
        "anyOf": [{}, {"$ref": "#/Part"}],
        "Part": {"id": "https://sp1/part", "items": {}},
    });
    assert_eq!(validation_document(&schema), wanted);
    assert_eq!(validation_document(&json!({"$id": "x", "required": ["children"]})), json!({}));
    assert_eq!(
        validation_document(&json!({"$id": "https://sp1/x", "id": "urn:x"})),
        json!({"$id": "https://sp1/x", "id": "urn:x"})
    );
    assert_eq!(validation_document(&json!(true)), json!(true));
}

proptest! {
    #[test]
    fn whatever_is_read_can_be_a_url(
        scheme in select(vec![json!("comm"), json!({"const": "x-1"}), json!({"enum": ["Y"]}), json!({"const": "user"}), json!({"const": 1}), json!(["a"])]),
        names in prop::collection::vec(prop_oneof![any::<String>().prop_map(Value::from), "[A-Za-z._-]{1,9}".prop_map(Value::from), Just(Value::Null)], 0..9),
        place in select(vec!["children", "childrens"]), spelling in select(vec!["const", "constant", ""]),
    ) {
        let declared = if spelling.is_empty() { json!(names) } else { json!({ spelling: names }) };
        let schema = json!({"properties": {"scheme": scheme, place: declared}});
        if let Ok(facts) = SchemaFacts::read(&schema) {
            let object = ObjectUrl::parse(&format!("{}://example.com/1", facts.scheme)).unwrap();
            for rule in &facts.children {
                let channel = object.children(&rule.name);
                prop_assert_eq!(Url::parse(channel.as_str()).unwrap(), channel);
            }
            prop_assert!(facts.children.len() + facts.skipped.len() <= names.len());
        }
        let document = validation_document(&schema);
        prop_assert_eq!(validation_document(&document), document.clone(), "a mended schema needs no mending");
    }
}
