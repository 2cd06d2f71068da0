//! `hyperty node`: the message node of a domain.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;

use hyperty_message_node::admin::serve_admin;
use hyperty_message_node::admission::{AdmissionConfig, TokenAdmission};
use hyperty_message_node::tls::{TlsServer, dev_certificate};
use hyperty_message_node::{AdminPages, Discovery, MessageNode, serve, serve_tls};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_runtime::keep_in_force;
use hyperty_runtime::policy::{PolicyFile, WatchedFile};
use hyperty_storage::{DurableTables, MemoryTables, Tables};
use tokio::net::TcpListener;

use crate::admin::bind;
use crate::commands::token::issuer_keys;
use crate::config::{self, Admin, Admission, NodeSettings};
use crate::exit::Failure;
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Serves until asked to leave; then answers what is under way, flushes the store, and asks the runtimes to come back.
///
/// # Errors
/// When an address is taken, the domain malformed or the data unusable.
pub(crate) async fn run(settings: NodeSettings, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let tls = tls_of(&settings, output)?;
    let admission = admission_of(&settings)?;
    let (discovery, rules) = discovery_of(&settings)?;
    let NodeSettings { listen, data, durability, admin, mut config, .. } = settings;
    config.admission = admission;
    config.discovery = discovery;
    let tables: Arc<dyn Tables> = match &data {
        Some(dir) => {
            let tables = DurableTables::open_with(dir.join("node.redb"), durability);
            Arc::new(tables.map_err(Failure::error)?)
        }
        None => Arc::new(MemoryTables::new()),
    };
    if admin != Admin::ThisMachine {
        config.admin = AdminPages::Elsewhere;
    }
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let (node, driver) = MessageNode::new(config, Arc::clone(&tables), clock, ids).map_err(Failure::usage)?;
    let (listener, address) = bind(listen).await?;
    let driver = tokio::spawn(driver.run());
    let pages = match admin {
        Admin::At(address) => Some(bind(address).await?),
        Admin::ThisMachine | Admin::Off => None,
    };
    let told = pages.as_ref().map(|(_, address)| format!("http://{address}"));
    let url = format!("{}://{address}/ws", if tls.is_some() { "wss" } else { "ws" });
    output.emit(&Event::Listening { address: address.to_string(), url, domain: node.domain(), admin: told });
    let asked = stop.clone();
    let serving = async {
        let shutdown = async move { asked.requested().await };
        match &tls {
            Some(tls) => serve_tls(node.clone(), listener, tls.clone(), shutdown).await,
            None => serve(node.clone(), listener, shutdown).await,
        }
    };
    let served = tokio::select! {
        biased;
        served = serving => served,
        () = reload(tls.as_ref()) => Ok(()),
        () = watch(rules) => Ok(()),
        failed = ask(node.clone(), pages.map(|(listener, _)| listener)) => failed,
    };
    driver.abort();
    let flushed = hyperty_storage::flush_and_close(&*tables).await;
    served.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure::usage(format_args!("{error}; let in who has a --admission token, or say --open"))
        }
        _ => Failure::error(format_args!("the listener failed: {error}")),
    })?;
    flushed.map_err(Failure::error)
}

/// Serves the pages for operators for as long as the node is served, so that they also tell that it drains. Ends only
/// by a failure.
async fn ask(node: MessageNode, listener: Option<TcpListener>) -> std::io::Result<()> {
    match listener {
        Some(listener) => serve_admin(Arc::new(node), listener, std::future::pending()).await,
        None => std::future::pending().await,
    }
}

/// Whom the node lets in.
fn admission_of(settings: &NodeSettings) -> Result<AdmissionConfig, Failure> {
    match (settings.admission, &settings.issuer_keys) {
        (Admission::Loopback, None) => Ok(AdmissionConfig::Loopback),
        (Admission::Open, None) => Ok(AdmissionConfig::Open),
        (Admission::Token, Some(keys)) => {
            Ok(AdmissionConfig::Tokens(TokenAdmission::new(issuer_keys(keys)?)))
        }
        (Admission::Token, None) => Err(Failure::usage("--admission token needs --issuer-keys")),
        // Whoever names keys does not mean to let everybody in.
        (_, Some(_)) => Err(Failure::usage("--issuer-keys needs --admission token")),
    }
}

/// What searches find.
fn discovery_of(settings: &NodeSettings) -> Result<(Discovery, Option<WatchedFile>), Failure> {
    let path = match &settings.discovery {
        config::Discovery::Open => return Ok((Discovery::Open, None)),
        config::Discovery::SameUser => return Ok((Discovery::SameUser, None)),
        config::Discovery::Rules(path) => path,
    };
    let file = PolicyFile::open(path).map_err(Failure::usage)?;
    let (policy, watched) = file.in_force(Arc::new(SystemClock)).map_err(Failure::usage)?;
    Ok((Discovery::Policy(policy), Some(watched)))
}

/// Looks at the rules again and again; never ends.
async fn watch(rules: Option<WatchedFile>) {
    match rules {
        Some(rules) => keep_in_force(rules).await,
        None => std::future::pending().await,
    }
}

/// How the node proves who it is, if it does.
fn tls_of(settings: &NodeSettings, output: &Output) -> Result<Option<TlsServer>, Failure> {
    match (&settings.tls_cert, &settings.tls_key, settings.dev_tls) {
        (None, None, false) => Ok(None),
        (Some(chain), Some(key), false) => {
            TlsServer::from_files(chain, key).map(Some).map_err(Failure::usage)
        }
        (None, None, true) => {
            let data = settings.data.as_ref();
            let data =
                data.ok_or_else(|| Failure::usage("--dev-tls needs --data: its authority is kept there"))?;
            let made = dev_certificate(&data.join("tls"), &names(settings)).map_err(Failure::error)?;
            output.emit(&Event::Authority { ca: made.ca.display().to_string() });
            TlsServer::from_files(made.chain, made.key).map(Some).map_err(Failure::error)
        }
        (_, _, true) => Err(Failure::usage("--dev-tls makes a certificate: none is to be named")),
        _ => Err(Failure::usage("--tls-cert and --tls-key belong together")),
    }
}

/// Under which names a development node is reached.
fn names(settings: &NodeSettings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let address: IpAddr = settings.listen.ip();
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.push(settings.config.domain.clone());
    names.sort_unstable();
    names.dedup();
    names
}

/// Reads the certificate anew whenever SIGHUP says so; never ends.
async fn reload(tls: Option<&TlsServer>) {
    #[cfg(unix)]
    if let Some(tls) = tls
        && let Ok(mut hangups) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
    {
        while hangups.recv().await.is_some() {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read anew"),
                Err(error) => tracing::error!(%error, "the certificate stays the one it was"),
            }
        }
    }
    let _ = tls;
    std::future::pending().await
}
