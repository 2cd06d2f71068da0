//! `hyperty keys`: the key of an issuer, for small installations.

use std::io::Write;
use std::path::Path;

use hyperty_message_node::admission::IssuerKey;
use hyperty_model::SystemIds;

use crate::args::KeysCommand;
use crate::exit::Failure;
use crate::output::{Event, Output};

/// Carries it out.
///
/// # Errors
/// When a file cannot be written, or is there already.
pub(crate) fn run(command: &KeysCommand, output: &Output) -> Result<(), Failure> {
    let KeysCommand::Generate { out } = command;
    let key = IssuerKey::generate(&SystemIds);
    std::fs::create_dir_all(out).map_err(|error| Failure::error_at(out, error))?;
    let (private, public) = (out.join("issuer-key.pem"), out.join("issuer-public.pem"));
    write(&private, &key.to_pem().map_err(Failure::error)?, true)?;
    write(&public, &key.public_pem().map_err(Failure::error)?, false)?;
    output.emit(&Event::Key {
        kid: key.id(),
        private: private.display().to_string(),
        public: public.display().to_string(),
        jwk: key.public_jwk(),
    });
    Ok(())
}

/// Writes a file that was not there: nobody's key is replaced by mistake. A secret one is its owner's alone.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::error_at(path, error))
}
