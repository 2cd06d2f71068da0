//! TLS of the node: certificates from files, exchanged while it runs, or of an authority of its own for development.

mod dev;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use dev::{DevCertificate, dev_certificate};

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file holds no certificate, or no private key, in PEM.
    #[error("{}: {why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("certificate and key: {0}")]
    Key(#[from] rustls::Error),
    /// No certificate could be made for development.
    #[error("no certificate was made: {0}")]
    Make(#[from] rcgen::Error),
}

/// How a node serves TLS. Cloning it is a reference count.
#[derive(Clone)]
pub struct TlsServer {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

/// The certificate of now, and where the next one is read from.
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl TlsServer {
    /// Serves the chain of certificates in `chain` (its own first) with the private key in `key`, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with the files.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<TlsServer, TlsError> {
        let (chain, key) = (chain.into(), key.into());
        // Named explicitly: rustls would panic if a process held two providers and had to choose.
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(read(&chain, &key, &provider)?));
        let certificate = Arc::new(Certificate { chain, key, provider: Arc::clone(&provider), current });
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let resolver = Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsServer { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Reads the files anew: new connections see what stands there now, others go on.
    ///
    /// # Errors
    /// As for [`TlsServer::from_files`]; then the certificate stays the one it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Certificate { chain, key, provider, current } = &*self.certificate;
        let new = Arc::new(read(chain, key, provider)?);
        *current.write() = new;
        Ok(())
    }

    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(socket).await
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("chain", &self.certificate.chain).finish_non_exhaustive()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path, error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(source) => TlsError::File { path: path.to_owned(), source },
        other => TlsError::Pem { path: path.to_owned(), why: other.to_string() },
    };
    let certificates = CertificateDer::pem_file_iter(chain).map_err(|error| wrong(chain, error))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| wrong(chain, error))?;
    if certificates.is_empty() {
        return Err(TlsError::Pem { path: chain.to_owned(), why: "there is no certificate".to_owned() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
    Ok(CertifiedKey::from_der(certificates, private, provider)?)
}
