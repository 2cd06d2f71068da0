//! Our node passes the suite.

use std::sync::Arc;

use hyperty_conformance::level;
use hyperty_conformance::protocol::node::{InProcessNode, NodeUnderTest, cases};
use hyperty_conformance::protocol::{Outcome, Runner};
use hyperty_message_node::NodeConfig;

/// The same where sessions are opened by token.
#[tokio::test(start_paused = true)]
async fn our_guarded_node_passes_every_case() {
    let seed = level::seed();
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::new("example.com", seed).guarded());
    let report = Runner::new(seed).suite("guarded node").run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
    let guarded = report
        .cases
        .iter()
        .filter(|case| case.id.contains("INV-ADM") && matches!(case.outcome, Outcome::Passed));
    assert!(guarded.count() >= 8, "{report}");
}

#[tokio::test(start_paused = true)]
async fn our_node_passes_every_case() {
    let seed = level::seed();
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::new("example.com", seed));
    let report = Runner::new(seed).suite("node").run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
}

/// A node that lets nobody listen whom the owner has not accepted. The other cases listen to what nobody owns.
#[tokio::test(start_paused = true)]
async fn our_node_lets_listen_whom_the_owner_accepts() {
    let seed = level::seed();
    let config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new("example.com") };
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::with(config, seed));
    let report = Runner::new(seed).suite("node that enforces").filter("INV-LSN").run(&node, &cases()).await;
    assert!(report.passed(), "{report}");
    assert!(report.cases.iter().filter(|case| case.outcome == Outcome::Passed).count() >= 8, "{report}");
}
