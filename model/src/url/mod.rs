//! Addresses: the URLs of protocol section 1, parsed once and compared cheaply.
//!
//! A [`Url`] keeps the text as it was written and compares with scheme and authority in lower case and without
//! one trailing `/`. The newtypes [`ObjectUrl`], [`HypertyUrl`] and [`RuntimeUrl`] can only hold a URL of their
//! kind, so that a function that takes one need not check it again.

mod derived;
mod entity;
mod parse;

pub use derived::{CHILDREN_NAME_BYTES_MAX, ChildrenName, DerivedTail, InvalidChildrenName};
pub use entity::{HypertyUrl, ObjectUrl, RuntimeUrl, UrlKind, node};
pub use parse::UrlError;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest URL accepted, in bytes. Long enough for every form in use, short enough for a table of millions.
pub const URL_BYTES_MAX: usize = 512;

/// How much shorter the URL of an object, a runtime or a hyperty must be, so that what is derived from it is still a
/// URL: the longest tail is `/children/` and a children name.
pub const TAIL_BYTES_MAX: usize = 160;

/// An address of the messaging framework: hyperty, runtime, data object, node service and all the rest.
///
/// ```
/// use hyperty_model::Url;
/// let url: Url = "Comm://Example.com/8a7b/changes/".parse().unwrap();
/// assert_eq!(url.as_str(), "Comm://Example.com/8a7b/changes");
/// assert_eq!(url, "comm://example.com/8a7b/changes".parse().unwrap());
/// assert_eq!(url.domain(), Some("example.com"));
/// ```
#[derive(Clone)]
pub struct Url {
    /// As written, less one trailing `/`.
    text: Arc<str>,
    /// What is compared and hashed, where it differs from `text`, which has upper case before the path then.
    key: Option<Arc<str>>,
    scheme_end: u16,
    authority_start: u16,
    authority_end: u16,
}

impl Url {
    /// Parses and checks a URL (protocol 1.1).
    ///
    /// # Errors
    /// [`UrlError`] says which part is malformed.
    pub fn parse(input: &str) -> Result<Url, UrlError> {
        parse::parse(input)
    }

    /// The text as written, less one trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme as written, without the colon.
    pub fn scheme(&self) -> &str {
        &self.text[..usize::from(self.scheme_end)]
    }

    /// What stands between the scheme and the path.
    pub fn authority(&self) -> &str {
        &self.text[usize::from(self.authority_start)..usize::from(self.authority_end)]
    }

    /// The path without its leading `/`; empty if there is none.
    pub fn path(&self) -> &str {
        self.text[usize::from(self.authority_end)..].trim_start_matches('/')
    }

    /// The form that is compared: scheme and authority in lower case.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.text)
    }

    /// This URL with `/suffix` behind it.
    ///
    /// # Errors
    /// [`UrlError`] when the result is too long or the suffix holds what no path may.
    pub fn join(&self, suffix: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("{}/{}", self.text, suffix))
    }

    /// Whether this is `base` itself or lies below it by whole segments: `…/r12/sm` is not below `…/r1`.
    pub fn is_at_or_below(&self, base: &Url) -> bool {
        match self.key().strip_prefix(base.key()) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        Arc::ptr_eq(&self.text, &other.text) || self.key() == other.key()
    }
}

impl Eq for Url {}

impl Hash for Url {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Url {
    fn partial_cmp(&self, other: &Url) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Url {
    fn cmp(&self, other: &Url) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;
    fn from_str(input: &str) -> Result<Url, UrlError> {
        Url::parse(input)
    }
}

impl AsRef<str> for Url {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        /// Looks at the text where it stands, without a copy of it.
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Url;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Url, E> {
                Url::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
