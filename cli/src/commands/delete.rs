//! `hyperty delete`: the end of an object.

use hyperty_runtime::syncher::Accept;

use crate::args::DeleteArgs;
use crate::connect::{ONE_SHOT_WAIT, Session};
use crate::exit::{Exit, Failure};
use crate::output::{Event, Output};
use crate::stop::Stop;

/// Deletes an object that this store reports.
///
/// # Errors
/// When it is none of this store, or cannot be deleted.
pub(crate) async fn run(args: DeleteArgs, output: &Output, stop: &Stop) -> Result<(), Failure> {
    let session = Session::open(&args.client, Some(&args.store), Some(&args.object)).await?;
    let work = async {
        let reporters = session.hyperty.reporters();
        // Nobody is let in while the object goes.
        reporters.iter().for_each(|reporter| reporter.accept(Accept::None));
        let Some(reporter) = reporters.into_iter().find(|reporter| *reporter.url() == args.object) else {
            let dir = args.store.display();
            return Err(Failure::new(Exit::NotFound, format_args!("no object that {dir} reports")));
        };
        session.reach(Some(args.client.timeout.unwrap_or(ONE_SHOT_WAIT))).await?;
        reporter.delete().await?;
        output.emit(&Event::Deleted { url: &args.object });
        Ok(())
    };
    let outcome = stop.or(work).await.map_err(|failure| failure.while_doing(&args.object));
    session.close_after(outcome).await
}
