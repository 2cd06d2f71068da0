//! A copy that is not what the Reporter has, although no change is missing (protocol 10.2, INV-EXT-3): found by the
//! digest of a beat, replaced by a whole state, counted and told.

use std::sync::Arc;

use hyperty_model::message::UpdateBody;
use hyperty_model::{MessageType, Position, Snapshot};

use super::object::{Observed, State};
use crate::digest::{Made, Unmade};
use crate::manager::SyncManager;

/// What a digest led to.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// A digest of the copy is being made.
    verifying: bool,
    /// The copy is wrong: at this position the Reporter has this digest.
    suspect: Option<(Position, String)>,
    /// A whole state of the Reporter had another digest than the Reporter told: it makes them differently, and they
    /// tell nothing.
    unusable: bool,
}

impl SyncManager {
    /// A beat tells what data the Reporter has at the copy's position. The digest of the copy is made by the driver,
    /// and once for each position.
    pub(crate) fn compare_data(&self, object: &Arc<Observed>, state: &mut State, theirs: &str) {
        let position = state.replica.position();
        let idle = state.observers.is_empty() || state.replica.need().is_some();
        if state.doubt.unusable || idle {
            return;
        }
        if let Some(ours) = state.digest.at(position) {
            if ours.is_some_and(|ours| ours != theirs) {
                self.found_wrong(object, state, position, theirs);
            }
            return;
        }
        let Some(data) = state.replica.shared_data() else { return };
        if std::mem::replace(&mut state.doubt.verifying, true) {
            return; // The next beat is compared with what is being made.
        }
        let (manager, object, theirs) = (self.clone(), Arc::clone(object), theirs.to_owned());
        let replaced = state.replaced;
        self.later(Box::pin(async move {
            let made = Unmade { position, data }.make(manager.config().digest_bytes_max);
            manager.compared(&object, made, &theirs, replaced);
        }));
    }

    fn compared(&self, object: &Arc<Observed>, made: Made, theirs: &str, replaced: u64) {
        let mut state = object.lock();
        state.doubt.verifying = false;
        let position = made.position;
        let differs = made.digest.as_deref().is_some_and(|ours| ours != theirs);
        // What was wrong then is wrong still, unless a whole state came meanwhile.
        let replaced = state.replaced != replaced;
        if position == state.replica.position() && !replaced {
            state.digest.keep(made);
        }
        if differs && !replaced && state.replica.need().is_none() {
            self.found_wrong(object, &mut state, position, theirs);
        }
    }

    fn found_wrong(&self, object: &Observed, state: &mut State, position: Position, theirs: &str) {
        self.tally().divergences.add(1);
        tracing::warn!(object = %object.url, %position, "the copy is not what the Reporter has; replacing it");
        state.replica.mark_diverged();
        state.doubt.suspect = Some((position, theirs.to_owned()));
        self.repair_soon(&object.url);
    }

    /// Before a whole state takes the place of the copy: looks whether the copy was wrong indeed. `false` if it is
    /// what the Reporter has, so that nobody need be told.
    pub(crate) fn settle_doubt(&self, object: &Observed, state: &mut State, snapshot: &Snapshot) -> bool {
        let position = snapshot.position();
        let Some((at, _)) = &state.doubt.suspect else { return true };
        let same = *at == position
            && state.replica.position() == position
            && state.replica.data() == Some(&snapshot.data);
        if same {
            tracing::warn!(object = %object.url, "the Reporter makes other digests of the same data; they are ignored from now on");
            state.doubt.unusable = true;
            state.doubt.suspect = None;
        }
        !same
    }

    /// After a whole state took the place of a copy: tells the observers here what data they must have at its
    /// position, if that is known. Who has other data fetches it.
    pub(crate) fn tell_replaced(&self, object: &Observed, state: &mut State, position: Position) {
        let suspect = state.doubt.suspect.take();
        let digest = suspect.filter(|(at, _)| *at == position).map(|(_, digest)| digest);
        if digest.is_none() || state.observers.is_empty() {
            return self.tell_position(object, state, position);
        }
        let (from, to) = (object.url.as_url(), object.url.changes());
        let beat = UpdateBody::beat(position, digest);
        self.bus().release(&self.bus().new_message(MessageType::Update, from, &to, beat));
    }
}
