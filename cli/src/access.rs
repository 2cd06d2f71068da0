//! What a client brings to a node, and whom it believes to be it.

use std::path::Path;
use std::sync::Arc;

use hyperty_protostub::{FixedToken, TlsClient, TokenFile, TokenSource, WebSocketConnector};

use crate::args::AccessArgs;
use crate::commands::token::read;
use crate::exit::Failure;

/// The same, ready for use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// Where the token comes from.
    pub token: Option<Arc<dyn TokenSource>>,
    /// Whom to believe, if not the system's authorities.
    pub tls: Option<TlsClient>,
}

impl Access {
    /// Reads what the options name.
    ///
    /// # Errors
    /// [`Exit::Usage`](crate::exit::Exit::Usage) for files that cannot be read or hold something else.
    pub(crate) fn of(args: &AccessArgs) -> Result<Access, Failure> {
        let token = args.token.as_deref().map(source).transpose()?;
        let tls = args.ca.as_deref().map(authorities).transpose()?;
        Ok(Access { token, tls })
    }

    /// Makes connections to the node at `url`.
    pub(crate) fn connector(&self, url: &str) -> WebSocketConnector {
        let connector = WebSocketConnector::new(url);
        match &self.tls {
            Some(tls) => connector.tls(tls.clone()),
            None => connector,
        }
    }
}

fn source(path: &Path) -> Result<Arc<dyn TokenSource>, Failure> {
    if path.to_str() != Some("-") {
        // That it can be read is known now; later it may be another one.
        read(path)?;
        return Ok(Arc::new(TokenFile::new(path)));
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::usage(format_args!("--token -: {error}")))?;
    Ok(Arc::new(FixedToken::new(line)))
}

fn authorities(path: &Path) -> Result<TlsClient, Failure> {
    TlsClient::with_authorities(&read(path)?).map_err(|error| Failure::usage_of(path, error))
}
