//! The runtime that a client command works with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{Ids, ObjectUrl, RuntimeUrl, StatusCode, SystemIds};
use hyperty_runtime::{BackedUp, DeployError, Hyperty, Runtime};
use hyperty_storage::{Durability, DurableTables, MemoryTables, Names, Tables};
use tokio::time::timeout;

use crate::access::Access;
use crate::admin::AdminPages;
use crate::args::{AdminArgs, ClientArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Event, Output};

/// How long a command that does one thing waits for the message node, and for each answer: the protocol's time for
/// an answer.
pub(crate) const ONE_SHOT_WAIT: Duration = Duration::from_secs(15);

/// By how much a step with a limit of its own comes before the limit of the whole.
const STEP_FIRST: Duration = Duration::from_millis(100);

/// How often is looked whether there is a new reason why the message node cannot be reached.
const REASON_INTERVAL: Duration = Duration::from_millis(100);

/// How long leaving may take. What waits for a message node that cannot be reached is given up then.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// The domain if neither the command line nor an object names one.
const DOMAIN_DEFAULT: &str = "localhost";

/// All commands over one store are the same hyperty, so that what one created another may delete.
const HYPERTY: &str = "hyperty";

/// Under which name the store keeps the URL of its runtime.
const RUNTIME_KEY: &str = "runtime";

/// A runtime with one hyperty, on its way to its message node.
pub(crate) struct Session {
    /// The hyperty.
    pub hyperty: Hyperty,
    /// The runtime.
    pub runtime: Runtime,
    node: String,
}

/// How a session is opened.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// The node, and who one is there.
    pub client: &'a ClientArgs,
    /// The store.
    pub store: Option<&'a Path>,
    /// What a crash may cost.
    pub durability: Durability,
    /// The object that it is about: tells the domain.
    pub object: Option<&'a ObjectUrl>,
    /// Whether others find the hyperty by its user.
    pub found: bool,
}

impl<'a> Opening<'a> {
    /// As for a command that does one thing.
    pub(crate) fn new(
        client: &'a ClientArgs,
        store: Option<&'a Path>,
        object: Option<&'a ObjectUrl>,
    ) -> Opening<'a> {
        Opening { client, store, durability: Durability::Durable, object, found: false }
    }
}

impl Session {
    /// Starts the runtime. With a store it is the one of the last run, and what it had is resumed; else a new one.
    ///
    /// # Errors
    /// [`Exit::Usage`] for malformed addresses, [`Exit::Error`] if the store cannot be used.
    pub(crate) async fn open(
        client: &ClientArgs,
        store: Option<&Path>,
        object: Option<&ObjectUrl>,
    ) -> Result<Session, Failure> {
        Session::open_with(&Opening::new(client, store, object)).await
    }

    /// The same with more choices.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub(crate) async fn open_with(opening: &Opening<'_>) -> Result<Session, Failure> {
        let Opening { client, store, durability, object, found } = *opening;
        if !["ws://", "wss://"].iter().any(|scheme| client.node.starts_with(scheme)) {
            let text = format!("--node {}: it must start with ws:// or wss://", client.node);
            return Err(Failure::usage(text));
        }
        let domain = client.domain.as_deref().or(object.map(ObjectUrl::home)).unwrap_or(DOMAIN_DEFAULT);
        let tables: Arc<dyn Tables> = match store {
            Some(dir) => {
                let tables = DurableTables::open_with(dir.join("hyperty.redb"), durability);
                Arc::new(tables.map_err(Failure::error)?)
            }
            None => Arc::new(MemoryTables::new()),
        };
        let url = runtime_url(&tables, domain).await?;
        let builder = Runtime::builder(url.as_str()).shared_storage(tables);
        let access = Access::of(&client.access)?;
        let builder = client.session.connect(builder, domain, &client.node, access);
        let builder = match &client.policy {
            Some(rules) => builder.policy_file(rules).map_err(Failure::usage)?,
            None => builder,
        };
        // Whose devices these are is known: what one of them wants kept, others go on with.
        let builder = if client.user.is_some() { builder.backup(BackedUp::WhenAsked) } else { builder };
        let runtime = builder.start().await.map_err(Failure::usage)?;
        let deploy = runtime.deploy(HYPERTY);
        let deploy = match &client.user {
            Some(user) => deploy.user(user),
            None => deploy,
        };
        let deploy = if found { deploy.discoverable(Vec::<String>::new()) } else { deploy };
        match deploy.await {
            Ok(hyperty) => Ok(Session { hyperty, runtime, node: client.node.clone() }),
            Err(error) => {
                runtime.abort();
                let exit = if matches!(error, DeployError::User(_)) { Exit::Usage } else { Exit::Error };
                Err(Failure::new(exit, error))
            }
        }
    }

    /// The user that `option` is about.
    ///
    /// # Errors
    /// [`Exit::Usage`] if none is named.
    pub(crate) fn user_for<'a>(client: &'a ClientArgs, option: &str) -> Result<&'a str, Failure> {
        let why = || Failure::usage(format_args!("{option} needs --user: it is for that user's devices"));
        client.user.as_deref().ok_or_else(why)
    }

    /// Tells the address under which this hyperty is invited, or offered an object.
    pub(crate) fn tell_waiting(&self, client: &ClientArgs, output: &Output) {
        output.emit(&Event::Waiting { hyperty: self.hyperty.url(), user: client.user.as_deref() });
    }

    /// Waits for the message node, and says so when it cannot be reached. Without a limit it keeps waiting.
    ///
    /// # Errors
    /// [`Exit::Timeout`]; [`Exit::NotAuthorised`] if the node does not let one in.
    pub(crate) async fn reach(&self, limit: Option<Duration>) -> Result<(), Failure> {
        let reached = async {
            tokio::select! {
                biased;
                () = self.runtime.connected() => Ok(()),
                refused = self.tell_reasons() => Err(refused),
            }
        };
        match limit {
            None => reached.await,
            Some(limit) => {
                let late = |_| Failure::new(Exit::Timeout, format_args!("{} was not reached", self.node));
                timeout(limit, reached).await.map_err(late)?
            }
        }
    }

    /// Logs every new reason why the node is not reached. Ends when it does not let one in: trying again with the same
    /// token would not help.
    async fn tell_reasons(&self) -> Failure {
        let mut last = None;
        let mut looks = tokio::time::interval(REASON_INTERVAL);
        loop {
            looks.tick().await;
            if let Some((code, why)) = self.runtime.refusal()
                && matches!(code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            {
                return Failure::new(Exit::NotAuthorised, format_args!("{}: {why}", self.node));
            }
            let reason = self.runtime.connection_errors().pop().map(|(_, reason)| reason);
            if reason.is_some() && reason != last {
                let why = reason.as_deref().unwrap_or_default();
                tracing::warn!("cannot reach {}: retrying ({why})", self.node);
                last = reason;
            }
        }
    }

    /// Serves the pages for operators if that is wished, until what is returned is dropped.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) async fn administer(
        &self,
        args: &AdminArgs,
        output: &Output,
    ) -> Result<Option<AdminPages>, Failure> {
        let Some(address) = args.admin else { return Ok(None) };
        let pages = AdminPages::serve(&self.runtime, address).await?;
        output.emit(&Event::Admin { url: pages.url() });
        Ok(Some(pages))
    }

    /// Leaves cleanly: the session is closed, the store is flushed.
    ///
    /// # Errors
    /// When the store was not flushed.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let left = timeout(LEAVE_WAIT, self.runtime.shutdown()).await;
        match left {
            Ok(left) => left.map_err(Failure::error),
            Err(_) => {
                self.runtime.abort();
                Err(Failure::error("leaving took too long; what was acknowledged is kept"))
            }
        }
    }

    /// Closes the session after `outcome`, which stands before what goes wrong then.
    ///
    /// # Errors
    /// Those of `outcome`, else those of [`Session::close`].
    pub(crate) async fn close_after(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let closed = self.close().await;
        outcome.and(closed)
    }
}

/// Does something within a time, if there is a limit.
///
/// # Errors
/// [`Exit::Timeout`], or the failure of `work`.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else { return work.await };
    // A step of the work that waits for as long says better what it waited for.
    let wait = limit.saturating_add(STEP_FIRST);
    let late =
        |_| Failure::new(Exit::Timeout, format_args!("gave up after {}", humantime::format_duration(limit)));
    timeout(wait, work).await.map_err(late)?
}

/// The runtime's URL: the one in the store, or a new one.
async fn runtime_url(tables: &Arc<dyn Tables>, domain: &str) -> Result<RuntimeUrl, Failure> {
    let names = Names::new(Arc::clone(tables));
    if let Some(kept) = names.get(RUNTIME_KEY).map_err(Failure::error)? {
        let url = RuntimeUrl::parse(&kept).map_err(Failure::error)?;
        if !url.home().eq_ignore_ascii_case(domain) {
            let text = format!("the store belongs to the domain {}, not to {domain}", url.home());
            return Err(Failure::usage(text));
        }
        return Ok(url);
    }
    let url = format!("hyperty-runtime://{domain}/{}", SystemIds.uuid());
    let url = RuntimeUrl::parse(&url)
        .map_err(|error| Failure::usage(format_args!("domain {domain:?} cannot be used: {error}")))?;
    let ticket = names.put(RUNTIME_KEY, url.as_str());
    hyperty_storage::durable(&**tables, ticket).await.map_err(Failure::error)?;
    Ok(url)
}

/// Gives the runtime in a store, and its hyperty, addresses that nobody had before.
///
/// # Errors
/// When the store cannot be used, or holds no runtime.
pub(crate) async fn become_new_device(file: &Path) -> Result<(), Failure> {
    let tables: Arc<dyn Tables> = Arc::new(DurableTables::open(file).map_err(Failure::error)?);
    let names = Names::new(Arc::clone(&tables));
    let Some(known) = names.get(RUNTIME_KEY).map_err(Failure::error)? else {
        return Err(Failure::usage(format_args!("{}: no store of a runtime", file.display())));
    };
    let domain = RuntimeUrl::parse(&known).map_err(Failure::error)?.home().to_owned();
    names.put(RUNTIME_KEY, &format!("hyperty-runtime://{domain}/{}", SystemIds.uuid()));
    names.put(&format!("hyperty/{HYPERTY}"), &format!("hyperty://{domain}/{}", SystemIds.uuid()));
    hyperty_storage::flush_and_close(&*tables).await.map_err(Failure::error)
}

/// JSON from the command line, or from the file that it names after an `@`.
///
/// # Errors
/// [`Exit::Usage`] for what cannot be read or is no JSON.
pub(crate) fn json_argument(what: &str, text: &str) -> Result<serde_json::Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format_args!("{what}: {error}"));
    let read = match text.strip_prefix('@') {
        Some(file) => {
            &std::fs::read_to_string(file).map_err(|error| failed(&format_args!("{file}: {error}")))?
        }
        None => text,
    };
    serde_json::from_str(read).map_err(|error| failed(&error))
}
