//! `hyperty token`: tokens issued and looked into, for small installations.

use std::path::Path;
use std::time::Duration;

use hyperty_message_node::admission::{Audience, Claims, IssuerKey, IssuerKeys, LEEWAY, UrlPattern, inspect};
use hyperty_model::{Clock, SystemClock};

use crate::args::{InspectArgs, IssueArgs, TokenCommand};
use crate::exit::{Exit, Failure};
use crate::output::{Event, Output};

/// Longest life of a token: what cannot be taken back should not live for years.
const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Carries it out.
///
/// # Errors
/// [`Exit::Usage`] for keys, patterns and tokens that are none, [`Exit::NotAuthorised`] for a token that is not valid.
pub(crate) fn run(command: &TokenCommand, output: &Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Issue(args) => issue(args),
        TokenCommand::Inspect(args) => look_into(args, output),
    }
}

/// Prints the token alone, whatever the form of the output: it is for a file.
fn issue(args: &IssueArgs) -> Result<(), Failure> {
    if args.expires.is_zero() || args.expires > LIFE_MAX {
        return Err(Failure::usage("--expires: more than nothing, and a year at most"));
    }
    let key = issuer_key(&args.key)?;
    let patterns = |given: &[String]| -> Result<Option<Vec<UrlPattern>>, Failure> {
        let parsed = given.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
        Ok(Some(parsed.map_err(Failure::usage)?).filter(|parsed| !parsed.is_empty()))
    };
    let mut claims = Claims::new(&args.user, "", SystemClock.now(), args.expires);
    claims.aud = match args.audience.as_slice() {
        [one] => Audience::One(one.clone()),
        many => Audience::Many(many.to_vec()),
    };
    claims.guid.clone_from(&args.guid);
    claims.runtimes = patterns(&args.runtime)?;
    claims.hyperties = patterns(&args.hyperty)?;
    claims.routes = args.routes;
    println!("{}", key.issue(&claims).map_err(Failure::usage)?);
    Ok(())
}

fn look_into(args: &InspectArgs, output: &Output) -> Result<(), Failure> {
    let text = read(&args.token)?;
    let token = text.trim();
    let (kid, claims) = inspect(token).map_err(|error| Failure::new(Exit::NotAuthorised, error))?;
    let checked = match &args.keys {
        Some(keys) => {
            let keys = issuer_keys(keys)?;
            Some(keys.verify(token, &args.audience, SystemClock.now(), LEEWAY).map(drop))
        }
        None => None,
    };
    output.emit(&Event::Token {
        kid,
        claims: serde_json::to_value(&claims).map_err(Failure::error)?,
        valid: checked.as_ref().map(Result::is_ok),
    });
    match checked {
        Some(Err(error)) => Err(Failure::new(Exit::NotAuthorised, error)),
        _ => Ok(()),
    }
}

/// The keys of issuers in a file.
///
/// # Errors
/// [`Exit::Usage`] for a file that cannot be read or holds none.
pub(crate) fn issuer_keys(path: &Path) -> Result<IssuerKeys, Failure> {
    IssuerKeys::parse(&read(path)?).map_err(|error| Failure::usage_of(path, error))
}

/// The private key of an issuer in a file.
///
/// # Errors
/// [`Exit::Usage`] for a file that cannot be read or holds none.
pub(crate) fn issuer_key(path: &Path) -> Result<IssuerKey, Failure> {
    IssuerKey::from_pem(&read(path)?).map_err(|error| Failure::usage_of(path, error))
}

/// The text of a file, or of stdin.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    text.map_err(|error| Failure::usage_of(path, error))
}
