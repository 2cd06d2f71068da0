//! Children: who may do what, convergence, ids, snapshots.

use std::collections::BTreeSet;

use hyperty_model::change::{Change, ChangeOp};
use hyperty_model::message::{UpdateBody, UpdateKind};
use hyperty_model::object::{
    ChildEntry, ChildId, ChildOutcome, ChildRefusal, ChildValue, Children, Merged, MergedAs, Trust,
};
use hyperty_model::{ChildrenName, HypertyUrl, Position, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

pub(crate) fn hyperty(number: usize) -> HypertyUrl {
    HypertyUrl::parse(&format!("hyperty://example.com/h{number}")).unwrap()
}

pub(crate) fn name(text: &str) -> ChildrenName {
    ChildrenName::new(text).unwrap()
}

pub(crate) fn entry(id: &ChildId, reporter: &HypertyUrl, data: Value) -> ChildEntry {
    ChildValue::new(id.clone(), reporter.clone(), data).into()
}

pub(crate) fn update(version: u64, kind: UpdateKind) -> UpdateBody {
    UpdateBody::new(kind).at(Position::new(0, version))
}

pub(crate) fn set(version: u64, path: &str, value: Value) -> UpdateBody {
    update(version, UpdateKind::Change(Change::new(path, ChangeOp::Set(value))))
}

/// One operation as it travels.
#[derive(Debug, Clone)]
struct Operation {
    name: ChildrenName,
    writer: HypertyUrl,
    id: ChildId,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Create(Value),
    Update(UpdateBody),
    Delete,
}

impl Operation {
    fn on(&self, children: &mut Children) -> Result<ChildOutcome, ChildRefusal> {
        let Operation { name, writer, id, what } = self;
        match what {
            What::Create(data) => children.create(name, entry(id, writer, data.clone())),
            What::Update(body) => children.update(name, id.as_str(), writer, body),
            What::Delete => children.delete(name, id.as_str(), writer),
        }
    }

    fn by(&self, writer: &HypertyUrl) -> Operation {
        Operation { writer: writer.clone(), ..self.clone() }
    }
}

/// What a few hyperties did with their own children, each on a table of its own first.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let step = (0_usize..3, any::<bool>(), 0_u8..8, any::<Index>());
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let mut children = Children::default();
        let mut done = Vec::new();
        for (at, (number, notes, kind, which)) in steps.into_iter().enumerate() {
            let writer = hyperty(number);
            let name = name(if notes { "notes" } else { "files" });
            let own: Vec<_> =
                children.iter().filter(|(n, _, e)| **n == name && e.value.reporter == writer).collect();
            let one = (!own.is_empty()).then(|| own[which.index(own.len())]);
            let (id, what) = match one {
                Some((_, id, _)) if kind == 0 => (id.clone(), What::Delete),
                Some((_, id, e)) if kind < 3 => {
                    let whole = UpdateKind::Whole(json!({"whole": at}));
                    (id.clone(), What::Update(update(e.value.version + 1, whole)))
                }
                Some((_, id, e)) if kind < 6 => {
                    (id.clone(), What::Update(set(e.value.version + 1, "step", json!(at))))
                }
                _ => {
                    let number = children.next_number(&name, &writer);
                    (ChildId::of(&writer, number), What::Create(json!({"made": at})))
                }
            };
            let operation = Operation { name, writer, id, what };
            assert_eq!(operation.on(&mut children), Ok(ChildOutcome::Applied));
            done.push(operation);
        }
        done
    })
}

fn all(operations: &[Operation]) -> Children {
    let mut children = Children::default();
    operations.iter().for_each(|operation| drop(operation.on(&mut children)));
    children
}

pub(crate) fn live(children: &Children) -> Vec<(&ChildrenName, &ChildId, &ChildEntry)> {
    children.iter().collect()
}

pub(crate) fn through_json(children: &Children) -> Children {
    serde_json::from_str(&serde_json::to_string(children).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// INV-CHD-1: whatever came first and however often, once the writers have sent all again (M18) everybody
    /// holds the same children.
    #[test]
    fn inv_chd_1_all_participants_end_with_the_same_children(
        operations in operations(),
        early in prop::collection::vec(any::<Index>(), 0..60),
    ) {
        let mut children = Children::default();
        for index in early {
            drop(index.get(&operations).on(&mut children));
        }
        for operation in &operations {
            drop(operation.on(&mut children));
        }
        let expected = all(&operations);
        prop_assert_eq!(live(&children), live(&expected));
        for operation in &operations {
            let again = operation.on(&mut children);
            prop_assert!(
                matches!(again, Ok(ChildOutcome::Duplicate) | Err(ChildRefusal::Deleted)),
                "{operation:?}: {again:?}"
            );
        }
    }

    /// INV-CHD-2: nobody but the reporter of a child changes anything, whatever it sends.
    #[test]
    fn inv_chd_2_others_change_nothing(operations in operations(), stranger in 0_usize..5) {
        let mut children = Children::default();
        for operation in &operations {
            let stranger = hyperty(stranger);
            if operation.writer != stranger {
                let before = children.clone();
                let result = operation.by(&stranger).on(&mut children);
                // What is deleted is deleted, whoever says so.
                prop_assert!(!matches!(result, Ok(ChildOutcome::Applied)), "{operation:?}");
                prop_assert_eq!(live(&children), live(&before));
            }
            prop_assert_eq!(operation.on(&mut children), Ok(ChildOutcome::Applied));
        }
    }

    /// INV-DOM-5, INV-CHD-7: ids are never used twice, across restarts and however many were deleted meanwhile.
    #[test]
    fn inv_dom_5_a_number_is_never_given_twice(
        steps in prop::collection::vec((0_usize..2, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let notes = name("notes");
        let mut children = Children::default();
        let mut given = BTreeSet::new();
        for (number, delete, restart) in steps {
            let writer = hyperty(number);
            let id = ChildId::of(&writer, children.next_number(&notes, &writer));
            prop_assert!(given.insert(id.clone()), "{id} was given before");
            children.create(&notes, entry(&id, &writer, json!({}))).unwrap();
            if delete {
                children.delete(&notes, id.as_str(), &writer).unwrap();
            }
            if restart {
                children = through_json(&children);
            }
        }
    }

    /// INV-CHD-4, and the storage's half of INV-DOM-6: the form that is sent and stored says everything.
    #[test]
    fn children_survive_the_wire(operations in operations()) {
        let children = all(&operations);
        let read = through_json(&children);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&children).unwrap());
        prop_assert_eq!(live(&read), live(&children));
        for operation in &operations {
            let table = |children: &Children| children.table(&operation.name).unwrap().is_deleted(&operation.id);
            prop_assert_eq!(table(&read), table(&children));
        }
    }

    /// M18, 3.2: a snapshot taken at any moment, merged at any later one, loses nothing and revives nothing.
    #[test]
    fn inv_chd_1_a_snapshot_of_any_age_can_be_merged(
        operations in operations(),
        cut in any::<Index>(),
        stops in prop::collection::vec(prop::option::of(0_usize..40), 8),
    ) {
        // The hub has taken in the first operations. The participant has heard the first ones about each child,
        // up to a moment that differs from child to child.
        let cut = cut.index(operations.len() + 1);
        let hub = all(&operations[..cut]);
        let heard = |at: usize, operation: &Operation| {
            let child = operation.id.as_str().bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
            stops[child % stops.len()].is_none_or(|stop| at < stop)
        };
        let (known, unknown): (Vec<_>, Vec<_>) =
            operations.iter().enumerate().partition(|(at, operation)| heard(*at, operation));
        let mut mine = Children::default();
        known.iter().for_each(|(_, operation)| drop(operation.on(&mut mine)));
        let late = known.iter().filter(|(at, _)| *at >= cut);
        let keep = late.map(|(_, operation)| (operation.name.clone(), operation.id.clone())).collect();

        let before = mine.clone();
        let changes = mine.merge(through_json(&hub), &keep);
        prop_assert_eq!(changes, differences(&before, &mine));
        for (_, operation) in unknown.iter().filter(|(at, _)| *at >= cut) {
            drop(operation.on(&mut mine));
        }
        let expected = all(&operations);
        prop_assert_eq!(live(&mine), live(&expected));
        // Whatever comes once more, and late, revives nothing.
        for operation in operations.iter().filter(|operation| !matches!(operation.what, What::Delete)) {
            drop(operation.on(&mut mine));
        }
        prop_assert_eq!(live(&mine), live(&expected));
    }

    /// M18: a snapshot that is believed takes the place of what is here, except for what is kept and what was
    /// deleted; one that may be old takes nothing away but what it knows to be deleted.
    #[test]
    fn inv_chd_1_how_far_a_snapshot_is_believed(
        operations in operations(),
        (theirs, mine) in (any::<Index>(), any::<Index>()),
        kept in prop::option::of(any::<Index>()),
    ) {
        let some = |skip: Index| {
            let skip = skip.index(operations.len() + 1);
            let mut children = Children::default();
            let others = operations.iter().enumerate().filter(|(at, _)| *at != skip && *at % 3 != skip % 3);
            others.for_each(|(_, operation)| drop(operation.on(&mut children)));
            children
        };
        let (theirs, before) = (some(theirs), some(mine));
        let kept = kept.map(|at| &operations[at.index(operations.len().max(1)).min(operations.len() - 1)].id);
        let deleted = |children: &Children, name: &ChildrenName, id: &ChildId| {
            children.table(name).is_some_and(|table| table.is_deleted(id))
        };

        let mut right = before.clone();
        let changes = right.merge_trusting(theirs.clone(), |_, id| {
            if Some(id) == kept { Trust::MayBeOld } else { Trust::IsRight }
        });
        prop_assert_eq!(changes, differences(&before, &right));
        for (name, id, entry) in theirs.iter().filter(|(_, id, _)| Some(*id) != kept) {
            let expected = (!deleted(&before, name, id)).then_some(entry);
            prop_assert_eq!(right.get(name, id.as_str()), expected);
        }
        for (name, id, _) in right.iter().filter(|(_, id, _)| Some(*id) != kept) {
            prop_assert!(theirs.get(name, id.as_str()).is_some());
        }

        let mut careful = before.clone();
        let changes = careful.merge_trusting(theirs.clone(), |_, _| Trust::MayBeOld);
        prop_assert_eq!(changes, differences(&before, &careful));
        for (name, id, entry) in before.iter().filter(|(name, id, _)| !deleted(&theirs, name, id)) {
            let left = careful.get(name, id.as_str());
            prop_assert!(left.is_some_and(|left| left.value.version >= entry.value.version));
        }
    }
}

fn differences(before: &Children, after: &Children) -> Vec<Merged> {
    let of = |children: &Children| -> BTreeSet<_> {
        children.iter().map(|(name, id, _)| (name.clone(), id.clone())).collect()
    };
    let (old, new) = (of(before), of(after));
    let what = |(name, id): &(ChildrenName, ChildId)| match (
        before.get(name, id.as_str()),
        after.get(name, id.as_str()),
    ) {
        (None, Some(_)) => Some(MergedAs::Created),
        (Some(_), None) => Some(MergedAs::Deleted),
        (old, new) if old == new => None,
        (Some(old), Some(new)) if new.value.version < old.value.version => Some(MergedAs::Replaced),
        _ => Some(MergedAs::Updated),
    };
    old.union(&new)
        .filter_map(|key| {
            let what = what(key)?;
            let gone = matches!(what, MergedAs::Deleted | MergedAs::Replaced);
            let former = before.get(&key.0, key.1.as_str()).filter(|_| gone).cloned();
            Some(Merged { what, name: key.0.clone(), id: key.1.clone(), former })
        })
        .collect()
}

/// INV-CHD-1: what its writer made under a version that was lost is not what others have of that version.
#[test]
fn another_operation_under_a_version_that_is_there_is_not_taken_for_it() {
    let (notes, bob) = (name("notes"), hyperty(1));
    let id = ChildId::of(&bob, 1);
    let mut children = Children::default();
    children.create(&notes, entry(&id, &bob, json!({}))).unwrap();
    let made = |number: u64| UpdateBody {
        last_modified: Some(Timestamp::from_millis(number)),
        ..set(1, "n", json!(number))
    };
    let mut tell = |body: &UpdateBody| children.update(&notes, id.as_str(), bob.as_url(), body);
    assert_eq!(tell(&made(1_000)), Ok(ChildOutcome::Applied));
    assert_eq!(tell(&made(1_000)), Ok(ChildOutcome::Duplicate), "sent again");
    assert_eq!(tell(&set(1, "n", json!(1_000))), Ok(ChildOutcome::Duplicate), "by an older peer");
    assert_eq!(tell(&made(2_000)), Err(ChildRefusal::Gap), "another one");
    assert_eq!(children.get(&notes, id.as_str()).unwrap().value.data, json!({"n": 1_000}));
}
