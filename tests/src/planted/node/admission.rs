//! Faults of nodes that admit by token.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyperty_message_node::admission::{Audience, Claims, IssuerKey};
use hyperty_model::{SeededIds, Timestamp};
use serde_json::{Value, json};

use super::proxy::{Fault, Ways, text};
use super::{FaultyNode, Planted, through};
use crate::protocol::client::SESSION;

pub(super) const ALL: &[Planted] = &[
    Planted {
        name: "alg none believed",
        what: "a token that says it needs no signature gets none",
        breaks: "INV-ADM-1",
        make: |domain, seed| {
            believing(domain, seed, |header, _, claims| (header["alg"] == "none").then_some(claims))
        },
    },
    Planted {
        name: "expiry ignored",
        what: "a token opens sessions for ever",
        breaks: "INV-ADM-1",
        make: |domain, seed| {
            believing(domain, seed, |_, signed, claims| {
                signed.then(|| Claims { exp: claims.exp.saturating_add(1_000_000), ..claims })
            })
        },
    },
    Planted {
        name: "audience ignored",
        what: "a token for another domain opens sessions",
        breaks: "INV-ADM-1",
        make: |domain, seed| {
            believing(domain, seed, |header, signed, claims| {
                let domain = Audience::One(header["domain"].as_str().unwrap_or_default().to_owned());
                signed.then_some(Claims { aud: domain, ..claims })
            })
        },
    },
    Planted {
        name: "signature not checked",
        what: "what a token says is believed, whoever wrote it",
        breaks: "INV-ADM-1",
        make: |domain, seed| believing(domain, seed, |_, _, claims| Some(claims)),
    },
    Planted {
        name: "body.identity believed",
        what: "who says to be somebody in a message is passed on as that",
        breaks: "INV-ADM-2",
        make: |domain, seed| through(domain, seed, IdentityBelieved::default()).guarded(),
    },
    Planted {
        name: "re-open without a token",
        what: "who knows the secret of a session needs no token",
        breaks: "INV-ADM-1",
        make: |domain, seed| {
            let issuer = IssuerKey::generate(&SeededIds::new(seed));
            through(domain, seed, ReopensFreely { issuer, last: BTreeMap::new() }).guarded()
        },
    },
    Planted {
        name: "runtimes are anybody's",
        what: "who has a token opens sessions for other users' runtimes",
        breaks: "INV-ADM-4",
        make: |domain, seed| {
            let issuer = IssuerKey::generate(&SeededIds::new(seed));
            through(domain, seed, AnybodysRuntimes { issuer, users: BTreeMap::new() }).guarded()
        },
    },
];

/// What becomes of a token: header (with the node's domain), whether it is of the right issuer, and claims; the claims
/// that are believed instead.
type Belief = fn(&Value, bool, Claims) -> Option<Claims>;

/// A node that believes more than it should: tokens are issued anew on their way to it.
fn believing(domain: &str, seed: u64, belief: Belief) -> FaultyNode {
    let issuer = IssuerKey::generate(&SeededIds::new(seed));
    through(domain, seed, Believes { issuer, domain: domain.to_owned(), belief }).guarded()
}

struct Believes {
    issuer: IssuerKey,
    domain: String,
    belief: Belief,
}

impl Fault for Believes {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if opens(&message)
            && let Some(token) = message["body"]["accessToken"].as_str()
            && let Some((mut header, claims)) = parts(token)
        {
            header["domain"] = self.domain.as_str().into();
            // Issued by whom it says: signatures of one key over the same are the same.
            let signed = self.issuer.issue(&claims).is_ok_and(|again| again == token);
            let token =
                (self.belief)(&header, signed, claims).and_then(|claims| self.issuer.issue(&claims).ok());
            if let Some(token) = token {
                message["body"]["accessToken"] = token.into();
            }
        }
        ways.to_node(link, message);
    }
}

/// Header and claims of a token, whoever signed it.
fn parts(token: &str) -> Option<(Value, Claims)> {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header = serde_json::from_slice(&parts.next()??).ok()?;
    Some((header, serde_json::from_slice(&parts.next()??).ok()?))
}

fn opens(message: &Value) -> bool {
    text(message, "to") == SESSION && matches!(text(message, "type"), "open" | "re-open")
}

/// What messages said of their senders is put back where they arrive.
#[derive(Default)]
struct IdentityBelieved(BTreeMap<(String, String), Value>);

impl Fault for IdentityBelieved {
    fn to_node(&mut self, link: u64, message: Value, ways: &mut Ways<'_>) {
        if let Some(identity) = message["body"].get("identity") {
            let key = (message["id"].to_string(), text(&message, "from").to_owned());
            self.0.insert(key, identity.clone());
        }
        ways.to_node(link, message);
    }

    fn to_client(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let key = (message["id"].to_string(), text(&message, "from").to_owned());
        if message["body"].get("identity").is_some()
            && let Some(said) = self.0.remove(&key)
        {
            message["body"]["identity"] = said;
        }
        ways.to_client(link, message);
    }
}

/// A re-open without a token gets one of the user who opened.
struct ReopensFreely {
    issuer: IssuerKey,
    last: BTreeMap<String, Value>,
}

impl Fault for ReopensFreely {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        let runtime = text(&message, "from").to_owned();
        if text(&message, "type") == "open" {
            self.last.insert(runtime, message["body"]["accessToken"].clone());
        } else if opens(&message) && message["body"]["accessToken"].is_null() {
            let opened = runtime.rsplit_once('/').and_then(|(runtime, _)| self.last.get(runtime));
            let claims = opened.and_then(Value::as_str).and_then(parts);
            if let Some(token) = claims.and_then(|(_, claims)| self.issuer.issue(&claims).ok()) {
                message["body"] = json!({"accessToken": token});
            }
        }
        ways.to_node(link, message);
    }
}

/// Whoever opens a session for a runtime is taken for who did so first.
struct AnybodysRuntimes {
    issuer: IssuerKey,
    users: BTreeMap<String, String>,
}

impl Fault for AnybodysRuntimes {
    fn to_node(&mut self, link: u64, mut message: Value, ways: &mut Ways<'_>) {
        if text(&message, "type") == "open"
            && let Some((_, claims)) = message["body"]["accessToken"].as_str().and_then(parts)
        {
            let first =
                self.users.entry(text(&message, "from").to_owned()).or_insert_with(|| claims.sub.clone());
            let now = Timestamp::from_millis(claims.iat.unwrap_or_default() * 1000);
            let Audience::One(domain) = &claims.aud else { return ways.to_node(link, message) };
            let believed = Claims::new(first, domain, now, Duration::from_secs(3_600));
            if claims.runtimes.is_none()
                && *first != claims.sub
                && let Ok(token) = self.issuer.issue(&believed)
            {
                message["body"]["accessToken"] = token.into();
            }
        }
        ways.to_node(link, message);
    }
}
