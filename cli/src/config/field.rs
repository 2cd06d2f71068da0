//! The kinds of values that can be set, and how they are written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use hyperty_storage::Durability;

use crate::args::durability;
use crate::output::Format;

/// Where operators ask a node for `/metrics` and `/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Admin {
    /// Beside `/ws`, for callers on the same machine.
    #[default]
    ThisMachine,
    /// Nowhere.
    Off,
    /// At an address of its own, for whoever reaches it.
    At(SocketAddr),
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Admin, String> {
        match text {
            "this-machine" => Ok(Admin::ThisMachine),
            "off" => Ok(Admin::Off),
            address => address
                .parse()
                .map(Admin::At)
                .map_err(|_| "this-machine, off, or an address such as 127.0.0.1:9091".to_owned()),
        }
    }
}

impl std::fmt::Display for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Admin::ThisMachine => f.write_str("this-machine"),
            Admin::Off => f.write_str("off"),
            Admin::At(address) => address.fmt(f),
        }
    }
}

/// Who may open a session with a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Whoever is on this machine.
    #[default]
    Loopback,
    /// Whoever reaches it.
    Open,
    /// Who has a token.
    Token,
}

impl FromStr for Admission {
    type Err = String;

    fn from_str(text: &str) -> Result<Admission, String> {
        match text {
            "loopback" => Ok(Admission::Loopback),
            "open" => Ok(Admission::Open),
            "token" => Ok(Admission::Token),
            _ => Err("loopback, open or token".to_owned()),
        }
    }
}

impl std::fmt::Display for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Admission::Loopback => "loopback",
            Admission::Open => "open",
            Admission::Token => "token",
        })
    }
}

/// What searches at a node's registry find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// Everything.
    #[default]
    Open,
    /// Nothing of other users.
    SameUser,
    /// Of others what the rules in this file do not block.
    Rules(PathBuf),
}

impl FromStr for Discovery {
    type Err = String;

    fn from_str(text: &str) -> Result<Discovery, String> {
        match text {
            "open" => Ok(Discovery::Open),
            "same-user" => Ok(Discovery::SameUser),
            file if [".toml", ".json", ".cedar"].iter().any(|end| file.ends_with(end)) => {
                Ok(Discovery::Rules(file.into()))
            }
            _ => Err("open, same-user, or a file of rules such as discovery.toml".to_owned()),
        }
    }
}

impl std::fmt::Display for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Discovery::Open => f.write_str("open"),
            Discovery::SameUser => f.write_str("same-user"),
            Discovery::Rules(file) => file.display().fmt(f),
        }
    }
}

/// The place of one value in a [`Config`](super::Config).
pub(crate) enum Field<'a> {
    Text(&'a mut String),
    MaybeText(&'a mut Option<String>),
    Path(&'a mut Option<PathBuf>),
    Address(&'a mut SocketAddr),
    Admin(&'a mut Admin),
    Admission(&'a mut Admission),
    Discovery(&'a mut Discovery),
    Output(&'a mut Option<Format>),
    Count(&'a mut usize),
    Bytes(&'a mut usize),
    Time(&'a mut Duration),
    MaybeTime(&'a mut Option<Duration>),
    Flag(&'a mut bool),
    MaybeFlag(&'a mut Option<bool>),
    Durability(&'a mut Durability),
}

impl Field<'_> {
    /// Sets it from text.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn set(self, text: &str) -> Result<(), String> {
        match self {
            Field::Text(value) => *value = filled(text)?,
            Field::MaybeText(value) => *value = Some(filled(text)?),
            Field::Path(value) => *value = Some(filled(text)?.into()),
            Field::Address(value) => {
                *value = text.parse().map_err(|_| "an address such as 127.0.0.1:9090 is expected")?;
            }
            Field::Admin(value) => {
                *value = text.parse().map_err(|why: String| format!("{why} is expected"))?
            }
            Field::Admission(value) => {
                *value = text.parse().map_err(|why: String| format!("{why} is expected"))?
            }
            Field::Discovery(value) => {
                *value = text.parse().map_err(|why: String| format!("{why} is expected"))?
            }
            Field::Output(value) => {
                *value = Some(Format::from_str(text, true).map_err(|_| "ndjson or text is expected")?);
            }
            Field::Count(value) => *value = count(text).ok_or("a whole number from 1 is expected")?,
            Field::Bytes(value) => {
                *value = bytes(text)
                    .ok_or("a number of bytes is expected, such as 4096, \"512 KiB\" or \"4 MiB\"")?;
            }
            Field::Time(value) => *value = time(text)?,
            Field::MaybeTime(value) => *value = Some(time(text)?),
            Field::Durability(value) => {
                *value = durability(text).map_err(|why| format!("{why}, is expected"))?;
            }
            Field::Flag(value) => *value = text.parse().map_err(|_| "true or false is expected")?,
            Field::MaybeFlag(value) => *value = Some(text.parse().map_err(|_| "true or false is expected")?),
        }
        Ok(())
    }

    /// As it would stand in a file; `None` if there is no value.
    pub(super) fn show(self) -> Option<String> {
        let quoted = |text: &dyn std::fmt::Display| Some(toml::Value::String(text.to_string()).to_string());
        match self {
            Field::Text(value) => quoted(value),
            Field::MaybeText(value) => quoted(value.as_ref()?),
            Field::Path(value) => quoted(&value.as_ref()?.display()),
            Field::Address(value) => quoted(value),
            Field::Admin(value) => quoted(value),
            Field::Admission(value) => quoted(value),
            Field::Discovery(value) => quoted(value),
            Field::Output(value) => quoted(&value.as_ref()?.to_possible_value()?.get_name()),
            Field::Count(value) => Some(value.to_string()),
            Field::Bytes(value) => match *value {
                whole if whole % MIB == 0 => quoted(&format_args!("{} MiB", whole / MIB)),
                whole if whole % KIB == 0 => quoted(&format_args!("{} KiB", whole / KIB)),
                odd => Some(odd.to_string()),
            },
            Field::Time(value) => quoted(&humantime::format_duration(*value)),
            Field::MaybeTime(value) => quoted(&humantime::format_duration((*value)?)),
            Field::Durability(Durability::Durable) => quoted(&"durable"),
            Field::Durability(Durability::Buffered { sync_every }) => {
                quoted(&format_args!("buffered:{}", sync_every.as_millis()))
            }
            Field::Flag(value) => Some(value.to_string()),
            Field::MaybeFlag(value) => Some((*value)?.to_string()),
        }
    }

    /// What may stand there, for the documentation.
    #[cfg(test)]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Field::Text(_) | Field::MaybeText(_) => "text",
            Field::Path(_) => "path",
            Field::Address(_) => "address",
            Field::Admin(_) => "`this-machine`, `off` or address",
            Field::Admission(_) => "`loopback`, `open` or `token`",
            Field::Discovery(_) => "`open`, `same-user` or path",
            Field::Output(_) => "`ndjson` or `text`",
            Field::Count(_) => "number",
            Field::Bytes(_) => "bytes",
            Field::Time(_) | Field::MaybeTime(_) => "duration",
            Field::Durability(_) => "`durable` or `buffered:MS`",
            Field::Flag(_) | Field::MaybeFlag(_) => "`true` or `false`",
        }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a text that is not empty is expected".to_owned()) } else { Ok(text.to_owned()) }
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&number| number > 0)
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        _ => return None,
    };
    count(number)?.checked_mul(unit)
}

fn time(text: &str) -> Result<Duration, String> {
    let expected = "a duration is expected, such as \"500ms\", \"30s\" or \"1m 30s\"";
    // A bare number was always taken as seconds on the command line.
    let seconds = || Duration::try_from_secs_f64(text.parse().ok()?).ok();
    let time = seconds().or_else(|| humantime::parse_duration(text).ok()).ok_or(expected)?;
    if time.is_zero() { Err(format!("{expected}, above zero")) } else { Ok(time) }
}
