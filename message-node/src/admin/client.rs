//! Asking for one of the pages: one GET, for the command line.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take: it is made at once.
const WAIT: Duration = Duration::from_secs(10);

/// Most bytes of an answer: a status names a bounded number of sessions.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The address is none; give it as `http://host:port/path`, or as the `ws://host:port/ws` of the node.
    #[error("{0:?} is no address such as http://127.0.0.1:9090/status")]
    Address(String),
    /// Nobody answers there.
    #[error("cannot reach {host}: {source}")]
    Unreachable {
        /// Where.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// What answers does not speak HTTP.
    #[error("{0} does not answer in HTTP")]
    NoHttp(String),
}

/// The code and the text of a page. `url` is `http://host:port/path`.
///
/// # Errors
/// [`GetError`] when there is no answer that can be read; an answer with a code of failure is no error.
pub async fn get(url: &str) -> Result<(u16, String), GetError> {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.find('/').map(|at| rest.split_at(at)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| GetError::Address(url.to_owned()))?;
    let exchange = async {
        // Version 1.0: the answer comes in one piece, and ends with the connection.
        let mut socket = TcpStream::connect(host).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(WAIT, exchange).await.map_err(|_| GetError::TimedOut(host.to_owned()))?;
    let answer = answer.map_err(|source| GetError::Unreachable { host: host.to_owned(), source })?;
    parse(&answer).ok_or_else(|| GetError::NoHttp(host.to_owned()))
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}
