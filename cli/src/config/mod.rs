//! What can be set: by a file, over it the environment, over it `--set`, over it the options of a command.
//!
//! Every setting stands once, in [`settings`]: its key in the file, its variable, what it is, and the place in
//! [`Config`] that it sets. Everything else follows from that list: reading, checking, `hyperty config show`, and the
//! table in `docs/operating.md`, which a test compares.

#[cfg(test)]
mod arbitrary;
mod field;
mod file;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyperty_message_node::NodeConfig;
use hyperty_model::message::Limits;
use hyperty_model::queue::QueueLimits;
use hyperty_protostub::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, CONNECT_TIMEOUT, PING_INTERVAL, Retry};
use hyperty_runtime::RuntimeBuilder;
use hyperty_storage::Durability;

use crate::access::Access;
use crate::exit::Failure;
use crate::output::Format;

pub(crate) use field::{Admin, Admission, Discovery};
pub(crate) use settings::{SETTINGS, Setting};

/// The name of the file that is looked for.
const FILE_NAME: &str = "hyperty.toml";

/// Everything that can be set, at its effective value.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What is logged.
    pub log: String,
    /// The form of the output, if one is chosen.
    pub output: Option<Format>,
    /// `hyperty node`.
    pub node: NodeSettings,
    /// Commands that reach a message node.
    pub client: ClientSettings,
    /// Their session with it.
    pub session: SessionSettings,
}

/// Settings of `hyperty node`.
#[derive(Debug, Clone)]
pub(crate) struct NodeSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps what must outlive it.
    pub data: Option<PathBuf>,
    /// What a crash may cost.
    pub durability: Durability,
    /// Where operators ask.
    pub admin: Admin,
    /// Whom it lets in.
    pub admission: Admission,
    /// Whose tokens it believes.
    pub issuer_keys: Option<PathBuf>,
    /// Its certificate, for TLS.
    pub tls_cert: Option<PathBuf>,
    /// The key of that.
    pub tls_key: Option<PathBuf>,
    /// Whether it makes a certificate of its own.
    pub dev_tls: bool,
    /// What searches find.
    pub discovery: Discovery,
    /// The node's own.
    pub config: NodeConfig,
}

/// Settings of commands that reach a message node.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    /// The node.
    pub node: String,
    /// Its domain.
    pub domain: Option<String>,
    /// Who acts.
    pub user: Option<String>,
    /// The file that holds the token.
    pub token: Option<PathBuf>,
    /// The file of the authorities that are believed.
    pub ca: Option<PathBuf>,
    /// The file of rules that decide who may do what.
    pub policy: Option<PathBuf>,
    /// When to give up.
    pub timeout: Option<Duration>,
    /// What a crash may cost that has a store.
    pub durability: Durability,
}

/// Settings of a runtime's session with its message node.
#[derive(Debug, Clone)]
pub(crate) struct SessionSettings {
    /// What may wait for the connection.
    pub queue: QueueLimits,
    /// What a frame may be at most.
    pub frames: Limits,
    /// The pace of attempts.
    pub retry: Retry,
    /// How long one attempt may take.
    pub connect_timeout: Duration,
    /// How long the node may take to open the session.
    pub answer_timeout: Duration,
    /// How long leaving may take.
    pub close_timeout: Duration,
    /// Silence after which the node is asked.
    pub ping: Duration,
}

impl Default for SessionSettings {
    fn default() -> SessionSettings {
        SessionSettings {
            queue: QueueLimits::default(),
            frames: Limits::default(),
            retry: Retry::default(),
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            ping: PING_INTERVAL,
        }
    }
}

impl SessionSettings {
    /// Connects a runtime to the node at `url`, with these settings.
    pub(crate) fn connect(
        &self,
        builder: RuntimeBuilder,
        domain: &str,
        url: &str,
        access: Access,
    ) -> RuntimeBuilder {
        let connector = access.connector(url).frame_bytes_max(self.frames.bytes).ping_interval(self.ping);
        let settings = self.clone();
        let builder = builder.message_node_via(domain, std::sync::Arc::new(connector));
        builder.sessions(move |stub| {
            let SessionSettings {
                queue, frames, retry, connect_timeout, answer_timeout, close_timeout, ..
            } = settings;
            stub.token.clone_from(&access.token);
            stub.queue = queue;
            stub.frames = frames;
            stub.retry = retry;
            stub.connect_timeout = connect_timeout;
            stub.answer_timeout = answer_timeout;
            stub.close_timeout = close_timeout;
        })
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            log: "warn".to_owned(),
            output: None,
            node: NodeSettings {
                listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
                data: None,
                durability: Durability::Durable,
                admin: Admin::default(),
                admission: Admission::default(),
                issuer_keys: None,
                tls_cert: None,
                tls_key: None,
                dev_tls: false,
                discovery: Discovery::default(),
                config: NodeConfig::new("localhost"),
            },
            client: ClientSettings {
                node: "ws://127.0.0.1:9090/ws".to_owned(),
                domain: None,
                user: None,
                token: None,
                ca: None,
                policy: None,
                timeout: None,
                durability: Durability::Durable,
            },
            session: SessionSettings::default(),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(&'static str),
    /// `--set`.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Set => f.write_str("--set"),
        }
    }
}

/// The effective settings, and where each comes from.
#[derive(Debug, Clone)]
pub(crate) struct Effective {
    /// The settings.
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Effective {
    /// Reads the file that is chosen or found, the environment, and what was given by `--set`.
    ///
    /// # Errors
    /// For a file that cannot be read, a key that is none, and a value that makes no sense; the text says where.
    pub(crate) fn load(chosen: Option<&Path>, set: &[String]) -> Result<Effective, Failure> {
        let file = chosen.map(Path::to_owned).or_else(|| found(&variable));
        let mut all = Effective { config: Config::default(), file: file.clone(), origins: BTreeMap::new() };
        if let Some(path) = file {
            all.read(&path)?;
        }
        all.environment(&variable)?;
        for text in set {
            all.set_one(text)?;
        }
        all.check()?;
        Ok(all)
    }

    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |error: &dyn fmt::Display| Failure::usage_of(path, error);
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        self.read_text(path, &text)
    }

    /// Takes the text of a file.
    fn read_text(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        for entry in file::entries(path, text)? {
            let set = (entry.setting.field)(&mut self.config).set(&entry.value);
            set.map_err(|why| entry.place.failure(format_args!("`{}`: {why}", entry.setting.key)))?;
            self.origins.insert(entry.setting.key, Origin::File(path.to_owned(), entry.place.line));
        }
        Ok(())
    }

    fn environment(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<(), Failure> {
        for setting in SETTINGS {
            let name = setting.variable;
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
            let text = value.into_string().map_err(|_| Failure::usage(format_args!("{name} is no UTF-8")))?;
            let set = (setting.field)(&mut self.config).set(&text);
            set.map_err(|why| Failure::usage(format_args!("{name}={text}: {why}")))?;
            self.origins.insert(setting.key, Origin::Environment(name));
        }
        Ok(())
    }

    fn set_one(&mut self, text: &str) -> Result<(), Failure> {
        let failed = |why: &dyn fmt::Display| Failure::usage(format_args!("--set {text}: {why}"));
        let (key, value) = text.split_once('=').ok_or_else(|| failed(&"KEY=VALUE is expected"))?;
        let setting = SETTINGS.iter().find(|setting| setting.key == key.trim());
        let setting = setting.ok_or_else(|| failed(&format_args!("unknown key `{}`", key.trim())))?;
        (setting.field)(&mut self.config).set(value.trim()).map_err(|why| failed(&why))?;
        self.origins.insert(setting.key, Origin::Set);
        Ok(())
    }

    /// What makes no sense together.
    fn check(&self) -> Result<(), Failure> {
        let timers = &self.config.node.config.timers;
        let retry = &self.config.session.retry;
        let wrong = [
            (
                timers.ping >= timers.idle,
                "node.timers.ping",
                "below node.timers.idle: a client is asked before it is sent away",
            ),
            (retry.first > retry.max, "session.retry_first", "at most session.retry_max"),
        ];
        match wrong.iter().find(|(wrong, ..)| *wrong) {
            Some((_, key, why)) => {
                Err(Failure::usage(format_args!("`{key}` ({}) has to be {why}", self.origin(key))))
            }
            None => Ok(()),
        }
    }

    /// Where the value of a key comes from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The value of a setting as it would stand in a file; `None` if it has none.
    pub(crate) fn value(&self, setting: &Setting) -> Option<String> {
        let mut config = self.config.clone();
        (setting.field)(&mut config).show()
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The file that is read if none is chosen: in the working directory, else in the user's configuration.
fn found(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_the_user = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let of_the_user = of_the_user.map(|folder| folder.join("hyperty").join(FILE_NAME));
    [Some(PathBuf::from(FILE_NAME)), of_the_user].into_iter().flatten().find(|path| path.is_file())
}
