//! A runtime of the demo: its store in a folder, its message node by WebSocket.

use std::path::Path;

use hyperty_runtime::{Hyperty, Runtime};
use hyperty_storage::DurableTables;

use crate::exit::Failure;

/// The domain of everything in the demo.
pub(crate) const DOMAIN: &str = "localhost";

/// Starts a runtime with one hyperty, or starts it again over the store it left.
///
/// # Errors
/// When the store cannot be used.
pub(crate) async fn start(name: &str, node: &str, dir: &Path) -> Result<(Runtime, Hyperty), Failure> {
    let tables = DurableTables::open(dir.join(format!("{name}.redb"))).map_err(Failure::error)?;
    let runtime = Runtime::builder(&format!("hyperty-runtime://{DOMAIN}/{name}"))
        .storage(tables)
        .message_node(DOMAIN, node)
        .start()
        .await
        .map_err(Failure::error)?;
    let hyperty = runtime.deploy(name).await.map_err(Failure::error)?;
    Ok((runtime, hyperty))
}
