//! Addresses: INV-ADR-1 to 3. The bytes are one address a line.

use hyperty_model::{DerivedTail, HypertyUrl, ObjectUrl, RuntimeUrl, Url, UrlKind};

/// Parses and splits each line.
pub fn work(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines() {
        if let Ok(url) = Url::parse(line) {
            let _ = url.split_derived();
        }
    }
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let urls: Vec<Url> =
        text.lines().take(64).filter_map(|line| Url::parse(line).ok().inspect(check)).collect();
    for pair in urls.windows(2) {
        related(&pair[0], &pair[1]);
    }
}

fn check(url: &Url) {
    assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(url), "INV-ADR-1: {url}");
    assert_eq!(Url::parse(url.key()).as_ref(), Ok(url), "INV-ADR-1: the key of {url}");
    assert!(url.is_at_or_below(url), "{url} is not at itself");
    assert!(url.as_str().starts_with(url.scheme()), "the scheme of {url}");
    let kinds = [
        (HypertyUrl::try_from(url.clone()).is_ok(), UrlKind::Hyperty),
        (ObjectUrl::try_from(url.clone()).is_ok(), UrlKind::Object),
        (RuntimeUrl::try_from(url.clone()).is_ok(), UrlKind::Runtime),
    ];
    for (is, kind) in kinds {
        assert!(!is || url.kind() == kind, "{url} is of two kinds");
    }
    // INV-ADR-3: by whole segments, not by letters.
    if let Ok(longer) = Url::parse(&format!("{url}2")) {
        assert!(!longer.is_at_or_below(url), "INV-ADR-3: {longer} is not below {url}");
    }
    if let Ok(below) = url.join("part") {
        assert!(below.is_at_or_below(url) && !url.is_at_or_below(&below), "{below} is below {url}");
    }
    split(url);
}

fn split(url: &Url) {
    assert_eq!(url.split_derived().is_some(), url.kind() == UrlKind::Object && url.split_derived().is_some());
    let Some((object, tail)) = url.split_derived() else { return };
    let whole = match &tail {
        None => object.as_str().to_owned(),
        Some(tail) => format!("{}{}", object.as_str(), written(tail)),
    };
    assert_eq!(Url::parse(&whole).as_ref(), Ok(url), "INV-ADR-2: {url} is split into {object} and {tail:?}");
    let derived = [
        (object.subscription(), DerivedTail::Subscription),
        (object.changes(), DerivedTail::Changes),
        (object.observers(), DerivedTail::Observers),
        (object.status(), DerivedTail::Status),
        (object.registration(), DerivedTail::Registration),
    ];
    for (url, tail) in derived {
        assert_eq!(url.split_derived(), Some((object.clone(), Some(tail))), "INV-ADR-2: {url}");
    }
}

fn written(tail: &DerivedTail) -> String {
    match tail {
        DerivedTail::Subscription => "/subscription".to_owned(),
        DerivedTail::Changes => "/changes".to_owned(),
        DerivedTail::Children(name) => format!("/children/{name}"),
        DerivedTail::FlatChildren => "/children".to_owned(),
        DerivedTail::Observers => "/observers".to_owned(),
        DerivedTail::Status => "/status".to_owned(),
        DerivedTail::Registration => "/registration".to_owned(),
    }
}

/// Comparing is by key, and what is below is longer.
fn related(a: &Url, b: &Url) {
    assert_eq!(a == b, a.key() == b.key(), "{a} and {b}");
    if a.is_at_or_below(b) && b.is_at_or_below(a) {
        assert_eq!(a, b, "{a} and {b} are below each other");
    }
    if a.is_at_or_below(b) && a != b {
        let rest = a.key().strip_prefix(b.key()).unwrap_or_else(|| panic!("{a} is below {b}"));
        assert!(rest.starts_with('/'), "INV-ADR-3: {a} is not below {b}");
    }
}
