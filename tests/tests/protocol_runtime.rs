//! The protocol suite against the runtimes of this project: as it is, assembled by hand, and both at a real node.

use std::sync::Arc;

use hyperty_conformance::level;
use hyperty_conformance::protocol::node::{InProcessNode, NodeUnderTest};
use hyperty_conformance::protocol::runtime::{self, AssembledRuntime, HypertyRuntime, Subject};
use hyperty_conformance::protocol::{Report, Runner};
use hyperty_message_node::NodeConfig;

async fn passes(subject: Subject) {
    let report = run(subject).await;
    println!("{report}");
    assert!(report.passed(), "{report}");
}

async fn run(subject: Subject) -> Report {
    let subject = Arc::new(subject);
    let mut runner = Runner::new(level::seed()).suite(subject.maker.name());
    if let Ok(part) = std::env::var("HYPERTY_CASE") {
        runner = runner.filter(part);
    }
    runner.run(&subject, &runtime::cases()).await
}

#[tokio::test(start_paused = true)]
async fn hyperty_runtime_in_a_scripted_domain() {
    passes(Subject::scripted(HypertyRuntime)).await;
}

#[tokio::test(start_paused = true)]
async fn an_assembled_runtime_in_a_scripted_domain() {
    passes(Subject::scripted(AssembledRuntime::default())).await;
}

#[tokio::test(start_paused = true)]
async fn hyperty_runtime_at_a_real_node() {
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::new("example.com", level::seed()));
    passes(Subject::at_node(HypertyRuntime, "example.com", runtime::way_to(node))).await;
}

/// Each session is of a user of its own, and nobody listens before the owner has accepted that.
#[tokio::test(start_paused = true)]
async fn hyperty_runtime_at_a_node_that_admits_by_token() {
    let config = NodeConfig { enforce_subscriber: Some(true), ..NodeConfig::new("example.com") };
    let node: Arc<dyn NodeUnderTest> = Arc::new(InProcessNode::with(config, level::seed()).guarded());
    let subject = Subject::at_node(HypertyRuntime, "example.com", runtime::way_to(Arc::clone(&node)));
    passes(subject.admitted_by(move |user| node.token(user))).await;
}
