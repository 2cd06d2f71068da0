//! `hyperty read`: an object as it is now.

use crate::args::ReadArgs;
use crate::connect::{ONE_SHOT_WAIT, Session, within};
use crate::exit::Failure;
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Reads once.
///
/// # Errors
/// When the object cannot be read.
pub(crate) async fn run(args: ReadArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let session = Session::open(&args.client, args.store.store.as_deref(), Some(&args.object)).await?;
    let limit = args.client.timeout.unwrap_or(ONE_SHOT_WAIT);
    let work = async {
        session.reach(Some(limit)).await?;
        let object = session.hyperty.read(&args.object).await?;
        output.emit(&Event::snapshot(&args.object, object.version, &object.data, &object.children));
        Ok(())
    };
    let outcome =
        stop.or(within(Some(limit), work)).await.map_err(|failure| failure.while_doing(&args.object));
    session.close_after(outcome).await
}
