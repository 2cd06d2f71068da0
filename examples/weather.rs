//! Resume: a weather station and its display stop in the middle and go on where they were.
//!
//! `cargo run -p hyperty-examples --bin weather`

use std::path::Path;

use hyperty_runtime::syncher::Accept;
use hyperty_runtime::{DurableStorage, Runtime};
use serde_json::json;

const SCHEMA: &str =
    r#"{"title": "Weather", "type": "object", "properties": {"scheme": {"constant": "context"}}}"#;

async fn start(store: &Path) -> Result<Runtime, Box<dyn std::error::Error>> {
    let builder = Runtime::builder("hyperty-runtime://example.com/station");
    Ok(builder.storage(DurableStorage::open(store)?).start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("hyperty-weather-{}", std::process::id()));
    let store = folder.join("station.db");

    // First session: create, observe, measure, and stop like a crash.
    let runtime = start(&store).await?;
    let schema = runtime.schema(SCHEMA)?;
    let station = runtime.deploy("station").await?;
    let weather = station.create(schema).name("seattle").store(true).accept(Accept::All).await?;
    let display = runtime.deploy("display").await?;
    let observer = display.subscribe(weather.url()).store(true).await?;
    for day in 1..=3 {
        weather.set("day", day).await?;
        weather.set("temperature", 12.5 + f64::from(day)).await?;
    }
    println!("stopped at version {} with {}", weather.version(), weather.data());
    drop((weather, observer, station, display));
    runtime.abort();

    // Second session: the hyperties have the addresses they had, so what was theirs resumes by itself.
    let runtime = start(&store).await?;
    let station = runtime.deploy("station").await?;
    let weather = station.resumed().reporters.first().ok_or("the object was not resumed")?.clone();
    let display = runtime.deploy("display").await?;
    let mut observer = display.resumed().observers.first().ok_or("the observation was not resumed")?.clone();
    println!("resumed at version {} with {}", weather.version(), weather.data());

    weather.update(|data| data["forecast"] = json!(["rain", "drizzle"])).await?;
    if let Some(change) = observer.next().await {
        println!("the display sees {} at version {}", change.path, change.version);
    }
    assert_eq!(observer.data(), weather.data());
    runtime.shutdown().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
