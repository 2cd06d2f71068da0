use std::sync::Arc;

use super::{URL_BYTES_MAX, Url};

/// Longest authority, in bytes (protocol M24).
const AUTHORITY_BYTES_MAX: usize = 256;

/// Why a text is not a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than it may be; shorten the identifier.
    #[error("URL of {bytes} bytes is longer than {max}")]
    TooLong {
        /// The length.
        bytes: usize,
        /// [`URL_BYTES_MAX`], or less for a kind of URL that others are derived from.
        max: usize,
    },
    /// No `scheme:` in front, or a scheme with characters outside letters, digits and `-`.
    #[error("URL has no valid scheme: {0:?}")]
    Scheme(String),
    /// Empty, longer than 256 bytes, or with characters that no authority may have.
    #[error("URL has no valid authority: {0:?}")]
    Authority(String),
    /// An empty path segment or a control character in the path.
    #[error("URL has an invalid path: {0:?}")]
    Path(String),
    /// A well-formed URL that names another kind of entity than the one asked for.
    #[error("{url:?} is not the URL of a {wanted}")]
    Kind {
        /// The URL given.
        url: String,
        /// The kind of entity that was wanted.
        wanted: &'static str,
    },
}

pub(super) fn parse(input: &str) -> Result<Url, UrlError> {
    let text = input.strip_suffix('/').unwrap_or(input);
    if text.len() > URL_BYTES_MAX {
        return Err(UrlError::TooLong { bytes: text.len(), max: URL_BYTES_MAX });
    }
    let bytes = text.as_bytes();
    let scheme_end = end_of(bytes, 0, SCHEME);
    if scheme_end == 0 || bytes.get(scheme_end) != Some(&b':') || !bytes[0].is_ascii_alphabetic() {
        return Err(UrlError::Scheme(shown(input)));
    }
    // `//` for most, `/` in `mn:/session`, nothing at all in the grammar's shortest form.
    let rest = &bytes[scheme_end + 1..];
    let start = scheme_end + 1 + rest.iter().take(2).take_while(|&&byte| byte == b'/').count();
    let end = end_of(bytes, start, AUTHORITY);
    if end == start || end - start > AUTHORITY_BYTES_MAX || bytes.get(end).is_some_and(|&byte| byte != b'/') {
        return Err(UrlError::Authority(shown(input)));
    }
    if !is_path(&bytes[end..]) {
        return Err(UrlError::Path(shown(input)));
    }
    let upper = bytes[..end].iter().fold(false, |found, byte| found | byte.is_ascii_uppercase());
    let key = upper.then(|| Arc::from(format!("{}{}", text[..end].to_ascii_lowercase(), &text[end..])));
    let text = Arc::from(text);
    // URL_BYTES_MAX fits a u16 many times over.
    Ok(Url {
        text,
        key,
        scheme_end: scheme_end as u16,
        authority_start: start as u16,
        authority_end: end as u16,
    })
}

const SCHEME: u8 = 1;
const AUTHORITY: u8 = 2;

/// Which part of a URL may hold a character; every message is read with it twice.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            classes[byte as usize] = SCHEME | AUTHORITY;
        }
        byte += 1;
    }
    let others = b"@:%._+~#=";
    let mut at = 0;
    while at < others.len() {
        classes[others[at] as usize] = AUTHORITY;
        at += 1;
    }
    classes
};

fn end_of(bytes: &[u8], start: usize, class: u8) -> usize {
    let outside = |&byte: &u8| CLASSES[usize::from(byte)] & class == 0;
    bytes[start..].iter().position(outside).map_or(bytes.len(), |at| start + at)
}

/// A path is empty or `/segment` repeated. User URLs, percent-encoded or bare, may stand in a segment, so an empty
/// segment is allowed only right behind a `:` (`/comm/user/user://example.com/alice`).
fn is_path(path: &[u8]) -> bool {
    // Two passes without an early end: they are done many bytes at a time, and nearly all paths are good.
    let control = path.iter().fold(false, |found, byte| found | byte.is_ascii_control());
    let pairs = path.iter().zip(path.get(1..).unwrap_or_default());
    let doubled = pairs.fold(false, |found, (&one, &next)| found | ((one == b'/') & (next == b'/')));
    let empty_segment =
        || path.starts_with(b"//") || path.windows(3).any(|three| three[0] != b':' && three[1..] == *b"//");
    // One trailing slash is gone already: another would be an empty segment, and go when the URL is read again.
    !(control || path.ends_with(b"/") || doubled && empty_segment())
}

/// What an error shows of its input: enough to find it, never a megabyte.
fn shown(input: &str) -> String {
    input.chars().take(80).collect()
}
