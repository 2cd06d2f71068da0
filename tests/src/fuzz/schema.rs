//! Schemas: whatever a document is, compiling it and validating with it end, and say the same twice.

use hyperty_model::Url;
use hyperty_model::schema::{CHILDREN_NAMES_MAX, SchemaFacts, validation_document};
use hyperty_registry::Schema;
use serde_json::{Value, json};

fn url() -> Url {
    Url::parse("https://example.com/.well-known/dataschema/Fuzzed").expect("it is an address")
}

/// Compiles a document and validates a little with it.
pub fn work(data: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<Value>(data)
        && let Ok(schema) = Schema::compile(url(), document)
    {
        let _ = schema.validate(&json!({}));
    }
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    let stripped = validation_document(&document);
    assert_eq!(validation_document(&stripped), stripped, "what is validated with is taken out once");
    let facts = SchemaFacts::read(&document);
    match Schema::compile(url(), document.clone()) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(schema) => {
            let facts = facts.expect("what compiles says what its objects are");
            assert_eq!((&schema.scheme, &schema.children), (&facts.scheme, &facts.children));
            assert!(schema.children.len() <= CHILDREN_NAMES_MAX);
            assert_eq!(schema.document, document, "a document is kept as it is");
            for child in &schema.children {
                assert_eq!(
                    schema.children_rule(child.name.as_str()),
                    Some(child),
                    "a name is found by itself"
                );
            }
            for value in [json!({}), document, json!({"a": [1, "x", null]})] {
                let first = schema.validate(&value);
                assert_eq!(first, schema.validate(&value), "the same twice");
                if let Err(violation) = first {
                    let at = &violation.instance_path;
                    assert!(value.pointer(at).is_some(), "a violation is within the data: {at:?} of {value}");
                }
            }
        }
    }
}
