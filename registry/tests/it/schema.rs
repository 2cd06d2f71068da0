//! Schemas: validation, the drafts, what is refused, and the real documents where they are at hand.

use std::path::Path;

use hyperty_model::Url;
use hyperty_registry::{InvalidSchema, SCHEMA_BYTES_MAX, Schema};
use serde_json::{Value, json};

fn compile(document: Value) -> Result<Schema, InvalidSchema> {
    let url = "hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Test";
    Schema::compile(Url::parse(url).unwrap(), document)
}

/// Where the data violates the schema; `None` where it does not.
fn violation(document: Value, data: Value) -> Option<String> {
    compile(document).unwrap().validate(&data).err().map(|violation| violation.instance_path)
}

#[test]
fn the_older_keyword_for_constants_counts() {
    let document = json!({"properties": {"kind": {"constant": "comm"}, "list": {"constant": ["a"]}, "n": {"constant": 1}}});
    assert_eq!(violation(document.clone(), json!({"kind": "comm", "list": ["a"], "n": 1.0})), None);
    for (data, place) in [
        (json!({"kind": "connection"}), "/kind"),
        (json!({"kind": null}), "/kind"),
        (json!({"list": []}), "/list"),
        (json!({"n": "1"}), "/n"),
    ] {
        assert_eq!(violation(document.clone(), data).as_deref(), Some(place));
    }
}

/// M23: what is validated is the data, which has neither scheme nor children in it.
#[test]
fn scheme_and_children_are_not_demanded_of_the_data() {
    let document =
        json!({"required": ["scheme", "children", "topic"], "properties": {"scheme": {"constant": "comm"}}});
    assert_eq!(violation(document.clone(), json!({"topic": 1})), None);
    assert_eq!(violation(document.clone(), json!({})).as_deref(), Some(""));
    assert_eq!(violation(document, json!({"topic": 1, "scheme": "context"})).as_deref(), Some("/scheme"));
}

#[test]
fn the_draft_is_the_one_that_the_document_names_else_the_fourth() {
    let exclusive = |schema: Value| {
        let mut document = json!({"properties": {"n": {"minimum": 0, "exclusiveMinimum": true}}});
        if !schema.is_null() {
            document["$schema"] = schema;
        }
        document
    };
    assert_eq!(violation(exclusive(json!(null)), json!({"n": 0})).as_deref(), Some("/n"));
    let fourth = json!("http://json-schema.org/draft-04/schema#");
    assert_eq!(violation(exclusive(fourth), json!({"n": 0})).as_deref(), Some("/n"));
    // A boolean there is no schema of the later drafts.
    assert!(compile(exclusive(json!("http://json-schema.org/draft-07/schema#"))).is_err());
    let later =
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"n": {"const": 3}}});
    assert_eq!(violation(later, json!({"n": 4})).as_deref(), Some("/n"));
}

#[test]
fn a_violation_says_where_and_what_and_not_too_much() {
    let document = json!({"properties": {"items": {"items": {"properties": {"done": {"type": "boolean"}}}}}});
    let schema = compile(document).unwrap();
    let data = json!({"items": [{"done": true}, {"done": "x".repeat(100_000)}]});
    let violation = schema.validate(&data).unwrap_err();
    assert_eq!(violation.instance_path, "/items/1/done");
    assert!(violation.to_string().len() < 2_000);
    let text = schema.validate(&json!({"items": [{"done": 1}]})).unwrap_err().to_string();
    assert_eq!(text, "1 is not of type \"boolean\" (at /items/0/done)");
    let root = compile(json!({"type": "object"})).unwrap().validate(&json!(1)).unwrap_err().to_string();
    assert_eq!(root, "1 is not of type \"object\" (at the root)");
}

#[test]
fn what_is_no_usable_schema_is_refused_with_a_reason() {
    for (document, reason) in [
        (json!("text"), "a schema is a JSON object"),
        (json!({"type": "strange"}), "\"strange\" is not valid"),
        (json!({"pattern": "("}), "(at /pattern)"),
        (json!({"$ref": "#/nowhere"}), "'/nowhere' does not exist"),
        (json!({"$ref": "https://elsewhere.example/x.json"}), "only references into the document itself"),
        (json!({"$ref": "Identity.json#/JWT"}), "it refers to Identity.json#/JWT"),
        (json!({"id": "http://elsewhere.example/s", "$ref": "other#/x"}), "it refers to other#/x"),
        (json!({"$schema": "https://elsewhere.example/draft"}), "unknown draft"),
        (json!({"description": "x".repeat(SCHEMA_BYTES_MAX)}), "at most 196608 are allowed"),
        (json!({"properties": {"scheme": {"constant": "domain"}}}), "domain"),
    ] {
        let error = compile(document).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

/// References in circles end, in compiling and in validating.
#[test]
fn references_in_circles_do_no_harm() {
    for document in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}),
        json!({"properties": {"a": {"$ref": "#/x"}}, "x": {"allOf": [{"$ref": "#/y"}]}, "y": {"anyOf": [{"$ref": "#/x"}]}}),
    ] {
        assert_eq!(violation(document, json!({"a": {"a": 1}})), None);
    }
    let tree = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
    assert_eq!(violation(tree, json!({"a": {"a": {"a": 1}}})).as_deref(), Some("/a/a/a"));
}

/// The real schemas of the reference, where they lie beside the project.
#[test]
fn the_real_schemas_compile_or_are_refused_for_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/schemas");
    if !root.is_dir() {
        return;
    }
    let mut compiled = Vec::new();
    for folder in ["core", "data-objects"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            match compile(document) {
                Ok(schema) => {
                    compiled.push((path.file_stem().unwrap().to_string_lossy().into_owned(), schema))
                }
                // Some are parts of a whole: they refer to each other, or to what none of them defines.
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("it refers to") || text.contains("does not exist"),
                        "{path:?}: {text}"
                    );
                }
            }
        }
    }
    let find = |name: &str| &compiled.iter().find(|(found, _)| found == name).unwrap().1;
    for (name, scheme, children) in [
        ("Communication", "comm", &["resources"][..]),
        ("Connection", "connection", &[]),
        ("Context", "context", &[]),
        ("HelloWorldDataSchema.ds", "hello", &[]),
        ("SyncDataObject", "resource", &[]),
    ] {
        let schema = find(name);
        let names: Vec<_> = schema.children.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!((schema.scheme.as_str(), names.as_slice()), (scheme, children), "{name}");
    }
    let mut call = json!({
        "startingTime": "2026-01-31T10:00:00Z", "lastModified": "2026-01-31T10:00:00Z", "status": "open",
        "participants": [{"status": "away"}],
    });
    find("Communication").validate(&call).unwrap();
    call["startingTime"] = json!("yesterday");
    assert_eq!(find("Communication").validate(&call).unwrap_err().instance_path, "/startingTime");
    find("HelloWorldDataSchema.ds").validate(&json!({"hello": "world"})).unwrap();
    assert!(find("HelloWorldDataSchema.ds").validate(&json!({"hello": "world", "scheme": "comm"})).is_err());
}
