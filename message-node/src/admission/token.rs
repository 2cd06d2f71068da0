//! Tokens: what they say, how they are issued, and whether one is believed.

use std::time::Duration;

use hyperty_model::{Timestamp, Url, UrlKind};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::keys::{IssuerKey, IssuerKeys};
use super::pass::Pass;
use super::pattern::UrlPattern;
use super::provider;
use super::refusal::TokenError;

/// Longest token, in bytes: some dozens of patterns fit.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Most patterns of one kind in a token: each may be tried for each new address.
pub const PATTERNS_MAX: usize = 64;

/// Longest life of a token that is believed: the end of the year 9999, beyond which no clock goes.
const SECONDS_MAX: u64 = 253_402_300_799;

/// For whom a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One domain.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, domain: &str) -> bool {
        match self {
            Audience::One(one) => one.eq_ignore_ascii_case(domain),
            Audience::Many(many) => many.iter().any(|one| one.eq_ignore_ascii_case(domain)),
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it; shown, and otherwise the key decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The user who is admitted, a user URL such as `user://example.com/alice`.
    pub sub: String,
    /// The user's GUID, if there is one, such as `user-guid://…`: it tells users apart before their URLs do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// The domains of the nodes that it is for.
    pub aud: Audience,
    /// The end of its life, in seconds since 1970.
    pub exp: u64,
    /// The start of its life, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// When it was issued, in seconds since 1970; shown only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Which runtimes it opens sessions for; without it any of the node's domain that no other user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtimes: Option<Vec<UrlPattern>>,
    /// Which hyperties its sessions may speak as; without it any of the node's domain that is no other runtime's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hyperties: Option<Vec<UrlPattern>>,
    /// How many routes each of its sessions may have, if not as many as the node allows by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<usize>,
}

impl Claims {
    /// A user admitted to a domain from now on for a while.
    pub fn new(user: &str, domain: &str, now: Timestamp, life: Duration) -> Claims {
        let seconds = now.as_millis() / 1000;
        Claims {
            iss: None,
            sub: user.to_owned(),
            guid: None,
            aud: Audience::One(domain.to_owned()),
            exp: seconds.saturating_add(life.as_secs()).min(SECONDS_MAX),
            nbf: Some(seconds),
            iat: Some(seconds),
            runtimes: None,
            hyperties: None,
            routes: None,
        }
    }
}

/// Why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token was issued: {0}")]
pub struct IssueError(String);

impl IssuerKey {
    /// Signs a token.
    ///
    /// # Errors
    /// [`IssueError`] for claims that no node would believe.
    pub fn issue(&self, claims: &Claims) -> Result<String, IssueError> {
        let failed = |error: &dyn std::fmt::Display| IssueError(error.to_string());
        provider::install().map_err(|error| failed(&error))?;
        subject(claims).map_err(|error| failed(&error))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id().to_owned());
        let token =
            jsonwebtoken::encode(&header, claims, &self.encoding()).map_err(|error| failed(&error))?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(IssueError(format!("{} bytes are more than {TOKEN_BYTES_MAX}", token.len())));
        }
        Ok(token)
    }
}

/// What a token says, believed or not: its `kid` and its claims. For people who want to know why it is refused.
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn inspect(token: &str) -> Result<(Option<String>, Claims), TokenError> {
    let header = header(token)?;
    let claims = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|error| malformed(&error))?;
    Ok((header.kid, claims))
}

impl IssuerKeys {
    /// Whether a token admits somebody to `domain` now; `leeway` is by how much clocks may differ.
    ///
    /// # Errors
    /// [`TokenError`]: the first reason in this order: form, algorithm, key, signature, life, audience, subject.
    pub fn verify(
        &self,
        token: &str,
        domain: &str,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<Pass, TokenError> {
        provider::install().map_err(|_| TokenError::Provider)?;
        let header = header(token)?;
        let key = self.find(header.kid.as_deref()).ok_or(TokenError::UnknownIssuer)?;
        let claims = signed_claims(token, &key)?;
        check_life(&claims, now, leeway)?;
        if !claims.aud.names(domain) {
            return Err(TokenError::Audience(domain.to_owned()));
        }
        let subject = subject(&claims)?;
        Ok(Pass::new(&subject, claims, leeway, domain))
    }
}

/// The header, if it is one that may be believed once the signature is checked.
fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed(format!("longer than {TOKEN_BYTES_MAX} bytes")));
    }
    if token.bytes().filter(|&byte| byte == b'.').count() != 2 {
        return Err(TokenError::Malformed("not three parts".to_owned()));
    }
    // `none` and whatever else is no algorithm of signatures is no value of this type.
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        ErrorKind::Json(error) if error.to_string().contains("unknown variant") => TokenError::Algorithm,
        _ => malformed(&error),
    })?;
    if header.alg != Algorithm::EdDSA {
        return Err(TokenError::Algorithm);
    }
    // What must be understood and is not (RFC 7515, 4.1.11).
    if header.crit.is_some() {
        return Err(TokenError::Malformed("critical extensions".to_owned()));
    }
    Ok(header)
}

/// The claims of a token whose signature is right. Their meaning is checked here and not by the library, which would
/// read the machine's clock.
fn signed_claims(token: &str, key: &DecodingKey) -> Result<Claims, TokenError> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation);
    decoded.map(|decoded| decoded.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        _ => malformed(&error),
    })
}

fn malformed(error: &jsonwebtoken::errors::Error) -> TokenError {
    TokenError::Malformed(error.to_string())
}

fn check_life(claims: &Claims, now: Timestamp, leeway: Duration) -> Result<(), TokenError> {
    let moment = |seconds: u64| Timestamp::from_millis(seconds.min(SECONDS_MAX) * 1000);
    let end = moment(claims.exp);
    if now >= end + leeway {
        return Err(TokenError::Expired(end));
    }
    match claims.nbf.map(moment) {
        Some(start) if now + leeway < start => Err(TokenError::NotYet(start)),
        _ => Ok(()),
    }
}

/// The user a token is for, if it says so in a form that can be somebody's identity.
fn subject(claims: &Claims) -> Result<Url, TokenError> {
    let too_many =
        |list: &Option<Vec<UrlPattern>>| list.as_ref().is_some_and(|list| list.len() > PATTERNS_MAX);
    if too_many(&claims.runtimes) || too_many(&claims.hyperties) {
        return Err(TokenError::Malformed(format!("more than {PATTERNS_MAX} patterns")));
    }
    let user = Url::parse(&claims.sub).map_err(|error| TokenError::Subject(error.to_string()))?;
    if user.kind() != UrlKind::User || user.path().is_empty() && user.scheme() == "user" {
        return Err(TokenError::Subject(format!("{user} names no user")));
    }
    let guid = claims.guid.as_deref().map(Url::parse).transpose();
    let guid = guid.map_err(|error| TokenError::Subject(error.to_string()))?;
    if guid.is_some_and(|guid| guid.scheme() != "user-guid") {
        return Err(TokenError::Subject("guid is no user-guid://…".to_owned()));
    }
    Ok(user)
}
