//! Whom a client believes to be the node.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::transport::ConnectError;

/// Why there is nobody to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsClientError {
    /// The text holds no certificate in PEM, or one that is no authority's.
    #[error("no certificate of an authority: {0}")]
    Certificate(String),
    /// The system has no roots that could be read; name an authority.
    #[error("the system has no root certificates: {0}")]
    NoRoots(String),
}

/// How a client does TLS. Cloning it is a reference count.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Trusts the authorities that the system trusts. They are read once for the process.
    ///
    /// # Errors
    /// [`TlsClientError::NoRoots`].
    pub fn system() -> Result<TlsClient, TlsClientError> {
        static SYSTEM: OnceLock<Result<TlsClient, TlsClientError>> = OnceLock::new();
        let read = || {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            let (usable, _) = roots.add_parsable_certificates(found.certs);
            if usable == 0 {
                let why = found.errors.first().map_or("there are none".to_owned(), ToString::to_string);
                return Err(TlsClientError::NoRoots(why));
            }
            TlsClient::trusting(roots)
        };
        SYSTEM.get_or_init(read).clone()
    }

    /// Trusts the authorities whose certificates `pem` holds, and nobody else.
    ///
    /// # Errors
    /// [`TlsClientError::Certificate`].
    pub fn with_authorities(pem: &str) -> Result<TlsClient, TlsClientError> {
        let wrong = |error: &dyn fmt::Display| TlsClientError::Certificate(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"there is none"));
        }
        TlsClient::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Result<TlsClient, TlsClientError> {
        // Named explicitly: rustls would panic if a process held two providers and had to choose.
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsClientError::Certificate(error.to_string()))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsClient(Arc::new(config)))
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Address { address: host.to_owned(), reason: error.to_string() })?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, socket).await.map_err(|error| ConnectError::Handshake(error.to_string()))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}
