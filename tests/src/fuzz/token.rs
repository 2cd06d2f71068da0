//! Tokens, keys and patterns of admission (INV-ADM-1). The bytes are a token, keys, a pattern or claims, whatever they
//! can be read as.

use std::sync::OnceLock;
use std::time::Duration;

use hyperty_message_node::admission::{
    Audience, Claims, IssuerKey, IssuerKeys, LEEWAY, TOKEN_BYTES_MAX, UrlPattern, inspect,
};
use hyperty_model::{SeededIds, Timestamp, Url, UrlKind};

const DOMAIN: &str = "example.com";

/// An arbitrary present.
fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn issuer() -> &'static IssuerKey {
    static ISSUER: OnceLock<IssuerKey> = OnceLock::new();
    ISSUER.get_or_init(|| IssuerKey::generate(&SeededIds::new(7)))
}

/// Tries to be let in.
pub fn work(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = issuer().public().verify(&text, DOMAIN, now(), LEEWAY);
    let _ = inspect(&text);
    let _ = IssuerKeys::parse(&text);
    let _ = text.parse::<UrlPattern>();
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Nobody but the issuer can write a token.
    assert!(issuer().public().verify(&text, DOMAIN, now(), LEEWAY).is_err(), "INV-ADM-1: {text} is believed");
    if let Ok(pattern) = text.parse::<UrlPattern>() {
        assert_eq!(
            pattern.as_str().parse(),
            Ok(pattern.clone()),
            "{text} is another pattern when read again"
        );
        let elsewhere =
            Url::parse("hyperty://elsewhere.example.org/1").unwrap_or_else(|error| panic!("{error}"));
        let named = pattern.as_str().to_lowercase().starts_with("hyperty://elsewhere.example.org");
        assert!(named || !pattern.covers(&elsewhere), "{text} covers what it does not name");
    }
    if let Ok(keys) = IssuerKeys::parse(&text) {
        assert!(keys.ids().next().is_some(), "{text} holds no keys");
    }
    if let Ok(claims) = serde_json::from_slice::<Claims>(data) {
        issued(&claims);
    }
}

/// What an issuer signs is believed exactly in its life, by its audience.
fn issued(claims: &Claims) {
    let Ok(token) = issuer().issue(claims) else { return };
    assert!(token.len() <= TOKEN_BYTES_MAX);
    let (kid, read) = inspect(&token).unwrap_or_else(|error| panic!("{claims:?}: {error}"));
    assert_eq!((kid.as_deref(), &read), (Some(issuer().id()), claims));
    let verdict = issuer().public().verify(&token, DOMAIN, now(), LEEWAY);
    let seconds = now().as_millis() / 1000;
    let alive = claims.exp.saturating_add(LEEWAY.as_secs()) > seconds
        && claims.nbf.is_none_or(|start| start <= seconds + LEEWAY.as_secs());
    let meant = match &claims.aud {
        Audience::One(one) => one.eq_ignore_ascii_case(DOMAIN),
        Audience::Many(many) => many.iter().any(|one| one.eq_ignore_ascii_case(DOMAIN)),
    };
    assert_eq!(verdict.is_ok(), alive && meant, "INV-ADM-1: {claims:?}: {verdict:?}");
    if let Ok(pass) = verdict {
        assert_eq!(pass.who().user().kind(), UrlKind::User);
        assert!(pass.expires() > now());
        // By nobody else, and not when it is over.
        let stranger = IssuerKey::generate(&SeededIds::new(8)).public();
        assert!(stranger.verify(&token, DOMAIN, now(), LEEWAY).is_err(), "INV-ADM-1: believed by a stranger");
        let over = pass.expires() + Duration::from_millis(1);
        assert!(
            issuer().public().verify(&token, DOMAIN, over, LEEWAY).is_err(),
            "INV-ADM-1: believed for ever"
        );
    }
}
