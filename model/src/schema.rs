//! What a schema says of an object's URL and children (protocol 3.7).
//!
//! A schema of data objects is a JSON Schema in which two things are said of the object rather than of its data: the
//! scheme of its URL and the names of its children. Both have been spelt in several ways; all of them are read.
//!
//! ```
//! use hyperty_model::schema::SchemaFacts;
//! use serde_json::json;
//!
//! let schema = json!({"properties": {"scheme": {"const": "comm"}, "children": {"const": ["messages"]}}});
//! let facts = SchemaFacts::read(&schema).unwrap();
//! assert_eq!(facts.scheme, "comm");
//! assert_eq!(facts.children[0].name.as_str(), "messages");
//! ```

use serde_json::{Map, Value};

use crate::{ChildrenName, Url, UrlKind};

/// The scheme of objects whose schema declares none.
pub const SCHEME_DEFAULT: &str = "resource";

/// Most children names of one schema: each is a route at every message node for every object.
pub const CHILDREN_NAMES_MAX: usize = 64;

/// Children of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildrenRule {
    /// Their name, the last segment of their channel's URL.
    pub name: ChildrenName,
    /// Whether observers may create some; otherwise only the Reporter may.
    pub observers_may_write: bool,
}

/// What a schema says of its objects beside their data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFacts {
    /// The scheme of their URLs.
    pub scheme: String,
    /// Their children, in the order of the schema.
    pub children: Vec<ChildrenRule>,
    /// Declared children names that are not used because no URL could hold them; worth a warning.
    pub skipped: Vec<String>,
}

/// Why a document is no schema of data objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The document is not a JSON object.
    #[error("a schema is a JSON object")]
    NotAnObject,
    /// The scheme is not a letter followed by letters, digits and `-`.
    #[error("{0:?} is not the scheme of a URL")]
    Scheme(String),
    /// The scheme names another kind of entity; choose another one.
    #[error("objects cannot have the scheme {0:?}: it names another kind of entity")]
    ReservedScheme(String),
    /// More than [`CHILDREN_NAMES_MAX`] children names; use fewer.
    #[error("a schema has at most {CHILDREN_NAMES_MAX} children names, not {0}")]
    TooManyChildren(usize),
}

impl SchemaFacts {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`SchemaError`] when it cannot be the schema of data objects.
    pub fn read(schema: &Value) -> Result<SchemaFacts, SchemaError> {
        let root = schema.as_object().ok_or(SchemaError::NotAnObject)?;
        let scheme = declared_scheme(root).unwrap_or(SCHEME_DEFAULT).to_owned();
        check_scheme(&scheme)?;
        let declared = declared_children(root);
        let mut facts = SchemaFacts { scheme, children: Vec::new(), skipped: Vec::new() };
        for name in declared {
            match name.as_str().map(ChildrenName::new) {
                Some(Ok(name)) if facts.children.iter().any(|rule| rule.name == name) => {}
                Some(Ok(name)) => {
                    let observers_may_write = observers_may_write(root, name.as_str());
                    facts.children.push(ChildrenRule { name, observers_may_write });
                }
                _ => facts.skipped.push(name.as_str().map_or_else(|| name.to_string(), str::to_owned)),
            }
        }
        if facts.children.len() > CHILDREN_NAMES_MAX {
            return Err(SchemaError::TooManyChildren(facts.children.len()));
        }
        Ok(facts)
    }

    /// What is known of the data schemas of the reference by their name alone, for runtimes that cannot fetch them.
    ///
    /// ```
    /// use hyperty_model::{Url, schema::SchemaFacts};
    /// let url = Url::parse("hyperty-catalogue://catalogue.a/.well-known/dataschema/Connection").unwrap();
    /// assert_eq!(SchemaFacts::builtin(&url).unwrap().scheme, "connection");
    /// ```
    pub fn builtin(schema: &Url) -> Option<SchemaFacts> {
        let mut segments = schema.path().rsplit('/');
        let name = segments.next()?;
        if !matches!(segments.next(), Some("dataschema" | "dataObjectSchema")) {
            return None;
        }
        let (scheme, children): (_, &[&str]) = match name {
            "Context" | "ContextReporter" | "ContextObserver" => ("context", &[]),
            "Connection" => ("connection", &[]),
            "WalletData" => ("walletData", &[]),
            "Communication" => ("comm", &["resources"]),
            "HelloWorldDataSchema" => ("hello", &[]),
            _ => return None,
        };
        let names = children.iter().filter_map(|name| ChildrenName::new(name).ok());
        let children = names.map(|name| ChildrenRule { name, observers_may_write: true }).collect();
        Some(SchemaFacts { scheme: scheme.to_owned(), children, skipped: Vec::new() })
    }
}

/// The last path segment of a schema's URL, its short name; the authority if there is no path.
pub fn last_segment(schema: &Url) -> &str {
    schema.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(schema.authority())
}

/// The document that an object's data is validated against (protocol M23): without what is said of the object rather
/// than of its data, and without three habits of older schemas that a validator refuses: a relative `id`, an empty
/// `enum`, and a property that is declared by a plain value.
pub fn validation_document(schema: &Value) -> Value {
    let mut document = schema.clone();
    if let Some(root) = document.as_object_mut() {
        for key in ["id", "$id"] {
            if root.get(key).and_then(Value::as_str).is_some_and(|id| !has_scheme(id)) {
                root.remove(key);
            }
        }
        if let Some(Value::Array(required)) = root.get_mut("required") {
            required.retain(|name| name != "scheme" && name != "children");
            if required.is_empty() {
                // The older drafts want at least one.
                root.remove("required");
            }
        }
    }
    mend(&mut document);
    document
}

fn has_scheme(id: &str) -> bool {
    id.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn check_scheme(scheme: &str) -> Result<(), SchemaError> {
    // Long enough for any name, and short enough to leave an object's URL room for its domain and id.
    const SCHEME_BYTES_MAX: usize = 64;
    if !is_scheme(scheme) || scheme.len() > SCHEME_BYTES_MAX {
        return Err(SchemaError::Scheme(scheme.chars().take(80).collect()));
    }
    if UrlKind::of_scheme(scheme) != UrlKind::Object {
        return Err(SchemaError::ReservedScheme(scheme.to_owned()));
    }
    Ok(())
}

fn declared_scheme(root: &Map<String, Value>) -> Option<&str> {
    let scheme = root.get("properties")?.get("scheme")?;
    let only = || scheme.get("enum")?.as_array().filter(|values| values.len() == 1)?.first()?.as_str();
    let constant = |key| scheme.get(key).and_then(Value::as_str);
    constant("constant").or_else(|| constant("const")).or_else(only).or(scheme.as_str())
}

/// The declared names, whatever they are; first hit wins.
fn declared_children(root: &Map<String, Value>) -> Vec<Value> {
    let property = |name| root.get("properties").and_then(|properties| properties.get(name));
    let array = |value: &'_ Value| value.as_array().cloned();
    let constant = |name, key| property(name)?.get(key).and_then(array);
    let declared = constant("children", "constant")
        .or_else(|| constant("children", "const"))
        .or_else(|| property("childrens").and_then(array))
        .or_else(|| constant("childrens", "constant"))
        .or_else(|| property("children").and_then(array));
    if let Some(names) = declared {
        return names;
    }
    let placeholder = |name: &str| name.starts_with('<') && name.ends_with('>');
    let listeners = children_definitions(root).filter_map(|definition| said_of(definition, "listener"));
    listeners.filter(|name| !placeholder(name)).map(Value::from).collect()
}

/// The parts of a schema that describe children. They stand beside `properties`, or where drafts put definitions.
fn children_definitions(root: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let inner = ["definitions", "$defs"].into_iter().filter_map(|key| root.get(key)?.as_object());
    let all = std::iter::once(root).chain(inner).flat_map(Map::values);
    all.filter(|definition| definition.get("stereotype").and_then(Value::as_str) == Some("children"))
}

/// The fixed value that a definition gives to one of its properties.
fn said_of<'a>(definition: &'a Value, property: &str) -> Option<&'a str> {
    let property = definition.get("properties")?.get(property)?;
    ["constant", "const", "default"].into_iter().find_map(|key| property.get(key)?.as_str())
}

fn observers_may_write(root: &Map<String, Value>, name: &str) -> bool {
    let mut definitions = children_definitions(root);
    let definition = definitions.find(|definition| said_of(definition, "listener") == Some(name));
    definition.and_then(|definition| said_of(definition, "observerPermissions")) != Some("read")
}

/// Mends a schema and all schemas inside of it.
fn mend(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if keywords.get("enum").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                keywords.remove("enum");
            }
            for (keyword, value) in keywords {
                match keyword.as_str() {
                    // Plain values, whatever they look like.
                    "const" | "constant" | "default" | "enum" | "examples" => {}
                    "properties" | "patternProperties" | "dependentSchemas" | "definitions" | "$defs" => {
                        if let Value::Object(schemas) = value {
                            schemas.retain(|_, schema| schema.is_object() || schema.is_boolean());
                            schemas.values_mut().for_each(mend);
                        }
                    }
                    _ => mend(value),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(mend),
        _ => {}
    }
}
