//! One process, no message node: a Reporter counts, an Observer watches.
//!
//! `cargo run -p hyperty-examples --bin counter`

use hyperty_runtime::Runtime;
use hyperty_runtime::syncher::Accept;
use serde_json::json;

const SCHEMA: &str =
    r#"{"title": "Counter", "type": "object", "properties": {"count": {"type": "integer"}}}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder("hyperty-runtime://example.com/one-process").start().await?;
    let schema = runtime.schema(SCHEMA)?;

    let alice = runtime.deploy("counter").user("user://example.com/alice").await?;
    let counter = alice.create(schema).name("visits").data(json!({"count": 0})).accept(Accept::All).await?;

    let bob = runtime.deploy("display").user("user://example.com/bob").await?;
    let mut display = bob.subscribe(counter.url()).await?;

    for count in 1..=5 {
        counter.set("count", count).await?;
    }
    while let Some(change) = display.next().await {
        println!(
            "{} = {} at version {}",
            change.path,
            change.value().cloned().unwrap_or_default(),
            change.version
        );
        if change.version == 5 {
            break;
        }
    }
    assert_eq!(display.data(), counter.data());
    runtime.shutdown().await?;
    Ok(())
}
