//! Children: everybody in a chat room writes messages of their own, and only changes those.
//!
//! `cargo run -p hyperty-examples --bin chat_room`

use hyperty_runtime::Runtime;
use hyperty_runtime::syncher::{Accept, ChildOp, ObserverEvent};
use serde_json::json;

/// The children names of an object come from its schema.
const SCHEMA: &str = r#"{
    "title": "ChatRoom",
    "type": "object",
    "properties": {
        "scheme": {"constant": "comm"},
        "children": {"constant": ["messages"]},
        "topic": {"type": "string"}
    }
}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder("hyperty-runtime://example.com/chat").start().await?;
    let schema = runtime.schema(SCHEMA)?;
    let alice = runtime.deploy("alice").user("user://example.com/alice").await?;
    let bob = runtime.deploy("bob").user("user://example.com/bob").await?;

    let room =
        alice.create(schema).name("standup").data(json!({"topic": "release"})).accept(Accept::All).await?;
    let mut bobs_room = bob.subscribe(room.url()).await?;

    let greeting = room.children("messages")?.add(json!({"text": "good morning"})).await?;
    let answer = bobs_room.children("messages")?.add(json!({"text": "helo"})).await?;
    answer.set("text", "hello").await?;
    greeting.set("read", true).await?;

    // Bob hears of Alice's message; his own he knows already.
    let mut heard = 0;
    while let Some(event) = bobs_room.next_event().await {
        if let ObserverEvent::Child(child) = event {
            println!("{} by {}: {}", child.id, child.reporter, child.data);
            heard += 1;
            if child.op == ChildOp::Update {
                break;
            }
        }
    }
    assert_eq!(heard, 2);

    for message in room.children("messages")?.list() {
        println!("in the room: {} {}", message.id, message.data);
    }
    // Only its writer changes a message: Alice has no handle that could change Bob's.
    assert_eq!(room.children("messages")?.mine().len(), 1);
    runtime.shutdown().await?;
    Ok(())
}
