//! An authority for one machine: whoever trusts its certificate can try out TLS without anybody else.

use std::io::Write;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::TlsError;

/// Files of a certificate for development.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevCertificate {
    /// The authority's certificate: what clients are to trust.
    pub ca: PathBuf,
    /// The node's certificate.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Makes a certificate for `names` (host names and addresses) in `dir`, issued by an authority that is made there at the
/// first time and kept. The node's certificate is made anew at each call, for the names may be others.
///
/// # Errors
/// [`TlsError`] when files cannot be read or written, or a name is none.
pub fn dev_certificate(dir: &Path, names: &[String]) -> Result<DevCertificate, TlsError> {
    let file = |name: &str| dir.join(name);
    let (ca, ca_key) = (file("ca.pem"), file("ca-key.pem"));
    std::fs::create_dir_all(dir).map_err(|source| TlsError::File { path: dir.to_owned(), source })?;
    let issuer = match (read(&ca)?, read(&ca_key)?) {
        (Some(_), Some(key)) => Issuer::new(ca_params()?, KeyPair::from_pem(&key)?),
        _ => {
            let (params, key) = (ca_params()?, KeyPair::generate()?);
            let certificate = params.self_signed(&key)?;
            // The key first: a certificate without its key would be trusted and useless.
            write(&ca_key, &key.serialize_pem(), true)?;
            write(&ca, &certificate.pem(), false)?;
            Issuer::new(params, key)
        }
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "hyperty node (development)");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let own = KeyPair::generate()?;
    let certificate = params.signed_by(&own, &issuer)?;
    let made = DevCertificate { ca, chain: file("node.pem"), key: file("node-key.pem") };
    write(&made.key, &own.serialize_pem(), true)?;
    write(&made.chain, &certificate.pem(), false)?;
    Ok(made)
}

/// The same each time, so that the kept certificate is that of the kept key.
fn ca_params() -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "hyperty development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::File { path: path.to_owned(), source }),
    }
}

/// Writes a file whole or not at all; a secret one for its owner alone.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let written = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if secret {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().map_err(|source| TlsError::File { path: path.to_owned(), source })
}
