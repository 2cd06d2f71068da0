//! Our node passes the suite.

use std::sync::Arc;

use hyperty_conformance::level;
use hyperty_conformance::protocol::Runner;
use hyperty_conformance::protocol::node::{InProcessNode, NodeUnderTest, cases};

#[tokio::test(start_paused = true)]
async fn our_node_passes_every_case() {
    let seed = level::seed();
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::new("example.com", seed));
    let report = Runner::new(seed).suite("node").run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
}
