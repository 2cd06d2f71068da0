//! One Reporter and N Observers in one runtime, everything of the product on: changes applied in every copy and
//! events read, per second. Beside it, in the same rounds, a bounded tokio channel to N tasks that do nothing.
//!
//! `cargo bench -p hyperty-runtime --bench observers`

use std::time::Instant;

use hyperty_runtime::Runtime;
use hyperty_runtime::syncher::{Accept, Observer, ObserverEvent, Reporter};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const ROUNDS: usize = 7;
const SCHEMA: &str =
    r#"{"title": "Bench", "type": "object", "properties": {"scheme": {"constant": "context"}}}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{:>9} {:>14} {:>16} {:>7}", "observers", "applied/s", "bounded mpsc/s", "ratio");
    for observers in [1, 10, 100, 1000] {
        let (ours, channel) = tokio.block_on(measure(observers))?;
        println!("{observers:>9} {ours:>14.0} {channel:>16.0} {:>7.2}", ours / channel);
    }
    Ok(())
}

async fn measure(count: usize) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder("hyperty-runtime://example.com/bench").start().await?;
    let schema = runtime.schema(SCHEMA)?;
    let station = runtime.deploy("station").await?;
    let reporter = station.create(schema).name("bench").data(data()).accept(Accept::All).await?;
    let mut observers = Vec::new();
    for number in 0..count {
        let hyperty = runtime.deploy(&format!("observer-{number}")).await?;
        observers.push(hyperty.subscribe(reporter.url()).await?);
    }
    let changes = (200_000 / count as u64).clamp(100, 800);
    let (mut ours, mut channel) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let rates = (publish(&reporter, &mut observers, changes).await?, send(count, changes).await?);
        // The first round warms up.
        if round > 0 {
            ours.push(rates.0);
            channel.push(rates.1);
        }
    }
    for observer in &observers {
        assert_eq!(observer.data(), reporter.data(), "a copy differs");
    }
    runtime.shutdown().await?;
    Ok((median(ours), median(channel)))
}

fn data() -> Value {
    json!({"current": {"station": "", "wind": 4.7}, "days": [1, 2, 3]})
}

async fn publish(
    reporter: &Reporter,
    observers: &mut [Observer],
    changes: u64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let text = format!("{:0>100}", reporter.version());
    let start = Instant::now();
    let mut last = None;
    for _ in 0..changes {
        last = Some(reporter.set("current.station", text.as_str()));
    }
    if let Some(last) = last {
        last.await?;
    }
    for observer in observers.iter_mut() {
        for _ in 0..changes {
            match observer.next_event().await {
                Some(ObserverEvent::Change(_)) => {}
                other => return Err(format!("not a change: {other:?}").into()),
            }
        }
    }
    Ok(observers.len() as f64 * changes as f64 / start.elapsed().as_secs_f64())
}

async fn send(count: usize, changes: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let text: std::sync::Arc<str> = format!("{changes:0>100}").into();
    let mut senders = Vec::new();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (sender, mut receiver) = mpsc::channel::<std::sync::Arc<str>>(1_024);
        senders.push(sender);
        readers.spawn(async move { while receiver.recv().await.is_some() {} });
    }
    let start = Instant::now();
    for _ in 0..changes {
        for sender in &senders {
            sender.send(std::sync::Arc::clone(&text)).await?;
        }
    }
    drop(senders);
    readers.join_all().await;
    Ok(count as f64 * changes as f64 / start.elapsed().as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
