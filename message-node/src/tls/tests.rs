//! Certificates: made, kept, exchanged, refused.

use super::*;

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("hyperty-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_authority_is_kept_and_the_nodes_certificate_is_made_anew() {
    let dir = Dir::new("kept");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let first = dev_certificate(&dir.0, &names).unwrap();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (ca, own) = (text(&first.ca), text(&first.chain));
    let server = TlsServer::from_files(&first.chain, &first.key).unwrap();
    let served = Arc::clone(&server.certificate.current.read());
    assert_eq!(dev_certificate(&dir.0, &names).unwrap(), first);
    assert_eq!(text(&first.ca), ca);
    assert_ne!(text(&first.chain), own);
    server.reload().unwrap();
    assert_ne!(server.certificate.current.read().cert, served.cert);
}

#[cfg(unix)]
#[test]
fn private_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new("mode");
    let made = dev_certificate(&dir.0, &["localhost".to_owned()]).unwrap();
    for key in [made.key, dir.0.join("ca-key.pem")] {
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_old_stays() {
    let (dir, other) = (Dir::new("one"), Dir::new("other"));
    let names = ["localhost".to_owned()];
    let made = dev_certificate(&dir.0, &names).unwrap();
    let foreign = dev_certificate(&other.0, &names).unwrap();
    assert!(matches!(TlsServer::from_files(&made.chain, &foreign.key), Err(TlsError::Key(_))));
    assert!(matches!(TlsServer::from_files(&made.key, &made.key), Err(TlsError::Pem { .. })));
    assert!(matches!(TlsServer::from_files(dir.0.join("none"), &made.key), Err(TlsError::File { .. })));
    let server = TlsServer::from_files(&made.chain, &made.key).unwrap();
    let served = Arc::clone(&server.certificate.current.read());
    std::fs::write(&made.chain, "nothing").unwrap();
    assert!(server.reload().is_err());
    assert_eq!(server.certificate.current.read().cert, served.cert);
    assert!(matches!(dev_certificate(&dir.0, &["no name at all\u{7}é".to_owned()]), Err(TlsError::Make(_))));
}
