//! The ids of children: `<HypertyURL of the reporter>#<k>` (protocol 3.6).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::HypertyUrl;

/// Longest id accepted, in bytes: a longest URL, `#` and a number fit.
pub const CHILD_ID_BYTES_MAX: usize = 600;

/// Words that stand beside ids in the forms children travel in; as ids they could not be told apart.
const RESERVED: [&str; 7] = ["children", "heartbeat", "identity", "listener", "parent", "url", "value"];

/// Why a text cannot be the id of a child; answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildIdError {
    /// No text at all.
    #[error("child id is empty")]
    Empty,
    /// Longer than [`CHILD_ID_BYTES_MAX`].
    #[error("child id of {0} bytes is longer than {CHILD_ID_BYTES_MAX}")]
    TooLong(usize),
    /// A word that has another meaning where ids stand.
    #[error("{0:?} cannot be a child id")]
    Reserved(String),
}

/// The id of a child. Received ids are opaque; ours are made by [`ChildId::of`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The id of a hyperty's child number `k`.
    ///
    /// ```
    /// use hyperty_model::{HypertyUrl, object::ChildId};
    /// let alice = HypertyUrl::parse("hyperty://example.com/alice").unwrap();
    /// let id = ChildId::of(&alice, 10);
    /// assert_eq!(id.as_str(), "hyperty://example.com/alice#10");
    /// assert_eq!((id.reporter(), id.number()), (Some(alice.as_str()), Some(10)));
    /// ```
    pub fn of(reporter: &HypertyUrl, k: u64) -> ChildId {
        // At most 512 bytes of URL and 20 digits: within the bound.
        ChildId(format!("{reporter}#{k}").into())
    }

    /// An id that was received.
    ///
    /// # Errors
    /// [`ChildIdError`] when it is empty, too long or a reserved word.
    pub fn parse(text: &str) -> Result<ChildId, ChildIdError> {
        match text {
            "" => Err(ChildIdError::Empty),
            long if long.len() > CHILD_ID_BYTES_MAX => Err(ChildIdError::TooLong(long.len())),
            word if RESERVED.contains(&word) => Err(ChildIdError::Reserved(word.to_owned())),
            _ => Ok(ChildId(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number behind the last `#`, in any of the forms in use.
    pub fn number(&self) -> Option<u64> {
        let (_, digits) = self.0.rsplit_once('#')?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    }

    /// What stands before the number: in our form, the URL of the child's reporter.
    pub fn reporter(&self) -> Option<&str> {
        self.number()?;
        self.0.rsplit_once('#').map(|(reporter, _)| reporter)
    }

    /// The reporter, if the id is of the form [`ChildId::of`] makes.
    pub(super) fn owner(&self) -> Option<HypertyUrl> {
        HypertyUrl::parse(self.reporter()?).ok()
    }
}

impl Borrow<str> for ChildId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ChildId {
    type Err = ChildIdError;
    fn from_str(text: &str) -> Result<ChildId, ChildIdError> {
        ChildId::parse(text)
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

impl<'de> Deserialize<'de> for ChildId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChildId, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        ChildId::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_in_every_form_in_use() {
        let number = |text: &str| ChildId::parse(text).unwrap().number();
        assert_eq!(number("hyperty://a/x#9"), Some(9));
        assert_eq!(number("comm://a/o/children/resources/x#10"), Some(10));
        assert_eq!(number("1700000000000-x#3"), Some(3));
        for without in ["x", "x#", "x#-1", "x#1a", "x#99999999999999999999"] {
            assert_eq!(number(without), None, "{without}");
        }
    }

    #[test]
    fn ids_are_bounded_and_never_a_reserved_word() {
        assert_eq!(ChildId::parse(""), Err(ChildIdError::Empty));
        assert_eq!(ChildId::parse(&"x".repeat(601)), Err(ChildIdError::TooLong(601)));
        assert!(ChildId::parse(&"x".repeat(600)).is_ok());
        assert!(matches!(ChildId::parse("value"), Err(ChildIdError::Reserved(_))));
        assert!(serde_json::from_str::<ChildId>("\"url\"").is_err());
    }
}
