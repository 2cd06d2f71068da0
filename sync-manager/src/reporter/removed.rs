//! Who was removed from the observers of an object (protocol 5.7), and who is being decided about. Pure tables.

use std::collections::BTreeMap;

use hyperty_model::{HypertyUrl, Identity, RuntimeUrl, Timestamp};
use hyperty_storage::Subscriber;

/// Hyperties that were removed. What is here is in the store too, in the place of what was kept of the observer.
#[derive(Default)]
pub(crate) struct Removed(BTreeMap<HypertyUrl, Gone>);

/// One that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) at: Timestamp,
    /// Where it was.
    pub(crate) runtime: Option<RuntimeUrl>,
    /// Whether its runtime, or the message node, still has to hear of it.
    pub(crate) untold: bool,
}

impl Removed {
    /// Notes one; gives those that have to be forgotten for it, the earliest first.
    pub(crate) fn add(&mut self, hyperty: HypertyUrl, gone: Gone, max: usize) -> Vec<HypertyUrl> {
        self.0.insert(hyperty.clone(), gone);
        let mut forgotten = Vec::new();
        while self.0.len() > max {
            let others = self.0.iter().filter(|(other, _)| **other != hyperty);
            let Some(first) = others.min_by_key(|(other, gone)| (gone.at, *other)) else { break };
            let first = first.0.clone();
            self.0.remove(&first);
            forgotten.push(first);
        }
        forgotten
    }

    /// One of the store.
    pub(crate) fn restore(&mut self, subscriber: Subscriber) {
        let Subscriber { hyperty, runtime, removed, untold, .. } = subscriber;
        if let Some(at) = removed {
            self.0.insert(hyperty, Gone { at, runtime, untold });
        }
    }

    /// It may observe again.
    pub(crate) fn pardon(&mut self, hyperty: &HypertyUrl) {
        self.0.remove(hyperty);
    }

    /// It asks anew, and may: what it had is over, and a farewell that reaches it now would end what it is about to get.
    pub(crate) fn begins_anew(&mut self, hyperty: &HypertyUrl) {
        if let Some(gone) = self.0.get_mut(hyperty) {
            gone.untold = false;
        }
    }

    pub(crate) fn contains(&self, hyperty: &HypertyUrl) -> bool {
        !self.0.is_empty() && self.0.contains_key(hyperty)
    }

    pub(crate) fn get(&self, hyperty: &HypertyUrl) -> Option<&Gone> {
        self.0.get(hyperty)
    }

    /// Its runtime has heard; gives what the store is to keep now, unless it was removed anew since `at` or is back.
    pub(crate) fn told(&mut self, hyperty: &HypertyUrl, at: Timestamp) -> Option<Subscriber> {
        let gone = self.0.get_mut(hyperty).filter(|gone| gone.at == at && gone.untold)?;
        gone.untold = false;
        Some(subscriber(hyperty, gone))
    }

    /// Those whose runtime still has to hear of it, all or those of one runtime.
    pub(crate) fn untold(&self, of: Option<&RuntimeUrl>) -> Vec<HypertyUrl> {
        let all = self.0.iter().filter(|(_, gone)| gone.untold);
        let wanted = all.filter(|(_, gone)| of.is_none_or(|runtime| gone.runtime.as_ref() == Some(runtime)));
        wanted.map(|(hyperty, _)| hyperty.clone()).collect()
    }

    /// What the store keeps.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = Subscriber> {
        self.0.iter().map(|(hyperty, gone)| subscriber(hyperty, gone))
    }

    pub(crate) fn subscriber(&self, hyperty: &HypertyUrl) -> Option<Subscriber> {
        self.0.get(hyperty).map(|gone| subscriber(hyperty, gone))
    }
}

fn subscriber(hyperty: &HypertyUrl, gone: &Gone) -> Subscriber {
    Subscriber {
        runtime: gone.runtime.clone(),
        removed: Some(gone.at),
        untold: gone.untold,
        ..Subscriber::new(hyperty.clone())
    }
}

/// Applicants of whom it is being decided whether they may observe: they can leave, or be removed, before they do. Each
/// subscription has its own entry, as several of one hyperty may be under way. Bounded by the number of procedures.
#[derive(Default)]
pub(crate) struct Deciding {
    entries: Vec<Undecided>,
    next: u64,
}

/// A subscription that is being decided.
struct Undecided {
    number: u64,
    hyperty: HypertyUrl,
    runtime: Option<RuntimeUrl>,
    identity: Option<Identity>,
    left: bool,
}

impl Deciding {
    /// Gives the number by which it ends.
    pub(crate) fn begin(
        &mut self,
        hyperty: &HypertyUrl,
        runtime: &Option<RuntimeUrl>,
        identity: &Option<Identity>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.entries.push(Undecided {
            number,
            hyperty: hyperty.clone(),
            runtime: runtime.clone(),
            identity: identity.clone(),
            left: false,
        });
        number
    }

    /// It is decided. True if the hyperty has left meanwhile: then the decision is nobody's.
    pub(crate) fn end(&mut self, number: u64) -> bool {
        let at = self.entries.iter().position(|entry| entry.number == number);
        at.is_some_and(|at| self.entries.swap_remove(at).left)
    }

    pub(crate) fn contains(&self, hyperty: &HypertyUrl) -> bool {
        self.find(hyperty).is_some()
    }

    /// Where it asks from, and for whom.
    pub(crate) fn find(&self, hyperty: &HypertyUrl) -> Option<(&Option<RuntimeUrl>, &Option<Identity>)> {
        let entry = self.entries.iter().find(|entry| entry.hyperty == *hyperty && !entry.left)?;
        Some((&entry.runtime, &entry.identity))
    }

    /// It leaves before it was let in.
    pub(crate) fn call_off(&mut self, hyperty: &HypertyUrl) {
        for entry in self.entries.iter_mut().filter(|entry| entry.hyperty == *hyperty) {
            entry.left = true;
        }
    }

    /// The session of these has ended.
    pub(crate) fn call_off_all_of(&mut self, runtime: &RuntimeUrl) {
        for entry in self.entries.iter_mut().filter(|entry| entry.runtime.as_ref() == Some(runtime)) {
            entry.left = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: u8) -> HypertyUrl {
        HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap()
    }

    fn gone(at: u64) -> Gone {
        Gone { at: Timestamp::from_millis(at), runtime: None, untold: true }
    }

    #[test]
    fn the_first_ones_are_forgotten_and_never_the_last() {
        let mut removed = Removed::default();
        assert_eq!(removed.add(who(1), gone(5), 2), []);
        assert_eq!(removed.add(who(2), gone(3), 2), []);
        assert_eq!(removed.add(who(3), gone(4), 2), [who(2)]);
        // A clock that was set back does not make a removal void.
        assert_eq!(removed.add(who(4), gone(0), 2), [who(3)]);
        assert!(removed.contains(&who(4)) && removed.contains(&who(1)));
    }

    #[test]
    fn what_is_kept_comes_back_and_is_told_once() {
        let mut removed = Removed::default();
        removed.add(who(1), gone(5), 9);
        let mut restored = Removed::default();
        removed.subscribers().for_each(|subscriber| restored.restore(subscriber));
        assert_eq!(restored.get(&who(1)), removed.get(&who(1)));
        assert_eq!(restored.untold(None), [who(1)]);
        assert!(restored.told(&who(1), Timestamp::from_millis(4)).is_none());
        assert!(!restored.told(&who(1), Timestamp::from_millis(5)).unwrap().untold);
        assert!(restored.told(&who(1), Timestamp::from_millis(5)).is_none());
        restored.restore(Subscriber::new(who(2)));
        assert!(!restored.contains(&who(2)));
    }

    #[test]
    fn each_subscription_is_decided_by_itself() {
        let mut deciding = Deciding::default();
        let first = deciding.begin(&who(1), &None, &None);
        let second = deciding.begin(&who(1), &None, &None);
        assert!(!deciding.end(first));
        assert!(deciding.contains(&who(1)));
        deciding.call_off(&who(1));
        assert!(!deciding.contains(&who(1)), "it has left");
        let third = deciding.begin(&who(1), &None, &None);
        assert!(deciding.end(second), "it left while this one was decided");
        assert!(!deciding.end(third), "and asked again later");
        assert!(!deciding.contains(&who(1)));
    }
}
