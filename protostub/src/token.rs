//! Where a session's tokens come from (admission by token).

use std::fmt;
use std::path::PathBuf;

use futures_core::future::BoxFuture;

/// Gives the token that a node asks for. It is asked before each `open` and `re-open`, and again in good time before the
/// last token expires; so it is the place to fetch a new one.
///
/// Whatever returns a future of a token is one:
///
/// ```
/// use std::sync::Arc;
/// use hyperty_protostub::{TokenError, TokenSource};
///
/// async fn fetch() -> Result<String, TokenError> {
///     Err(TokenError("the issuer cannot be reached".to_owned()))
/// }
/// let source: Arc<dyn TokenSource> = Arc::new(|| fetch());
/// ```
pub trait TokenSource: Send + Sync {
    /// A token that is valid now.
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>>;
}

/// There is no token; the text says why. The session tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token: {0}")]
pub struct TokenError(pub String);

impl fmt::Debug for dyn TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

impl<F, R> TokenSource for F
where
    F: Fn() -> R + Send + Sync,
    R: Future<Output = Result<String, TokenError>> + Send + 'static,
{
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>> {
        Box::pin(self())
    }
}

/// One token, for as long as it lasts.
pub struct FixedToken(String);

impl FixedToken {
    /// This token.
    pub fn new(token: impl Into<String>) -> FixedToken {
        FixedToken(token.into().trim().to_owned())
    }
}

impl TokenSource for FixedToken {
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// Never shown.
impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken(…)")
    }
}

/// A file that somebody else keeps up to date; it is read each time.
#[derive(Debug, Clone)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The file at this path.
    pub fn new(path: impl Into<PathBuf>) -> TokenFile {
        TokenFile(path.into())
    }
}

impl TokenSource for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<String, TokenError>> {
        // A file of some hundred bytes: reading it takes no longer than handing it to a thread would.
        let read = std::fs::read_to_string(&self.0);
        let failed = |error: std::io::Error| TokenError(format!("{}: {error}", self.0.display()));
        Box::pin(std::future::ready(read.map(|text| text.trim().to_owned()).map_err(failed)))
    }
}
