//! The object went on without this Reporter (protocol 5.10.1).

use std::sync::Arc;

use hyperty_model::Message;
use hyperty_model::message::DeposedBody;

use super::WriteError;
use super::shared::ReporterShared;
use crate::children::ChildError;
use crate::{ChangeEvent, ReporterEvent};

impl ReporterShared {
    /// Tells the application what is lost, and ends.
    pub(super) fn on_deposed(&self, message: &Message) {
        let Ok(body) = message.decode::<DeposedBody>() else { return };
        let change = |update: &hyperty_model::message::UpdateBody| {
            let version = update.version.unwrap_or_default();
            ChangeEvent::of(Arc::new(update.clone()), version)
        };
        let unpublished =
            body.unpublished.as_ref().map(|updates| updates.iter().filter_map(change).collect());
        let epoch = body.epoch;
        self.raise_last(ReporterEvent::Deposed { epoch, reporter: body.reporter.clone(), unpublished });
        let error = match body.reporter {
            Some(_) => WriteError::Deposed { epoch },
            None => WriteError::Deleted,
        };
        self.end(&error, &ChildError::Closed);
    }
}
