//! The Observer's copy: applied in order, each change once, without any I/O.

use std::sync::Arc;

use hyperty_model::change::apply;
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::Metadata;
use hyperty_model::replica::{GapLimits, Need, Received, Replaced, Replica};
use hyperty_model::{HypertyUrl, Position};
use serde_json::Value;

use crate::events::Queued;

/// The copy and where it stands. The order is the [`Replica`]'s matter; the data is kept here, so that it can be
/// looked at without holding up what arrives.
#[derive(Debug)]
pub(super) struct Copy {
    replica: Replica,
    /// The position of `data`; behind the replica's while something that did not fit waits for a snapshot.
    position: Position,
    data: Arc<Value>,
    metadata: Option<Metadata>,
}

/// A snapshot without its children.
pub(super) struct Base {
    pub(super) metadata: Metadata,
    pub(super) position: Position,
    pub(super) data: Value,
}

impl Copy {
    /// Keeps what arrives until the first snapshot, `held` of them at most.
    pub(super) fn waiting(held: usize) -> Copy {
        let limits = GapLimits { updates: held, ..GapLimits::default() };
        Copy {
            replica: Replica::waiting(limits),
            position: Position::default(),
            data: Arc::new(Value::Object(serde_json::Map::new())),
            metadata: None,
        }
    }

    pub(super) fn data(&self) -> &Arc<Value> {
        &self.data
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The latest position known to exist.
    pub(super) fn horizon(&self) -> Position {
        self.replica.horizon().max(self.position)
    }

    /// `None` before the first snapshot.
    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// What has to be asked for; nothing before the first snapshot, which is on its way.
    pub(super) fn need(&self) -> Option<Need> {
        self.metadata.as_ref().and_then(|_| self.replica.need())
    }

    /// Takes in an update, and tells what it and those that had waited for it did.
    pub(super) fn on_update(&mut self, update: &Arc<UpdateBody>, mut tell: impl FnMut(Queued)) {
        if !self.is_by_reporter(update) {
            return;
        }
        if let Received::Applied { then } = self.replica.on_update(update) {
            self.apply_all(std::iter::once(update).chain(&then), &mut tell);
        }
    }

    /// The copy was found wrong: a snapshot replaces it, and nothing is applied until then.
    pub(super) fn mark_wrong(&mut self) {
        self.replica.mark_diverged();
    }

    /// Takes over a snapshot, unless it is older than the copy.
    pub(super) fn on_snapshot(&mut self, base: Base, mut tell: impl FnMut(Queued)) {
        // A snapshot that was asked for something else, such as children.
        if self.metadata.is_some() && base.position == self.position && self.need().is_none() {
            return;
        }
        let Replaced::Replaced { then } = self.replica.on_snapshot(base.position, None) else { return };
        let first = self.metadata.is_none();
        (self.metadata, self.position, self.data) = (Some(base.metadata), base.position, Arc::new(base.data));
        if !first {
            tell(Queued::Resync(Arc::clone(&self.data), self.position));
        }
        self.apply_all(then.iter(), &mut tell);
    }

    /// Takes over changes that were missed.
    pub(super) fn on_changes(
        &mut self,
        to: Position,
        changes: Vec<UpdateBody>,
        mut tell: impl FnMut(Queued),
    ) {
        let changes: Vec<Arc<UpdateBody>> = changes.into_iter().map(Arc::new).collect();
        let released = self.replica.on_changes(to, &changes);
        // It may have gone on in the epoch of another Reporter.
        self.position.epoch = self.replica.position().epoch;
        self.apply_all(released.iter(), &mut tell);
    }

    /// Only the Reporter writes (INV-UPD-2). Who follows it is not known yet, and told by a snapshot.
    fn is_by_reporter(&self, update: &UpdateBody) -> bool {
        let (Some(metadata), Some(source)) = (&self.metadata, &update.source) else { return true };
        source == metadata.reporter.as_url() || update.epoch.unwrap_or(0) > self.position.epoch
    }

    fn apply_all<'a>(
        &mut self,
        updates: impl Iterator<Item = &'a Arc<UpdateBody>>,
        tell: &mut impl FnMut(Queued),
    ) {
        for update in updates {
            if !self.apply(update) {
                // What was released behind it is in the snapshot that comes.
                return self.replica.mark_diverged();
            }
            tell(Queued::Update(Arc::clone(update), self.position.version));
        }
    }

    fn apply(&mut self, update: &UpdateBody) -> bool {
        let Some(metadata) = &mut self.metadata else { return false };
        let fits = match &update.kind {
            UpdateKind::Change(change) => apply(Arc::make_mut(&mut self.data), change).is_ok(),
            UpdateKind::Metadata { attribute, value } => metadata.set(attribute, value).is_ok(),
            _ => false,
        };
        if fits {
            self.position = self.position.next();
            metadata.last_modified = update.last_modified.unwrap_or(metadata.last_modified);
        }
        fits
    }

    pub(super) fn reporter(&self) -> Option<&HypertyUrl> {
        self.metadata.as_ref().map(|metadata| &metadata.reporter)
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::change::{Change, ChangeOp};
    use hyperty_model::{Timestamp, Url, change};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn base(version: u64, data: Value) -> Base {
        let metadata = serde_json::from_value(json!({
            "url": "comm://a/o", "reporter": "hyperty://a/alice", "runtime": "hyperty-runtime://a/x",
            "schema": "hyperty-catalogue://a/s", "name": "o",
            "created": Timestamp::default(), "lastModified": Timestamp::default(),
        }));
        Base { metadata: metadata.unwrap(), position: Position::new(0, version), data }
    }

    fn update(version: u64, path: &str, value: Value) -> UpdateBody {
        UpdateBody::change(Position::new(0, version), Change::new(path, ChangeOp::Set(value)))
    }

    /// Folds what is told like an application that keeps a copy of its own.
    struct Application {
        data: Value,
        version: u64,
    }

    impl Application {
        fn hear(&mut self, event: Queued) {
            match event {
                Queued::Update(update, version) => {
                    assert_eq!(version, self.version + 1, "each change once, in order");
                    let UpdateKind::Change(change) = &update.kind else { panic!("only changes here") };
                    change::apply(&mut self.data, change).unwrap();
                    self.version = version;
                }
                Queued::Resync(data, at) => (self.data, self.version) = ((*data).clone(), at.version),
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        /// INV-SUB-1, INV-UPD-4, INV-DOM-1, INV-DOM-2: whatever is lost, doubled or out of order, with a repair
        /// whenever one is needed an application that only folds events has the Reporter's document in the end.
        #[test]
        fn folding_the_events_gives_the_document(
            arrivals in proptest::collection::vec((0_usize..30, any::<bool>()), 0..90),
            first in 0_u64..10,
        ) {
            let all: Vec<UpdateBody> = (1..=30).map(|v| update(v, &format!("k{}", v % 5), json!(v))).collect();
            let document = |version: u64| {
                let mut data = json!({});
                for body in &all[..version as usize] {
                    let UpdateKind::Change(change) = &body.kind else { unreachable!() };
                    change::apply(&mut data, change).unwrap();
                }
                data
            };
            let mut copy = Copy::waiting(256);
            let mut app = Application { data: document(first), version: first };
            let (before, after) = arrivals.split_at(arrivals.len() / 3);
            before.iter().for_each(|&(at, _)| copy.on_update(&Arc::new(all[at].clone()), |_| panic!("too early")));
            copy.on_snapshot(base(first, document(first)), |event| app.hear(event));
            // The Sync Manager has what it released.
            let mut reached = before.iter().map(|&(at, _)| at as u64 + 1).fold(first, u64::max);
            for &(at, by_changes) in after {
                copy.on_update(&Arc::new(all[at].clone()), |event| app.hear(event));
                reached = reached.max(at as u64 + 1);
                match copy.need() {
                    Some(Need::Since(since)) if by_changes => {
                        let missed = all[since.version as usize..reached as usize].to_vec();
                        copy.on_changes(Position::new(0, reached), missed, |event| app.hear(event));
                    }
                    Some(_) => copy.on_snapshot(base(reached, document(reached)), |event| app.hear(event)),
                    None => {}
                }
                prop_assert_eq!(&app.data, &**copy.data());
                prop_assert_eq!(app.version, copy.position().version);
                prop_assert_eq!(&app.data, &document(app.version));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_applied_and_a_snapshot_heals_it() {
        let mut copy = Copy::waiting(256);
        copy.on_snapshot(base(4, json!({"a": 1})), |_| panic!("the first snapshot is no event"));
        copy.on_update(&Arc::new(update(5, "b.c", json!(1))), |event| panic!("{event:?}"));
        assert_eq!((copy.position().version, copy.need()), (4, Some(Need::Snapshot)));
        let mut told = Vec::new();
        copy.on_snapshot(base(5, json!({"b": {"c": 1}})), |event| told.push(event));
        assert!(matches!(&told[..], [Queued::Resync(_, Position { version: 5, .. })]));
        assert_eq!((&**copy.data(), copy.need()), (&json!({"b": {"c": 1}}), None));
    }

    #[test]
    fn nobody_but_the_reporter_changes_the_copy_inv_upd_2() {
        let mut copy = Copy::waiting(256);
        copy.on_snapshot(base(0, json!({})), drop);
        let forged =
            UpdateBody { source: Url::parse("hyperty://a/mallory").ok(), ..update(1, "a", json!(1)) };
        copy.on_update(&Arc::new(forged), |event| panic!("{event:?}"));
        let renamed = UpdateKind::Metadata { attribute: "name".into(), value: json!("new") };
        let renamed = UpdateBody::new(renamed).at(Position::new(0, 1));
        copy.on_update(&Arc::new(renamed), drop);
        assert_eq!((copy.metadata().unwrap().name.as_str(), copy.position().version), ("new", 1));
    }
}
