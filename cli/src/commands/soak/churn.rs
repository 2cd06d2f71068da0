//! Runtimes that come, observe for a moment, and leave in one way or another.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::{Ids, SeededIds};
use tokio::time::{sleep, timeout};

use super::Soak;
use super::court::Phase;
use super::disk::Disk;
use super::host::some;
use super::observer::Following;
use super::reporter::{AGAIN, OBJECTS, start};
use super::tally::Count;

/// How long a visit takes at most.
const VISIT_MAX: Duration = Duration::from_secs(3);

/// Visits for ever, except in a pause.
pub(super) async fn come_and_go(soak: Arc<Soak>, number: u32, ids: Arc<SeededIds>) {
    let name = format!("visitor-{number}");
    let mut disk = Disk::memory();
    soak.court.all(OBJECTS).await;
    loop {
        soak.court.reached(Phase::Work).await;
        let started = match disk.open() {
            Ok(tables) => start(&soak, &name, tables).await,
            Err(error) => Err(error.to_string()),
        };
        let (runtime, hyperty) = match started {
            Ok(started) => started,
            Err(error) => return soak.tally.wrong(&format!("{name}: {error}")),
        };
        let visit = async {
            let objects = soak.court.all(OBJECTS).await;
            let at = usize::try_from(ids.random() % objects.len().max(1) as u128).unwrap_or_default();
            let Some(url) = objects.get(at) else { return };
            let Ok(observer) = hyperty.subscribe(url).await else { return };
            let begun = Following::begin(&soak, &ids, hyperty.url().as_str(), url, observer, false);
            let Some(mut following) = begun else { return };
            following.some_events(u32::try_from(ids.random() % 200).unwrap_or_default()).await;
        };
        tokio::select! {
            biased;
            () = soak.court.reached(Phase::Pause) => {}
            // Some leave before they are in.
            _ = timeout(some(&ids, VISIT_MAX), visit) => {}
        }
        if ids.random() & 1 == 0 {
            runtime.abort();
        } else if let Err(error) = runtime.shutdown().await {
            soak.tally.wrong(&format!("{name} did not leave in order: {error}"));
        }
        soak.tally.add(Count::Visits);
        drop((runtime, hyperty));
        sleep(some(&ids, AGAIN)).await;
    }
}
