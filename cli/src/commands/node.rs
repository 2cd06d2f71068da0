//! `hyperty node`: the message node of a domain.

use std::sync::Arc;

use hyperty_message_node::{MessageNode, NodeConfig, serve};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_storage::{DurableTables, MemoryTables, Tables};
use tokio::net::TcpListener;

use crate::args::NodeArgs;
use crate::exit::Failure;
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Serves until asked to leave.
///
/// # Errors
/// When the address is taken, the domain malformed or the data unusable.
pub(crate) async fn run(args: NodeArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let tables: Arc<dyn Tables> = match &args.data {
        Some(dir) => {
            let tables = DurableTables::open_with(dir.join("node.redb"), args.durability.durability);
            Arc::new(tables.map_err(Failure::error)?)
        }
        None => Arc::new(MemoryTables::new()),
    };
    let config = NodeConfig::new(&args.domain);
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let (node, driver) = MessageNode::new(config, Arc::clone(&tables), clock, ids).map_err(Failure::usage)?;
    let cannot = |error| Failure::error(format_args!("cannot listen on {}: {error}", args.listen));
    let listener = TcpListener::bind(args.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let driver = tokio::spawn(driver.run());
    let url = format!("ws://{address}/ws");
    output.emit(&Event::Listening { address: address.to_string(), url, domain: node.domain() });
    let asked = stop.clone();
    let served = serve(node, listener, async move { asked.requested().await }).await;
    driver.abort();
    let flushed = hyperty_storage::flush_and_close(&*tables).await;
    served.map_err(|error| Failure::error(format_args!("the listener failed: {error}")))?;
    flushed.map_err(Failure::error)
}
