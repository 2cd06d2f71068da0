//! What is believed: every way in which a token can be wrong, one at a time, and all together against a simple oracle.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyperty_model::{RuntimeUrl, SeededIds, StatusCode, Timestamp, Url};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const DOMAIN: &str = "example.com";
const LEEWAY: Duration = Duration::from_secs(10);

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn issuer() -> IssuerKey {
    IssuerKey::generate(&SeededIds::new(7))
}

fn claims() -> Claims {
    Claims::new("user://example.com/alice", DOMAIN, now(), Duration::from_secs(60))
}

fn verify(token: &str) -> Result<Pass, TokenError> {
    issuer().public().verify(token, DOMAIN, now(), LEEWAY)
}

/// A token with this header and these claims, and this signature behind it.
fn assembled(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn refused(claims: &Claims) -> TokenError {
    verify(&issuer().issue(claims).unwrap()).expect_err("it is not to be believed")
}

#[test]
fn a_good_token_says_who_and_for_what() {
    let mut claims = claims();
    claims.runtimes = Some(vec!["hyperty-runtime://example.com/alice-*".parse().unwrap()]);
    claims.routes = Some(5_000);
    let pass = verify(&issuer().issue(&claims).unwrap()).unwrap();
    assert_eq!(pass.who().identity().user(), Some("user://example.com/alice"));
    assert_eq!((pass.expires(), pass.routes()), (now() + Duration::from_secs(70), Some(5_000)));
    let runtime = |text| RuntimeUrl::parse(text).unwrap();
    assert!(pass.covers_runtime(&runtime("hyperty-runtime://example.com/alice-phone")));
    assert!(!pass.covers_runtime(&runtime("hyperty-runtime://example.com/bob-phone")));
    assert!(pass.covers_hyperty(&Url::parse("hyperty://EXAMPLE.com/1").unwrap()), "of the domain");
    assert!(!pass.covers_hyperty(&Url::parse("hyperty://example.org/1").unwrap()), "and of no other");
}

#[test]
fn no_algorithm_but_eddsa_is_believed() {
    let body = serde_json::to_value(claims()).unwrap();
    let kid = issuer().id().to_owned();
    for alg in ["none", "None", "NONE", "HS256", "ES256", "RS256", "PS512", "Ed448", ""] {
        for signature in ["", "AAAA"] {
            let token = assembled(&json!({"alg": alg, "typ": "JWT", "kid": kid}), &body, signature);
            assert_eq!(verify(&token).unwrap_err(), TokenError::Algorithm, "{alg:?}");
        }
    }
    // The public key as the secret of a code, as if it were a shared one, would be of the right length.
    let good = issuer().issue(&claims()).unwrap();
    let (_, rest) = good.split_once('.').unwrap();
    let confused = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": kid}).to_string());
    assert_eq!(verify(&format!("{confused}.{rest}")).unwrap_err(), TokenError::Algorithm);
    for header in [json!({"typ": "JWT"}), json!({"alg": 5}), json!(5)] {
        assert!(verify(&assembled(&header, &body, "")).is_err());
    }
}

#[test]
fn whoever_changed_it_is_not_the_issuer() {
    let good = issuer().issue(&claims()).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let mut forged = serde_json::to_value(claims()).unwrap();
    forged["sub"] = "user://example.com/root".into();
    let forged = URL_SAFE_NO_PAD.encode(forged.to_string());
    let token = [parts[0], &forged, parts[2]].join(".");
    assert_eq!(verify(&token).unwrap_err(), TokenError::Signature);
    assert_eq!(verify(&format!("{}.{}.", parts[0], parts[1])).unwrap_err(), TokenError::Signature);
    let stranger = IssuerKey::generate(&SeededIds::new(8));
    assert_eq!(verify(&stranger.issue(&claims()).unwrap()).unwrap_err(), TokenError::UnknownIssuer);
    let header = json!({"alg": "EdDSA", "kid": issuer().id(), "crit": ["exp"]});
    let token = assembled(&header, &serde_json::to_value(claims()).unwrap(), parts[2]);
    assert!(matches!(verify(&token), Err(TokenError::Malformed(_))));
}

#[test]
fn a_token_without_a_key_id_is_believed_if_there_is_one_key() {
    let key = issuer();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    provider::install().unwrap();
    let token = jsonwebtoken::encode(&header, &claims(), &key.encoding()).unwrap();
    assert!(verify(&token).is_ok());
    let two = key.public().and(IssuerKey::generate(&SeededIds::new(8)).public()).unwrap();
    assert_eq!(two.verify(&token, DOMAIN, now(), LEEWAY).unwrap_err(), TokenError::UnknownIssuer);
}

#[test]
fn what_names_nobody_admits_nobody() {
    for sub in
        ["alice", "user://", "hyperty://example.com/1", "comm://example.com/1", "", "user://example.com"]
    {
        let claims = Claims { sub: sub.to_owned(), ..claims() };
        assert!(issuer().issue(&claims).is_err(), "{sub:?}");
        provider::install().unwrap();
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.kid = Some(issuer().id().to_owned());
        let token = jsonwebtoken::encode(&header, &claims, &issuer().encoding()).unwrap();
        let error = verify(&token).unwrap_err();
        assert!(matches!(error, TokenError::Subject(_)), "{sub:?}: {error}");
        assert_eq!(error.code(), StatusCode::UNAUTHORIZED);
    }
}

#[test]
fn the_reasons_come_in_order_and_with_their_words() {
    let mut late = claims();
    late.exp = now().as_millis() / 1000 - 10;
    late.aud = Audience::One("example.org".to_owned());
    assert_eq!(refused(&late).reason(), "token-expired");
    late.exp += 1;
    assert_eq!(refused(&late).reason(), "token-audience");
    let mut early = claims();
    early.nbf = Some(now().as_millis() / 1000 + 11);
    assert_eq!(refused(&early).reason(), "token-early");
    for (token, reason) in
        [("", "token-malformed"), ("a.b.c", "token-malformed"), ("....", "token-malformed")]
    {
        assert_eq!(verify(token).unwrap_err().reason(), reason);
    }
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert!(matches!(verify(&long), Err(TokenError::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Life and audience against arithmetic on whole seconds.
    #[test]
    fn a_token_is_believed_in_its_life_by_its_audience(
        exp in -30i64..30, nbf in proptest::option::of(-30i64..30), leeway in 0i64..20,
        audience in prop::collection::vec(prop::sample::select(vec!["example.com", "EXAMPLE.COM", "example.org", "com", ""]), 0..3),
    ) {
        let at = |offset: i64| now().as_millis() as i64 / 1000 + offset;
        let mut claims = claims();
        claims.exp = at(exp) as u64;
        claims.nbf = nbf.map(|nbf| at(nbf) as u64);
        claims.aud = Audience::Many(audience.iter().map(|one| (*one).to_owned()).collect());
        let token = issuer().issue(&claims).unwrap();
        let verdict = issuer().public().verify(&token, DOMAIN, now(), Duration::from_secs(leeway as u64));
        let alive = exp + leeway > 0 && nbf.is_none_or(|nbf| nbf - leeway <= 0);
        let meant = audience.iter().any(|one| one.eq_ignore_ascii_case(DOMAIN));
        prop_assert_eq!(verdict.is_ok(), alive && meant, "{:?}", verdict);
    }

    /// One bit of difference anywhere is noticed.
    #[test]
    fn no_changed_token_is_believed(at in 0..10_000usize, bit in 0..7u8) {
        let good = issuer().issue(&claims()).unwrap();
        let mut token = good.clone().into_bytes();
        let at = at % token.len();
        token[at] ^= 1 << bit;
        let Ok(token) = String::from_utf8(token) else { return Ok(()) };
        prop_assert!(verify(&token).is_err(), "{}", token);
    }

    #[test]
    fn no_text_is_believed_or_makes_it_panic(parts in prop::collection::vec("[A-Za-z0-9_.-]{0,60}|.{0,20}", 0..4)) {
        let token = parts.join(".");
        prop_assert!(verify(&token).is_err());
        let _ = inspect(&token);
    }
}
