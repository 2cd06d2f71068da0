//! A node on a thread of its own.

// Not every bench uses all of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use hyperty_message_node::{MessageNode, NodeConfig, serve};
use hyperty_model::{SystemClock, SystemIds};
use hyperty_storage::MemoryTables;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) node: MessageNode,
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::at(([127, 0, 0, 1], 0).into())
    }

    pub(crate) fn at(address: SocketAddr) -> Server {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        // The thread ends with the server, or with the process.
        thread::spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build().expect("a runtime for the server");
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.expect("a free port");
                let address = listener.local_addr().expect("an address");
                let tables = Arc::new(MemoryTables::new());
                let config = NodeConfig::new("example.com");
                let (node, driver) =
                    MessageNode::new(config, tables, Arc::new(SystemClock), Arc::new(SystemIds))
                        .expect("a node");
                tokio::spawn(driver.run());
                tell.send((address, node.clone(), Handle::current())).expect("somebody waits");
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(node, listener, stopped).await.expect("a listener");
            });
        });
        let (address, node, handle) = told.recv().expect("a server");
        Server { address, node, handle, _stop: stop }
    }

    /// CPU time of the server's thread so far.
    pub(crate) async fn cpu(&self) -> Duration {
        let read = self.handle.spawn(async { std::fs::read_to_string("/proc/thread-self/schedstat") });
        let text = read.await.expect("the server lives").unwrap_or_default();
        Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
    }
}
