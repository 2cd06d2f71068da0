use std::fmt;

use hyperty_model::Url;
use hyperty_model::schema::{ChildrenRule, SchemaFacts, validation_document};
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{Draft, Keyword, ReferencingError, Retrieve, Uri, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// Largest schema document, in bytes of JSON: ten times the largest known one. It is sent in one message, with
/// room for what else is in that, compiled
/// in one go, and kept as long as anybody uses it.
pub const SCHEMA_BYTES_MAX: usize = 192 * 1024;

/// Why a document is no usable schema. Correct the document, or have its author do so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be used: {0}")]
pub struct InvalidSchema(pub String);

/// The first place at which data violates its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {})", if instance_path.is_empty() { "the root" } else { instance_path })]
pub struct SchemaViolation {
    /// Where in the data, as a JSON pointer; empty for the whole.
    pub instance_path: String,
    /// What is wrong there.
    pub message: String,
}

/// The schema of data objects, ready to validate.
///
/// ```
/// use hyperty_model::Url;
/// use hyperty_registry::Schema;
/// use serde_json::json;
///
/// let url = Url::parse("hyperty-catalogue://catalogue.example.com/.well-known/dataschema/Chat").unwrap();
/// let schema = Schema::compile(url, json!({
///     "type": "object",
///     "required": ["scheme", "topic"],
///     "properties": {
///         "scheme": {"constant": "comm"},
///         "children": {"constant": ["messages"]},
///         "topic": {"type": "string"},
///     },
/// })).unwrap();
/// assert_eq!((schema.scheme.as_str(), schema.children[0].name.as_str()), ("comm", "messages"));
/// assert!(schema.validate(&json!({"topic": "release"})).is_ok());
/// assert_eq!(schema.validate(&json!({"topic": 3})).unwrap_err().instance_path, "/topic");
/// ```
pub struct Schema {
    /// Under which URL it was found.
    pub url: Url,
    /// The document as it is.
    pub document: Value,
    /// The scheme of the URLs of its objects.
    pub scheme: String,
    /// The children that its objects may have, in order.
    pub children: Vec<ChildrenRule>,
    validator: Validator,
}

impl Schema {
    /// Compiles a document: JSON Schema of the draft that it names, of draft 4 if it names none, and the older
    /// keyword `constant` in all of them. References lead nowhere but into the document itself.
    ///
    /// # Errors
    /// [`InvalidSchema`] says why the document is no schema, or none that can be used.
    pub fn compile(url: Url, document: Value) -> Result<Schema, InvalidSchema> {
        let facts = SchemaFacts::read(&document).map_err(|error| InvalidSchema(error.to_string()))?;
        if !facts.skipped.is_empty() {
            tracing::warn!(%url, skipped = ?facts.skipped, "the schema has children names that cannot be used");
        }
        Schema::new(url, document, facts)
    }

    /// A schema of which only the facts are known: any object satisfies it.
    pub(crate) fn of_facts(url: Url, facts: SchemaFacts) -> Result<Schema, InvalidSchema> {
        Schema::new(url, json!({ "type": "object" }), facts)
    }

    fn new(url: Url, document: Value, facts: SchemaFacts) -> Result<Schema, InvalidSchema> {
        let size = document.to_string().len();
        if size > SCHEMA_BYTES_MAX {
            return Err(InvalidSchema(format!(
                "it has {size} bytes, at most {SCHEMA_BYTES_MAX} are allowed"
            )));
        }
        let draft = Draft::Draft4.detect(&document);
        if draft == Draft::Unknown {
            let named = document.get("$schema").cloned().unwrap_or_default();
            return Err(InvalidSchema(format!("it is written in an unknown draft: {named}")));
        }
        let validator = jsonschema::options()
            .with_draft(draft)
            .with_keyword("constant", constant)
            .with_retriever(Refuse)
            .should_validate_formats(true)
            .build(&validation_document(&document))
            .map_err(|error| InvalidSchema(described(&error)))?;
        Ok(Schema { url, document, scheme: facts.scheme, children: facts.children, validator })
    }

    /// Checks the data of an object.
    ///
    /// # Errors
    /// [`SchemaViolation`] names the first place that violates the schema.
    pub fn validate(&self, data: &Value) -> Result<(), SchemaViolation> {
        self.validator.validate(data).map_err(|error| SchemaViolation {
            instance_path: error.instance_path().to_string(),
            message: shortened(error.to_string()),
        })
    }

    /// The rule for the children of a name; `None` if the schema has no such children.
    pub fn children_rule(&self, name: &str) -> Option<&ChildrenRule> {
        self.children.iter().find(|rule| rule.name.as_str() == name)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("url", &self.url).field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// What an error says, with the place in the schema if it has one.
fn described(error: &ValidationError<'_>) -> String {
    if let ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) = error.kind() {
        return format!("it refers to {uri}, and only references into the document itself are followed");
    }
    let path = error.instance_path().to_string();
    let message = shortened(error.to_string());
    if path.is_empty() { message } else { format!("{message} (at {path})") }
}

/// The validator quotes what it rejects, which may be a whole object.
fn shortened(text: String) -> String {
    const SHOWN: usize = 400;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Equality with one value: the keyword that schemas used before `const` existed.
struct Constant(Value);

impl Keyword<'_> for Constant {
    fn validate(&self, instance: &Value) -> Result<(), ValidationError<'static>> {
        if self.is_valid(instance) {
            Ok(())
        } else {
            Err(ValidationError::custom(format!("it must be {}", self.0)))
        }
    }

    fn is_valid(&self, instance: &Value) -> bool {
        // 1 and 1.0 are the same number.
        *instance == self.0 || instance.as_f64().is_some_and(|number| self.0.as_f64() == Some(number))
    }
}

fn constant<'a>(
    _parent: &'a Map<String, Value>,
    value: &'a Value,
    _path: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    Ok(Box::new(Constant(value.clone())))
}

/// Fetches nothing: a schema must not make its reader call anywhere.
struct Refuse;

impl Retrieve for Refuse {
    fn retrieve(&self, _uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing is fetched".into())
    }
}
