//! The keys of issuers: the private one that signs tokens, and the public ones that a node believes.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hyperty_model::Ids;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Most keys of one node: each issuer has one, and a second while it changes.
pub const ISSUER_KEYS_MAX: usize = 64;

/// Longest name of a key, in bytes.
const KEY_ID_BYTES_MAX: usize = 128;

const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----";
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----";
const PUBLIC_PEM_END: &str = "-----END PUBLIC KEY-----";

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither PEM nor a JWK or a set of them.
    #[error("neither keys in PEM nor a JWK set: {0}")]
    Form(String),
    /// A key is damaged, of another kind than Ed25519, or one that proves nothing.
    #[error("no usable Ed25519 key: {0}")]
    Key(String),
    /// A private key stands where only public ones belong. Whoever can read the node's files could issue tokens.
    #[error("a private key: a node is given the public one")]
    Private,
    /// There is no Ed25519 key in it.
    #[error("there is no Ed25519 key")]
    Empty,
    /// Two different keys have the same `kid`: give them different ones.
    #[error("two keys are named {0:?}")]
    Twice(String),
    /// More than [`ISSUER_KEYS_MAX`].
    #[error("more than {ISSUER_KEYS_MAX} keys")]
    TooMany,
}

/// The private key of an issuer: whoever has it can admit anybody.
pub struct IssuerKey {
    signing: SigningKey,
    id: String,
}

impl IssuerKey {
    /// A new key.
    pub fn generate(ids: &dyn Ids) -> IssuerKey {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&ids.random().to_le_bytes());
        seed[16..].copy_from_slice(&ids.random().to_le_bytes());
        IssuerKey::of(SigningKey::from_bytes(&seed))
    }

    /// A key in PEM (PKCS #8).
    ///
    /// # Errors
    /// [`KeyError`] when it is none.
    pub fn from_pem(pem: &str) -> Result<IssuerKey, KeyError> {
        let signing =
            SigningKey::from_pkcs8_pem(pem.trim()).map_err(|error| KeyError::Key(error.to_string()))?;
        Ok(IssuerKey::of(signing))
    }

    fn of(signing: SigningKey) -> IssuerKey {
        let id = thumbprint(&signing.verifying_key());
        IssuerKey { signing, id }
    }

    /// Its name in tokens (`kid`): the thumbprint of the public key (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key in PEM (PKCS #8). To be kept secret.
    ///
    /// # Errors
    /// [`KeyError::Key`] when it cannot be written, which nothing but lack of memory causes.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem =
            self.signing.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::Key(error.to_string()))?;
        Ok(pem.as_str().to_owned())
    }

    /// The public key in PEM, for a node.
    ///
    /// # Errors
    /// As for [`IssuerKey::to_pem`].
    pub fn public_pem(&self) -> Result<String, KeyError> {
        let public = self.signing.verifying_key();
        public.to_public_key_pem(LineEnding::LF).map_err(|error| KeyError::Key(error.to_string()))
    }

    /// The public key as a JWK, for sets of keys.
    pub fn public_jwk(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.signing.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "use": "sig", "alg": "EdDSA" })
    }

    /// What a node is given to believe tokens of this key.
    pub fn public(&self) -> IssuerKeys {
        let mut keys = IssuerKeys::default();
        keys.keys.insert(self.id.clone(), self.signing.verifying_key());
        keys
    }

    pub(super) fn encoding(&self) -> EncodingKey {
        EncodingKey::from_ed_der(self.signing.as_bytes())
    }
}

/// Never shows the key.
impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The public keys whose tokens a node believes, by their name (`kid`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IssuerKeys {
    keys: BTreeMap<String, VerifyingKey>,
}

/// What is read of a JWK; keys of other kinds are passed over.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    d: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

impl IssuerKeys {
    /// Reads keys: any number of public keys in PEM, whose names are their thumbprints; or a JWK; or a set of JWKs,
    /// of which those of other kinds than Ed25519 are passed over.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with them.
    pub fn parse(text: &str) -> Result<IssuerKeys, KeyError> {
        let keys = if text.trim_start().starts_with('{') { of_jwks(text)? } else { of_pem(text)? };
        if keys.keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(keys)
    }

    /// These and others.
    ///
    /// # Errors
    /// [`KeyError::Twice`], [`KeyError::TooMany`].
    pub fn and(mut self, others: IssuerKeys) -> Result<IssuerKeys, KeyError> {
        for (id, key) in others.keys {
            self.add(id, key)?;
        }
        Ok(self)
    }

    /// The names of the keys, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    fn add(&mut self, id: String, key: VerifyingKey) -> Result<(), KeyError> {
        if key.is_weak() {
            return Err(KeyError::Key("anybody can sign for it".to_owned()));
        }
        if id.len() > KEY_ID_BYTES_MAX {
            return Err(KeyError::Key("its name is too long".to_owned()));
        }
        match self.keys.get(&id) {
            Some(known) if *known == key => return Ok(()),
            Some(_) => return Err(KeyError::Twice(id)),
            None => {}
        }
        if self.keys.len() >= ISSUER_KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        self.keys.insert(id, key);
        Ok(())
    }

    /// The key that a token names; without a name the only one there is.
    pub(super) fn find(&self, id: Option<&str>) -> Option<DecodingKey> {
        let key = match id {
            Some(id) => self.keys.get(id),
            None if self.keys.len() == 1 => self.keys.values().next(),
            None => None,
        };
        key.map(|key| DecodingKey::from_ed_der(key.as_bytes()))
    }
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

fn of_pem(text: &str) -> Result<IssuerKeys, KeyError> {
    if text.contains(PRIVATE_PEM) {
        return Err(KeyError::Private);
    }
    let mut keys = IssuerKeys::default();
    let mut rest = text;
    while let Some(start) = rest.find(PUBLIC_PEM) {
        let end = rest[start..].find(PUBLIC_PEM_END).map(|at| start + at + PUBLIC_PEM_END.len());
        let end = end.ok_or_else(|| KeyError::Form("a key does not end".to_owned()))?;
        let key = VerifyingKey::from_public_key_pem(&rest[start..end])
            .map_err(|error| KeyError::Key(error.to_string()))?;
        keys.add(thumbprint(&key), key)?;
        rest = &rest[end..];
    }
    Ok(keys)
}

fn of_jwks(text: &str) -> Result<IssuerKeys, KeyError> {
    let form = |error: serde_json::Error| KeyError::Form(error.to_string());
    let document: serde_json::Value = serde_json::from_str(text).map_err(form)?;
    let set = if document.get("keys").is_some() {
        serde_json::from_value::<JwkSet>(document).map_err(form)?.keys
    } else {
        vec![serde_json::from_value::<Jwk>(document).map_err(form)?]
    };
    let mut keys = IssuerKeys::default();
    for jwk in set {
        if jwk.kty != "OKP" || jwk.crv.as_deref() != Some("Ed25519") {
            continue;
        }
        if jwk.d.is_some() {
            return Err(KeyError::Private);
        }
        let key = point(jwk.x.as_deref().unwrap_or_default())?;
        keys.add(jwk.kid.unwrap_or_else(|| thumbprint(&key)), key)?;
    }
    Ok(keys)
}

fn point(x: &str) -> Result<VerifyingKey, KeyError> {
    let wrong = || KeyError::Key("x is no point".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(x).map_err(|_| wrong())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())
}

/// The thumbprint of a key (RFC 7638): the hash of its members in a fixed form.
fn thumbprint(key: &VerifyingKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.as_bytes());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
    use hyperty_model::SeededIds;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u64) -> IssuerKey {
        IssuerKey::generate(&SeededIds::new(seed))
    }

    #[test]
    fn a_key_reads_back_in_every_form() {
        let (one, other) = (key(1), key(2));
        assert_eq!(IssuerKey::from_pem(&one.to_pem().unwrap()).unwrap().id(), one.id());
        let both = one.public().and(other.public()).unwrap();
        let pem = format!("# two\n{}\n{}", one.public_pem().unwrap(), other.public_pem().unwrap());
        assert_eq!(IssuerKeys::parse(&pem), Ok(both.clone()));
        let rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        let set = json!({ "keys": [one.public_jwk(), rsa, other.public_jwk()] });
        assert_eq!(IssuerKeys::parse(&set.to_string()), Ok(both));
        assert_eq!(IssuerKeys::parse(&one.public_jwk().to_string()), Ok(one.public()));
    }

    /// The example of RFC 8037, appendix A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let keys = IssuerKeys::parse(jwk).unwrap();
        assert_eq!(keys.ids().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let one = key(1);
        assert_eq!(IssuerKeys::parse(&one.to_pem().unwrap()), Err(KeyError::Private));
        let mut private = one.public_jwk();
        private["d"] = "AA".into();
        assert_eq!(IssuerKeys::parse(&private.to_string()), Err(KeyError::Private));
        assert_eq!(IssuerKeys::parse(""), Err(KeyError::Empty));
        assert_eq!(IssuerKeys::parse(r#"{"keys":[]}"#), Err(KeyError::Empty));
        let mut same_name = key(2).public_jwk();
        same_name["kid"] = one.id().into();
        let twice = json!({ "keys": [one.public_jwk(), same_name] });
        assert_eq!(IssuerKeys::parse(&twice.to_string()), Err(KeyError::Twice(one.id().to_owned())));
        // The neutral point: any signature of a certain form is valid for it.
        let weak = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([&[1][..], &[0; 31]].concat()) });
        assert!(matches!(IssuerKeys::parse(&weak.to_string()), Err(KeyError::Key(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", inside in ".{0,80}") {
            let _ = IssuerKeys::parse(&text);
            let _ = IssuerKeys::parse(&format!("{PUBLIC_PEM}\n{inside}\n{PUBLIC_PEM_END}"));
            let _ = IssuerKeys::parse(&json!({"kty": "OKP", "crv": "Ed25519", "x": inside}).to_string());
        }
    }
}
