//! The observer's side of the history: order, duplicates, gaps, repair, epochs.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_model::Position;
use hyperty_model::change::{Change, ChangeOp, apply, diff};
use hyperty_model::log::{ChangeLog, LogLimits};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::replica::{GapLimits, Hold, Need, Received, Replaced, Replica};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::json::{Edit, data, edit};

/// What a reporter did: its updates, and its data at each position.
#[derive(Debug, Clone)]
struct History {
    updates: Vec<Arc<UpdateBody>>,
    states: BTreeMap<Position, Value>,
}

impl History {
    fn new(first: Value, edits: &[Edit], takeover: Option<usize>) -> History {
        let mut position = Position::default();
        let mut history =
            History { updates: Vec::new(), states: BTreeMap::from([(position, first.clone())]) };
        let mut document = first;
        for (at, edit) in edits.iter().enumerate() {
            if takeover == Some(at) {
                position = Position::new(position.epoch + 1, position.version);
            }
            let mut after = document.clone();
            edit.make(&mut after);
            let kinds = diff(&document, &after).into_iter().map(UpdateKind::Change);
            let metadata = UpdateKind::Metadata { attribute: "name".into(), value: json!(at) };
            for kind in kinds.chain((at % 4 == 0).then_some(metadata)) {
                if let UpdateKind::Change(change) = &kind {
                    apply(&mut document, change).unwrap();
                }
                position = position.next();
                history.updates.push(Arc::new(UpdateBody::new(kind).at(position)));
                history.states.insert(position, document.clone());
            }
        }
        history
    }

    fn end(&self) -> (Position, &Value) {
        let (&position, data) = self.states.last_key_value().unwrap();
        (position, data)
    }

    fn first(&self) -> &Value {
        &self.states[&Position::default()]
    }

    fn log(&self, changes: usize) -> ChangeLog {
        let mut log = ChangeLog::new(LogLimits { changes, ..LogLimits::default() });
        for update in &self.updates {
            log.push(update.position().unwrap(), Arc::clone(update));
        }
        log
    }
}

fn history(takeover: impl Strategy<Value = Option<usize>>) -> impl Strategy<Value = History> {
    (data(), prop::collection::vec(edit(), 1..12), takeover)
        .prop_map(|(first, edits, takeover)| History::new(first, &edits, takeover))
}

/// An observer: a replica, and what it passed on.
struct Observer {
    replica: Replica,
    released: Vec<Position>,
    /// Where it was last given a whole state.
    based: Position,
}

impl Observer {
    fn waiting(limits: GapLimits) -> Observer {
        Observer { replica: Replica::waiting(limits), released: Vec::new(), based: Position::default() }
    }

    fn live(history: &History, limits: GapLimits) -> Observer {
        let replica = Replica::live(Position::default(), Some(history.first().clone()), limits);
        Observer { replica, ..Observer::waiting(limits) }
    }

    /// What is passed on follows what was passed on before, or the last whole state, without hole.
    fn release(&mut self, updates: impl IntoIterator<Item = Arc<UpdateBody>>) {
        for update in updates {
            let position = update.position().unwrap();
            let before =
                self.released.last().copied().filter(|&last| last > self.based).unwrap_or(self.based);
            assert_eq!(position, before.next());
            self.released.push(position);
        }
    }

    fn update(&mut self, update: &Arc<UpdateBody>) -> Received {
        let received = self.replica.on_update(update);
        if let Received::Applied { then } = &received {
            self.release([Arc::clone(update)].into_iter().chain(then.iter().cloned()));
        }
        received
    }

    fn snapshot(&mut self, position: Position, data: &Value) -> bool {
        match self.replica.on_snapshot(position, Some(data.clone())) {
            Replaced::Replaced { then } => {
                self.based = position;
                self.release(then);
                true
            }
            Replaced::Stale => false,
        }
    }

    /// One repair as the reporter's side answers it: the changes if its log has them, else a snapshot.
    fn repair(&mut self, history: &History, log: &ChangeLog) -> bool {
        let (end, data) = history.end();
        match self.replica.need() {
            None => return false,
            Some(Need::Snapshot) => assert!(self.snapshot(end, data)),
            Some(Need::Since(position)) => match log.since(position) {
                Some(changes) => {
                    let released = self.replica.on_changes(end, &changes);
                    self.release(released);
                }
                None => assert!(self.snapshot(end, data)),
            },
        }
        true
    }

    fn is_right(&self, history: &History) -> bool {
        match self.replica.data() {
            Some(data) => history.states.get(&self.replica.position()) == Some(data),
            None => !self.replica.is_live(),
        }
    }
}

fn beat(history: &History) -> Arc<UpdateBody> {
    Arc::new(UpdateBody::beat(history.end().0, None))
}

fn limits() -> impl Strategy<Value = GapLimits> {
    prop_oneof![
        Just(GapLimits::default()),
        (0_usize..4).prop_map(|updates| GapLimits { updates, ..GapLimits::default() }),
        Just(GapLimits { bytes: 700, ..GapLimits::default() }),
    ]
}

/// What the network makes of a stream: each arrival is any of the updates, so that some come often, out of order or
/// not at all.
fn arrivals() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    /// INV-DOM-1: any order, any duplicates, nothing lost.
    #[test]
    fn inv_dom_1_every_order_leads_to_the_reporters_state(
        history in history(Just(None)),
        order in any::<prop::sample::Selector>(),
        twice in arrivals(),
    ) {
        let mut stream: Vec<_> = history.updates.iter().collect();
        if !stream.is_empty() {
            twice.iter().for_each(|index| stream.push(index.get(&history.updates)));
        }
        let mut observer = Observer::live(&history, GapLimits::default());
        while !stream.is_empty() {
            let at = order.select(0..stream.len());
            let before = observer.released.len();
            let received = observer.update(stream.swap_remove(at));
            prop_assert_eq!(matches!(received, Received::Applied { .. }), observer.released.len() > before);
            prop_assert!(observer.is_right(&history));
        }
        prop_assert_eq!(observer.replica.need(), None);
        prop_assert_eq!(observer.replica.held(), 0);
        prop_assert_eq!((observer.replica.position(), observer.replica.data().unwrap()), history.end());
        prop_assert_eq!(observer.released.len(), history.updates.len());
    }

    /// INV-DOM-2, INV-EXT-1, INV-EXT-2: whatever is lost, after the next beat one repair is enough; by changes or
    /// by a snapshot.
    #[test]
    fn inv_dom_2_one_repair_restores_what_was_lost(
        history in history(Just(None)),
        arrivals in arrivals(),
        limits in limits(),
        waits in any::<bool>(),
        kept in 0_usize..12,
    ) {
        let mut observer =
            if waits { Observer::waiting(limits) } else { Observer::live(&history, limits) };
        for index in arrivals.iter().filter(|_| !history.updates.is_empty()) {
            observer.update(index.get(&history.updates));
            prop_assert!(observer.is_right(&history));
            prop_assert!(observer.replica.held() <= limits.updates);
        }
        observer.update(&beat(&history));
        let log = history.log(kept);
        observer.repair(&history, &log);
        prop_assert!(!observer.repair(&history, &log), "one repair is enough");
        prop_assert_eq!((observer.replica.position(), observer.replica.data().unwrap()), history.end());
        let again = observer.update(&beat(&history));
        prop_assert_eq!(again, Received::Duplicate);
    }

    /// INV-DOM-4, INV-SUB-1: snapshots of any age may come at any time; the copy is always a state that was.
    #[test]
    fn inv_dom_4_snapshots_and_updates_never_mix(
        history in history(prop::option::of(1_usize..6)),
        steps in prop::collection::vec((any::<bool>(), any::<Index>()), 1..60),
        limits in limits(),
    ) {
        let mut observer = Observer::waiting(limits);
        let states: Vec<_> = history.states.iter().collect();
        for (is_snapshot, index) in steps {
            let before = observer.replica.position();
            let live = observer.replica.is_live();
            if is_snapshot {
                let (&position, data) = *index.get(&states);
                let replaced = observer.snapshot(position, data);
                prop_assert_eq!(replaced, !live || position >= before);
            } else if !history.updates.is_empty() {
                observer.update(index.get(&history.updates));
            }
            prop_assert!(observer.is_right(&history));
            prop_assert!(observer.replica.position() >= before);
        }
    }

    /// INV-UPD-2, the fence of 3.4: after a takeover nothing of the former reporter is applied, however it comes.
    #[test]
    fn inv_upd_2_a_former_reporter_is_fenced(
        history in history(Just(Some(3))),
        stray in prop::collection::vec((0_u64..40, edit()), 1..10),
        kept in 0_usize..12,
    ) {
        let (end, _) = history.end();
        prop_assume!(end.epoch == 1);
        let mut observer = Observer::live(&history, GapLimits::default());
        for update in &history.updates {
            let received = observer.update(update);
            if update.epoch == Some(1) {
                let held = matches!(received, Received::Held { why: Hold::Epoch, .. });
                prop_assert!(held, "{:?}", received);
            }
        }
        observer.repair(&history, &history.log(kept));
        prop_assert_eq!((observer.replica.position(), observer.replica.data().unwrap()), history.end());
        for (version, _) in stray {
            let change = Change::new("stray", ChangeOp::Set(json!(version)));
            let update = Arc::new(UpdateBody::change(Position::new(0, version), change));
            prop_assert_eq!(observer.update(&update), Received::Fenced);
        }
        prop_assert_eq!((observer.replica.position(), observer.replica.data().unwrap()), history.end());
    }
}

fn set(version: u64, path: &str, value: Value) -> Arc<UpdateBody> {
    let change = Change::new(path, ChangeOp::Set(value));
    Arc::new(UpdateBody::change(Position::new(0, version), change))
}

fn at(version: u64) -> Replica {
    Replica::live(Position::new(0, version), Some(json!({})), GapLimits::default())
}

#[test]
fn a_change_that_does_not_fit_stops_the_copy_until_a_snapshot_comes() {
    let mut replica = at(4);
    assert_eq!(replica.on_update(&set(5, "a.b", json!(1))), Received::Diverged);
    assert_eq!((replica.position().version, replica.need()), (4, Some(Need::Snapshot)));
    let held = Received::Held { why: Hold::Divergence, full: false };
    assert_eq!(replica.on_update(&set(6, "a.c", json!(2))), held);
    assert_eq!(replica.on_changes(Position::new(0, 6), &[set(5, "a.b", json!(1))]), []);
    assert_eq!(replica.on_snapshot(Position::new(0, 3), Some(json!({}))), Replaced::Stale);
    // A snapshot from before the change: what was held fits it.
    let replaced = replica.on_snapshot(Position::new(0, 4), Some(json!({"a": {}})));
    assert!(matches!(replaced, Replaced::Replaced { then } if then.len() == 2));
    assert_eq!((replica.data(), replica.need()), (Some(&json!({"a": {"b": 1, "c": 2}})), None));
}

#[test]
fn what_waited_and_does_not_fit_is_not_passed_on() {
    let mut replica = at(4);
    replica.on_update(&set(6, "a.b", json!(1)));
    assert_eq!(replica.on_update(&set(5, "x", json!(1))), Received::Applied { then: vec![] });
    assert_eq!((replica.position().version, replica.need()), (5, Some(Need::Snapshot)));
}

#[test]
fn what_cannot_be_located_is_a_divergence_only_in_its_turn() {
    let unlocated = |version| Arc::new(UpdateBody::new(UpdateKind::Unlocated).at(Position::new(0, version)));
    let mut replica = at(4);
    assert_eq!(replica.on_update(&unlocated(4)), Received::Duplicate);
    assert!(matches!(replica.on_update(&unlocated(6)), Received::Held { why: Hold::Gap, .. }));
    assert_eq!(replica.on_update(&unlocated(5)), Received::Diverged);
}

/// INV-EXT-3: a wrong copy is found by the holder of the digests and healed by a snapshot of the same version.
#[test]
fn inv_ext_3_a_copy_found_wrong_is_replaced_at_the_same_version() {
    let mut replica = at(4);
    replica.mark_diverged();
    assert_eq!(replica.need(), Some(Need::Snapshot));
    assert!(matches!(
        replica.on_update(&set(5, "a", json!(1))),
        Received::Held { why: Hold::Divergence, .. }
    ));
    replica.on_snapshot(Position::new(0, 4), Some(json!({"b": 2})));
    assert_eq!((replica.data(), replica.need()), (Some(&json!({"a": 1, "b": 2})), None));
}

#[test]
fn a_beat_tells_of_a_lost_last_change_and_is_forgotten_once_answered() {
    let beat = |version| Arc::new(UpdateBody::beat(Position::new(0, version), None));
    let mut replica = at(4);
    assert_eq!(replica.on_update(&beat(4)), Received::Duplicate);
    assert_eq!(replica.on_update(&beat(9)), Received::Behind);
    assert_eq!(replica.need(), Some(Need::Since(Position::new(0, 4))));
    // The reporter's side stands at 5: whatever the beat said, there is no more.
    assert_eq!(replica.on_changes(Position::new(0, 5), &[set(5, "a", json!(1))]).len(), 1);
    assert_eq!((replica.position().version, replica.need()), (5, None));
}

/// The newest are kept: they are what a snapshot that is on its way may lack.
#[test]
fn when_no_more_can_be_held_the_oldest_go() {
    let mut replica = Replica::waiting(GapLimits { updates: 2, ..GapLimits::default() });
    for version in 5..=8 {
        let full = version > 6;
        let held = Received::Held { why: Hold::FirstSnapshot, full };
        assert_eq!(replica.on_update(&set(version, "a", json!(version))), held);
    }
    let replaced = replica.on_snapshot(Position::new(0, 6), Some(json!({})));
    assert!(matches!(replaced, Replaced::Replaced { then } if then.len() == 2));
    assert_eq!((replica.position().version, replica.need()), (8, None));
}

#[test]
fn an_incomplete_answer_leaves_the_need() {
    let mut replica = at(4);
    replica.on_update(&set(8, "a", json!(8)));
    let released = replica.on_changes(Position::new(0, 8), &[set(5, "a", json!(5)), set(7, "a", json!(7))]);
    assert_eq!(released.len(), 1);
    assert_eq!(replica.need(), Some(Need::Since(Position::new(0, 5))));
}

#[test]
fn changes_of_an_answer_have_its_epoch() {
    let mut replica = Replica::live(Position::new(3, 4), None, GapLimits::default());
    assert_eq!(replica.on_update(&set(5, "a", json!(1))), Received::Fenced);
    assert_eq!(replica.on_changes(Position::new(3, 5), &[set(5, "a", json!(1))]).len(), 1);
    assert_eq!(replica.position(), Position::new(3, 5));
}

#[test]
fn updates_without_version_are_taken_as_the_next_one() {
    let change = |value| UpdateKind::Change(Change::new("a", ChangeOp::Set(json!(value))));
    let update = Arc::new(UpdateBody::new(change(1)));
    let mut replica = at(4);
    assert_eq!(replica.on_update(&update), Received::Applied { then: vec![] });
    assert_eq!(replica.position().version, 5);

    let mut replica = Replica::waiting(GapLimits::default());
    assert_eq!(replica.on_update(&update), Received::Held { why: Hold::FirstSnapshot, full: false });
    replica.on_snapshot(Position::new(0, 7), Some(json!({})));
    assert_eq!(replica.need(), Some(Need::Since(Position::new(0, 7))), "it may be in the snapshot, or not");
    replica.on_snapshot(Position::new(0, 7), Some(json!({})));
    assert_eq!(replica.need(), None);
}

#[test]
fn hostile_versions_do_no_harm() {
    let mut replica = at(4);
    assert!(matches!(replica.on_update(&set(u64::MAX, "a", json!(1))), Received::Held { .. }));
    replica.on_snapshot(Position::new(0, u64::MAX), Some(json!({})));
    assert_eq!(replica.on_update(&set(u64::MAX, "a", json!(1))), Received::Duplicate);
    assert_eq!(replica.position().next(), replica.position());
}

#[test]
fn status_words_are_no_changes() {
    let status = Arc::new(UpdateBody::new(UpdateKind::Status(json!("live"))));
    assert_eq!(at(4).on_update(&status), Received::Unrelated);
    assert_eq!(Replica::waiting(GapLimits::default()).on_update(&status), Received::Unrelated);
}
