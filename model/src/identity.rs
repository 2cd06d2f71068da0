//! The user behind a hyperty (protocol 2.3).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An identity as it travels in `body.identity`: the structured form, or a bare user URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Value);

impl Identity {
    /// An identity that is known by its user URL only, in the structured form.
    pub fn of_user(user_url: &str) -> Identity {
        let idp =
            user_url.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
        Identity(json!({ "idp": idp, "userProfile": { "userURL": user_url } }))
    }

    /// The same, of a user who has a GUID, too.
    pub fn of_user_with_guid(user_url: &str, guid: &str) -> Identity {
        let Identity(mut value) = Identity::of_user(user_url);
        value["userProfile"]["guid"] = guid.into();
        Identity(value)
    }

    /// The user URL, if there is one.
    pub fn user(&self) -> Option<&str> {
        match &self.0 {
            Value::String(text) => Some(text),
            other => other.pointer("/userProfile/userURL").and_then(Value::as_str),
        }
    }

    /// The user's GUID, if there is one.
    pub fn guid(&self) -> Option<&str> {
        self.0.pointer("/userProfile/guid").and_then(Value::as_str)
    }

    /// Whether both name the same user: by GUID if both have one, else by user URL. An identity without either
    /// matches nothing, not even itself.
    pub fn same_user(&self, other: &Identity) -> bool {
        if let (Some(a), Some(b)) = (self.guid(), other.guid()) {
            return a == b;
        }
        matches!((self.user(), other.user()), (Some(a), Some(b)) if a == b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(value: Value) -> Identity {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_guid_decides_if_both_have_one() {
        let phone = identity(json!({"userProfile": {"userURL": "user://a/x", "guid": "user-guid://1"}}));
        let laptop = identity(json!({"userProfile": {"userURL": "user://b/y", "guid": "user-guid://1"}}));
        assert!(phone.same_user(&laptop));
        assert!(phone.same_user(&Identity::of_user("user://a/x")));
        assert!(!laptop.same_user(&Identity::of_user("user://a/x")));
    }

    #[test]
    fn a_bare_string_is_a_user_url_and_nothing_matches_nothing() {
        assert!(identity(json!("user://a/x")).same_user(&Identity::of_user("user://a/x")));
        let empty = identity(json!({}));
        assert!(!empty.same_user(&empty));
    }
}
