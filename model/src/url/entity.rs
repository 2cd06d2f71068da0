//! Which entity a URL names (protocol 1.2 to 1.6), and newtypes for the three kinds that APIs are made of.

use std::ops::Deref;
use std::sync::Arc;

use super::derived::TAIL_WORDS;
use super::{ChildrenName, TAIL_BYTES_MAX, URL_BYTES_MAX, Url, UrlError};

/// The kind of entity a URL names, by its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlKind {
    /// `hyperty://`: one service instance.
    Hyperty,
    /// `hyperty-runtime://` or `runtime://`: a runtime or a component of one.
    Runtime,
    /// `domain://`: a service of a domain's message node.
    Domain,
    /// `hyperty-catalogue://` or `http(s)://`: schemas and descriptors.
    Catalogue,
    /// `user://`, `user-guid://`, `acct://`: identities, never routed.
    User,
    /// `global://` and `domain-idp://`: services outside this system.
    Foreign,
    /// `mn:/session`: the node's session address, never routed.
    Session,
    /// Anything else: a data object or a URL derived from one.
    Object,
}

impl UrlKind {
    /// The kind that a scheme, in any case, stands for.
    pub fn of_scheme(scheme: &str) -> UrlKind {
        UrlKind::of_lower(&scheme.to_ascii_lowercase())
    }

    fn of_lower(scheme: &str) -> UrlKind {
        match scheme {
            "hyperty" => UrlKind::Hyperty,
            "hyperty-runtime" | "runtime" => UrlKind::Runtime,
            "domain" => UrlKind::Domain,
            "hyperty-catalogue" | "http" | "https" => UrlKind::Catalogue,
            "user" | "user-guid" | "acct" => UrlKind::User,
            "global" | "domain-idp" => UrlKind::Foreign,
            "mn" => UrlKind::Session,
            _ => UrlKind::Object,
        }
    }
}

impl Url {
    /// The kind of entity, by scheme.
    pub fn kind(&self) -> UrlKind {
        UrlKind::of_lower(&self.key()[..usize::from(self.scheme_end)])
    }

    /// The service domain (protocol 1.6), in lower case as it is compared; `None` for `user-guid`, `global`, `mn` and
    /// an authority that ends with `@`.
    pub fn domain(&self) -> Option<&str> {
        let scheme = &self.key()[..usize::from(self.scheme_end)];
        if matches!(scheme, "user-guid" | "global" | "mn") {
            return None;
        }
        let authority = &self.key()[usize::from(self.authority_start)..usize::from(self.authority_end)];
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let labels: &[&str] = match scheme {
            "domain" => &["msg-node.", "registry.", "idm.", "catalogue."],
            "hyperty-catalogue" => &["catalogue."],
            _ => &[],
        };
        let service = |label: &&str| authority.strip_prefix(*label).filter(|rest| !rest.is_empty());
        Some(labels.iter().find_map(service).unwrap_or(authority)).filter(|domain| !domain.is_empty())
    }
}

macro_rules! entity_url {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Url);

        impl $name {
            /// Parses a URL of this kind.
            ///
            /// # Errors
            /// [`UrlError`] for a malformed URL or one of another kind.
            pub fn parse(input: &str) -> Result<$name, UrlError> {
                $name::try_from(Url::parse(input)?)
            }

            /// The general form.
            pub fn as_url(&self) -> &Url {
                &self.0
            }
        }

        impl TryFrom<Url> for $name {
            type Error = UrlError;
            fn try_from(url: Url) -> Result<$name, UrlError> {
                let check: fn(&Url) -> bool = $check;
                let (bytes, max) = (url.as_str().len(), URL_BYTES_MAX - TAIL_BYTES_MAX);
                if !check(&url) {
                    Err(UrlError::Kind { url: url.as_str().to_owned(), wanted: $wanted })
                } else if bytes > max {
                    Err(UrlError::TooLong { bytes, max })
                } else {
                    Ok($name(url))
                }
            }
        }

        impl From<$name> for Url {
            fn from(url: $name) -> Url {
                url.0
            }
        }

        impl Deref for $name {
            type Target = Url;
            fn deref(&self) -> &Url {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = UrlError;
            fn from_str(input: &str) -> Result<$name, UrlError> {
                $name::parse(input)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::try_from(Url::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

entity_url!(
    /// The URL of a hyperty, `hyperty://<domain>/<id>`: who reports or observes. Never a child's id, which is such a URL
    /// with `#<number>` behind it.
    HypertyUrl,
    "hyperty",
    |url| url.kind() == UrlKind::Hyperty && !url.path().is_empty() && !url.path().contains('#')
);

entity_url!(
    /// The URL of a runtime, `hyperty-runtime://<domain>/<id>` or `runtime://<domain>/<id>`.
    ///
    /// The two schemes name the same kind and are never rewritten into each other.
    RuntimeUrl,
    "runtime",
    |url| url.kind() == UrlKind::Runtime
);

entity_url!(
    /// The URL of a data object itself, never one derived from it.
    ///
    /// ```
    /// use hyperty_model::ObjectUrl;
    /// let object = ObjectUrl::parse("comm://example.com/8a7b").unwrap();
    /// assert_eq!(object.changes().as_str(), "comm://example.com/8a7b/changes");
    /// assert!(ObjectUrl::parse("comm://example.com/8a7b/changes").is_err());
    /// ```
    ObjectUrl,
    "data object",
    |url| {
        url.kind() == UrlKind::Object
            && !url.path().is_empty()
            && url.path().split('/').all(|segment| !segment.is_empty() && !TAIL_WORDS.contains(&segment))
    }
);

/// Joins what is known to be valid behind what is known to be valid.
fn derived(base: &Url, tail: &str) -> Url {
    let behind = |text: &str| Arc::from(format!("{text}/{tail}"));
    Url { text: behind(base.as_str()), key: base.key.as_deref().map(behind), ..base.clone() }
}

impl ObjectUrl {
    /// `O/subscription`.
    pub fn subscription(&self) -> Url {
        derived(&self.0, "subscription")
    }

    /// `O/changes`.
    pub fn changes(&self) -> Url {
        derived(&self.0, "changes")
    }

    /// `O/children/<name>`.
    pub fn children(&self, name: &ChildrenName) -> Url {
        derived(&self.0, &format!("children/{name}"))
    }

    /// `O/observers`.
    pub fn observers(&self) -> Url {
        derived(&self.0, "observers")
    }

    /// `O/status`.
    pub fn status(&self) -> Url {
        derived(&self.0, "status")
    }

    /// `O/registration`.
    pub fn registration(&self) -> Url {
        derived(&self.0, "registration")
    }

    /// The domain that allocated and routes the object.
    pub fn home(&self) -> &str {
        self.0.domain().unwrap_or_default()
    }
}

impl HypertyUrl {
    /// The domain of the hyperty.
    pub fn home(&self) -> &str {
        self.0.domain().unwrap_or_default()
    }
}

impl RuntimeUrl {
    /// The runtime's Sync Manager, `<RuntimeURL>/sm`.
    pub fn sync_manager(&self) -> Url {
        derived(&self.0, "sm")
    }

    /// The runtime's registry, `<RuntimeURL>/registry`.
    pub fn registry(&self) -> Url {
        derived(&self.0, "registry")
    }

    /// The runtime's address allocation, `<RuntimeURL>/address-allocation`.
    pub fn address_allocation(&self) -> Url {
        derived(&self.0, "address-allocation")
    }

    /// The domain of the runtime.
    pub fn home(&self) -> &str {
        self.0.domain().unwrap_or_default()
    }
}

/// The addresses of a domain's message node (protocol 0.1).
pub mod node {
    use super::{Url, UrlError};

    /// `domain://msg-node.<domain>/sm`.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no valid authority.
    pub fn subscription_manager(domain: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("domain://msg-node.{domain}/sm"))
    }

    /// `domain://msg-node.<domain>/address-allocation`.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no valid authority.
    pub fn address_allocation(domain: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("domain://msg-node.{domain}/address-allocation"))
    }

    /// `domain://registry.<domain>`.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no valid authority.
    pub fn registry(domain: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("domain://registry.{domain}"))
    }

    /// `domain://catalogue.<domain>`.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no valid authority.
    pub fn catalogue(domain: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("domain://catalogue.{domain}"))
    }

    /// `domain://msg-node.<domain>/backup`, where records of objects are kept for the devices of their users.
    ///
    /// # Errors
    /// [`UrlError`] when `domain` is no valid authority.
    pub fn backup(domain: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("domain://msg-node.{domain}/backup"))
    }

    /// `mn:/session`, where sessions are opened, re-opened and closed.
    pub fn session() -> Url {
        Url::parse("mn:/session").unwrap_or_else(|_| unreachable!("a constant that parses"))
    }
}
