//! Which URLs a token allows.

use std::fmt;
use std::str::FromStr;

use hyperty_model::Url;
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes: no URL is longer.
const PATTERN_BYTES_MAX: usize = 512;

/// URLs by their form: `hyperty-runtime://example.com/alice-*`, `hyperty://example.com/**`.
///
/// In each segment of the path one `*` stands for any text, or none, within that segment; `**` as the last segment
/// stands for one segment or more. Scheme and authority stand for themselves, in any case.
///
/// ```
/// use hyperty_message_node::admission::UrlPattern;
/// use hyperty_model::Url;
///
/// let pattern: UrlPattern = "hyperty-runtime://example.com/alice-*".parse().unwrap();
/// assert!(pattern.covers(&Url::parse("hyperty-runtime://example.com/alice-laptop").unwrap()));
/// assert!(!pattern.covers(&Url::parse("hyperty-runtime://example.com/alice-laptop/sm").unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPattern {
    /// Scheme and authority in lower case, as they are compared.
    text: String,
}

/// A text is no pattern of URLs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern of URLs: {1}")]
pub struct PatternError(String, &'static str);

impl UrlPattern {
    /// Whether a URL has this form.
    pub fn covers(&self, url: &Url) -> bool {
        let (mut wanted, mut given) = (self.text.split('/'), url.key().split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (Some("**"), Some(first)) => return !first.is_empty(),
                (Some(wanted), Some(given)) if segment_matches(wanted, given) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn segment_matches(wanted: &str, given: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == given,
        Some((start, end)) => {
            given.len() >= start.len() + end.len() && given.starts_with(start) && given.ends_with(end)
        }
    }
}

impl FromStr for UrlPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<UrlPattern, PatternError> {
        let wrong = |why| PatternError(text.chars().take(80).collect(), why);
        if text.len() > PATTERN_BYTES_MAX {
            return Err(wrong("too long"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("scheme:// is missing"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme.is_empty() || authority.is_empty() || scheme.contains('*') || authority.contains('*') {
            return Err(wrong("scheme and authority are to be named"));
        }
        let segments: Vec<&str> = path.split('/').collect();
        for (at, segment) in segments.iter().enumerate() {
            let below = *segment == "**" && at + 1 == segments.len();
            if !below && segment.matches('*').count() > 1 {
                return Err(wrong("one * in a segment; ** only as the last"));
            }
        }
        let head = format!("{scheme}://{authority}").to_lowercase();
        Ok(UrlPattern { text: head + &rest[authority.len()..] })
    }
}

impl TryFrom<String> for UrlPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<UrlPattern, PatternError> {
        text.parse()
    }
}

impl From<UrlPattern> for String {
    fn from(pattern: UrlPattern) -> String {
        pattern.text
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(pattern: &str, url: &str) -> bool {
        pattern.parse::<UrlPattern>().unwrap().covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_go_below() {
        for (pattern, url, expected) in [
            ("hyperty://a/x", "hyperty://a/x", true),
            ("HYPERTY://A/x", "hyperty://a/x", true),
            ("hyperty://a/x", "HYPERTY://A/x", true),
            ("hyperty://a/x", "hyperty://a/X", false),
            ("hyperty://a/x", "hyperty://a/xy", false),
            ("hyperty://a/x*", "hyperty://a/xy", true),
            ("hyperty://a/x*y", "hyperty://a/xy", true),
            ("hyperty://a/x*x", "hyperty://a/x", false),
            ("hyperty://a/*", "hyperty://a/x/y", false),
            ("hyperty://a/**", "hyperty://a/x/y", true),
            ("hyperty://a/**", "hyperty://a", false),
            ("hyperty://a/**", "hyperty://b/x", false),
            ("hyperty://a/**", "hyperty://a.b/x", false),
        ] {
            assert_eq!(covers(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn what_names_no_authority_is_no_pattern() {
        for text in [
            "",
            "*",
            "**",
            "a/b",
            "://a/b",
            "hyperty://*/x",
            "h*://a/x",
            "hyperty://a/**/x",
            "hyperty://a/x*y*",
        ] {
            assert!(text.parse::<UrlPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_url_covers_itself_alone(a in "[a-z]{1,6}(/[a-z]{1,4}){0,2}", b in "[a-z]{1,6}(/[a-z]{1,4}){0,2}") {
            prop_assert_eq!(covers(&format!("hyperty://d/{a}"), &format!("hyperty://d/{b}")), a == b);
            let below = covers("hyperty://d/**", &format!("hyperty://d/{a}"));
            prop_assert!(below);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            if let Ok(pattern) = text.parse::<UrlPattern>() {
                pattern.covers(&Url::parse("hyperty://d/x").unwrap());
                prop_assert_eq!(pattern.as_str().parse::<UrlPattern>(), Ok(pattern));
            }
        }
    }
}
