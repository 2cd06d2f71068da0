//! `hyperty node`: the message node of a domain.

use std::sync::Arc;

use hyperty_message_node::admin::serve_admin;
use hyperty_message_node::{AdminPages, MessageNode, serve};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_storage::{DurableTables, MemoryTables, Tables};
use tokio::net::TcpListener;

use crate::admin::bind;
use crate::config::{Admin, NodeSettings};
use crate::exit::Failure;
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Serves until asked to leave; then answers what is under way, flushes the store, and asks the runtimes to come back.
///
/// # Errors
/// When an address is taken, the domain malformed or the data unusable.
pub(crate) async fn run(settings: NodeSettings, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let NodeSettings { listen, data, durability, admin, mut config } = settings;
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
    let url = format!("ws://{address}/ws");
    output.emit(&Event::Listening { address: address.to_string(), url, domain: node.domain(), admin: told });
    let asked = stop.clone();
    let served = tokio::select! {
        biased;
        served = serve(node.clone(), listener, async move { asked.requested().await }) => served,
        failed = ask(node, pages.map(|(listener, _)| listener)) => failed,
    };
    driver.abort();
    let flushed = hyperty_storage::flush_and_close(&*tables).await;
    served.map_err(|error| Failure::error(format_args!("the listener failed: {error}")))?;
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
