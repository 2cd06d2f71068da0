//! Observing what one is invited to.

use hyperty_model::ObjectUrl;
use hyperty_runtime::syncher::Observer;

use crate::args::ObserveArgs;
use crate::connect::Session;
use crate::exit::Failure;
use crate::output::{Event, NoticeLine, Output};

/// The observation that an earlier run accepted, with true; or that of the next invitation. `None` if that is declined.
///
/// # Errors
/// When the subscription is refused, or the store observes several objects and none was named.
pub(super) async fn invited(
    session: &Session,
    args: &ObserveArgs,
    output: &Output,
) -> Result<Option<(Observer, bool)>, Failure> {
    let wanted = |url: &ObjectUrl| args.object.as_ref().is_none_or(|object| object == url);
    let mut known = session.hyperty.observers();
    known.retain(|observer| wanted(observer.url()));
    match (known.pop(), known.is_empty()) {
        (Some(observer), true) => return Ok(Some((observer, true))),
        (Some(_), false) => return Err(Failure::usage("the store observes several objects: name one")),
        (None, _) => {}
    }
    session.reach(args.living.client.timeout).await?;
    session.tell_waiting(&args.living.client, output);
    let mut invitations = session.hyperty.invitations();
    while let Some(invitation) = invitations.next().await {
        output.emit(&Event::Invited(NoticeLine::invitation(&invitation)));
        if !wanted(invitation.object()) {
            // Dropped it is not declined: it can be accepted by another run.
            continue;
        }
        if let Some(reason) = &args.decline {
            let object = invitation.object().clone();
            invitation.decline(reason);
            output.emit(&Event::Declined { url: &object });
            return Ok(None);
        }
        let accepting = invitation.accept().store(args.living.store.store.is_some());
        let accepting = if args.backup { accepting.backup(true) } else { accepting };
        let observer = accepting.await?;
        return Ok(Some((observer, false)));
    }
    Err(Failure::error("the runtime stopped"))
}
