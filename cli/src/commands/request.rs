//! `hyperty request`: has the Reporter of an object do something.

use serde_json::Value;

use super::observe::{Wish, subscribed};
use crate::args::RequestArgs;
use crate::connect::{ONE_SHOT_WAIT, Session, json_argument, within};
use crate::exit::Failure;
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Observes, asks once, and leaves again unless the store keeps the observation.
///
/// # Errors
/// When the object cannot be observed, or what was asked for was not done.
pub(crate) async fn run(args: RequestArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let params = args.params.as_deref().map(|text| json_argument("JSON", text)).transpose()?;
    let session = Session::open(&args.client, args.store.store.as_deref(), Some(&args.object)).await?;
    let limit = args.client.timeout.unwrap_or(ONE_SHOT_WAIT);
    let stored = args.store.store.is_some();
    let work = async {
        let (observer, _) =
            subscribed(&session, &args.object, Wish { store: stored, backup: false }, Some(limit)).await?;
        let asked = observer.request(&args.method, params.unwrap_or(Value::Null)).await;
        if !stored {
            // What came of the request is what counts.
            let _ = observer.unsubscribe().await;
        }
        let value = asked?;
        output.emit(&Event::Answer { value: &value });
        Ok(())
    };
    let outcome =
        stop.or(within(Some(limit), work)).await.map_err(|failure| failure.while_doing(&args.object));
    session.close_after(outcome).await
}
