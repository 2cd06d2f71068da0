//! Operations on children that are taken in and not yet to be seen (protocol 5.9, INV-DOM-7).

use std::collections::BTreeMap;

use super::{ChildEntry, ChildId, Children};
use crate::ChildrenName;

/// What the children were like before operations that wait to be durable.
///
/// [`Children`] has every operation taken in; what others are shown of them goes through [`Unreleased::hide`]. Operations
/// on one child are released in the order in which they were noted.
#[derive(Debug, Clone, Default)]
pub struct Unreleased {
    touched: BTreeMap<(ChildrenName, ChildId), Before>,
}

/// One child with operations that wait.
#[derive(Debug, Clone)]
struct Before {
    /// What others are shown; `None` if there is no such child for them.
    shown: Option<ChildEntry>,
    /// How many operations wait.
    waiting: usize,
}

impl Unreleased {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// An operation on a child was taken in, and waits. `before` is the child as it was until then.
    pub fn note(&mut self, name: ChildrenName, id: ChildId, before: Option<ChildEntry>) {
        let of_child = self.touched.entry((name, id));
        of_child.or_insert(Before { shown: before, waiting: 0 }).waiting += 1;
    }

    /// The oldest operation on a child that waits may be seen now: `after` is what it made of the child.
    pub fn release(&mut self, name: &ChildrenName, id: &ChildId, after: Option<ChildEntry>) {
        let key = (name.clone(), id.clone());
        if let Some(before) = self.touched.get_mut(&key) {
            before.waiting -= 1;
            before.shown = after;
            if before.waiting == 0 {
                self.touched.remove(&key);
            }
        }
    }

    /// Makes of the children, or a copy of them, what others may see.
    pub fn hide(&self, children: &mut Children) {
        for ((name, id), before) in &self.touched {
            children.put_back(name, id, before.shown.clone());
        }
    }

    /// Nothing that waits will be durable: the children are again what others have seen.
    pub fn take_back(&mut self, children: &mut Children) {
        self.hide(children);
        self.touched.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::HypertyUrl;
    use crate::change::{Change, ChangeOp};
    use crate::message::{UpdateBody, UpdateKind};
    use crate::object::{ChildOutcome, ChildValue};

    /// Creates, changes or deletes the child of a number; what cannot be done changes nothing.
    fn operate(children: &mut Children, what: u8, number: u64) -> Option<(ChildrenName, ChildId)> {
        let name = ChildrenName::new("notes").unwrap();
        let alice = HypertyUrl::parse("hyperty://example.com/alice").unwrap();
        let id = ChildId::of(&alice, number);
        let outcome = match what {
            0 => children.create(&name, ChildValue::new(id.clone(), alice, json!({})).into()),
            1 => {
                let change = Change::new("n", ChangeOp::Set(json!(number)));
                let body = UpdateBody::new(UpdateKind::Change(change));
                children.update(&name, id.as_str(), alice.as_url(), &body)
            }
            _ => children.delete(&name, id.as_str(), &alice),
        };
        (outcome == Ok(ChildOutcome::Applied)).then_some((name, id))
    }

    proptest! {
        /// INV-DOM-7: others are shown what is released, whatever was taken in behind it.
        #[test]
        fn what_is_shown_has_the_released_operations_and_no_other(
            operations in prop::collection::vec((0..3_u8, 1..4_u64), 1..30), released in 0..30_usize,
        ) {
            let (mut ahead, mut unreleased, mut taken) =
                (Children::default(), Unreleased::default(), Vec::new());
            for &(what, number) in &operations {
                let mut tried = ahead.clone();
                let Some((name, id)) = operate(&mut tried, what, number) else { continue };
                unreleased.note(name.clone(), id.clone(), ahead.get(&name, id.as_str()).cloned());
                let after = tried.get(&name, id.as_str()).cloned();
                taken.push((what, number, name, id, after));
                ahead = tried;
            }
            let released = released.min(taken.len());
            let mut expected = Children::default();
            for (what, number, name, id, after) in &taken[..released] {
                operate(&mut expected, *what, *number);
                unreleased.release(name, id, after.clone());
            }
            let mut shown = ahead.clone();
            unreleased.hide(&mut shown);
            prop_assert_eq!(shown.digest(), expected.digest());
            prop_assert!(shown.iter().eq(expected.iter()));
            if released == taken.len() {
                prop_assert!(unreleased.is_empty());
            }
            unreleased.take_back(&mut ahead);
            prop_assert!(unreleased.is_empty() && ahead.iter().eq(expected.iter()));
            for (.., name, id, _) in &taken {
                let deleted = |children: &Children| children.table(name).is_some_and(|t| t.is_deleted(id));
                prop_assert_eq!(deleted(&ahead), deleted(&expected), "{}", id);
            }
        }
    }
}
