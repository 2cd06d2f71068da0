//! Observers of this runtime that have left, until the Reporter's side has confirmed that (protocol 5.6). A pure table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperty_model::object::{Children, Metadata};
use hyperty_model::{ChildrenName, HypertyUrl, Identity, ObjectUrl, Position, Timestamp};
use hyperty_storage::{ObjectRecord, RecordStatus, Role, Subscriber};

/// Who has left what.
#[derive(Default)]
pub(crate) struct Leaves {
    objects: BTreeMap<ObjectUrl, LeftObject>,
    /// All of them, the first to leave first.
    by_age: BTreeSet<(Timestamp, u64, ObjectUrl, HypertyUrl)>,
    /// Numbers leaves, so that an answer to one ends no later one.
    next: u64,
}

#[derive(Default)]
struct LeftObject {
    about: Option<About>,
    left: BTreeMap<HypertyUrl, Left>,
    /// The Reporter's side is being told.
    telling: bool,
    pause: Option<Duration>,
}

/// What the record of an object needs that nobody observes any longer.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) metadata: Metadata,
    pub(crate) position: Position,
    pub(crate) names: Vec<ChildrenName>,
}

/// One that has left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Left {
    number: u64,
    at: Timestamp,
    pub(crate) identity: Option<Identity>,
    /// It had asked to be known after a restart; so is its leave.
    kept: bool,
}

/// A leave that was withdrawn because who had left asked to observe anew.
#[derive(Debug, Default)]
pub(crate) struct Withdrawn {
    /// What was known of the object.
    pub(crate) about: Option<About>,
    /// It was to be known after a restart.
    pub(crate) kept: bool,
}

impl Left {
    fn aged(&self, url: &ObjectUrl, hyperty: &HypertyUrl) -> (Timestamp, u64, ObjectUrl, HypertyUrl) {
        (self.at, self.number, url.clone(), hyperty.clone())
    }

    pub(super) fn subscriber(&self, hyperty: &HypertyUrl) -> Subscriber {
        Subscriber {
            identity: self.identity.clone(),
            left: Some(self.at),
            ..Subscriber::new(hyperty.clone())
        }
    }
}

impl Leaves {
    /// Notes that one has left. `about` is `None` for an object of which nothing is known here.
    pub(crate) fn add(
        &mut self,
        url: &ObjectUrl,
        about: Option<About>,
        hyperty: &HypertyUrl,
        identity: Option<Identity>,
        (at, kept): (Timestamp, bool),
    ) -> Left {
        self.next += 1;
        let left = Left { number: self.next, at, identity, kept };
        let object = self.objects.entry(url.clone()).or_default();
        if about.is_some() {
            object.about = about;
        }
        // The new one is told at once.
        object.pause = None;
        if let Some(before) = object.left.insert(hyperty.clone(), left.clone()) {
            self.by_age.remove(&before.aged(url, hyperty));
        }
        self.by_age.insert(left.aged(url, hyperty));
        left
    }

    /// One of the store.
    pub(crate) fn restore(&mut self, record: &ObjectRecord, subscriber: Subscriber) {
        let Subscriber { hyperty, identity, left, .. } = subscriber;
        if let Some(at) = left {
            let about = About {
                metadata: record.metadata.clone(),
                position: record.position,
                names: record.children_names.clone(),
            };
            self.add(&record.metadata.url, Some(about), &hyperty, identity, (at, true));
        }
    }

    /// It observes anew, or tries to: what was to be said of it is void.
    pub(crate) fn withdraw(&mut self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Option<Left> {
        let left = self.objects.get_mut(url)?.left.remove(hyperty)?;
        self.by_age.remove(&left.aged(url, hyperty));
        self.tidy(url);
        Some(left)
    }

    /// The same, with what has to be known to note it again: it may not come to observe after all.
    pub(crate) fn take_back(&mut self, url: &ObjectUrl, hyperty: &HypertyUrl) -> Option<Withdrawn> {
        let about = self.objects.get(url)?.about.clone();
        let left = self.withdraw(url, hyperty)?;
        Some(Withdrawn { about, kept: left.kept })
    }

    /// Those to tell the Reporter's side of, unless that is under way. Ends with [`Leaves::told`].
    pub(crate) fn begin(&mut self, url: &ObjectUrl) -> Vec<(HypertyUrl, Left)> {
        let Some(object) = self.objects.get_mut(url).filter(|object| !object.telling) else {
            return Vec::new();
        };
        object.telling = true;
        object.left.iter().map(|(hyperty, left)| (hyperty.clone(), left.clone())).collect()
    }

    /// The Reporter's side was told, or could not be: after which pause the rest is told again, if there is one.
    pub(crate) fn told(&mut self, url: &ObjectUrl, (min, max): (Duration, Duration)) -> Option<Duration> {
        self.objects.get_mut(url)?.telling = false;
        self.tidy(url);
        self.pause(url, (min, max))
    }

    /// The pause before the next try, doubled each time.
    pub(crate) fn pause(&mut self, url: &ObjectUrl, (min, max): (Duration, Duration)) -> Option<Duration> {
        let object = self.objects.get_mut(url)?;
        let pause = object.pause.unwrap_or(min);
        object.pause = Some((pause * 2).min(max));
        Some(pause)
    }

    /// The Reporter's side knows of this one. False if it has come back meanwhile, or has left again.
    pub(crate) fn confirmed(&mut self, url: &ObjectUrl, hyperty: &HypertyUrl, left: &Left) -> bool {
        let noted = self.objects.get(url).and_then(|object| object.left.get(hyperty));
        let is_it = noted.is_some_and(|noted| noted.number == left.number);
        is_it && self.withdraw(url, hyperty).is_some()
    }

    /// Those that left before `oldest`, and the first ones where there are more than `max`: nobody is told of them any
    /// more.
    pub(crate) fn outdated(&mut self, oldest: Timestamp, max: usize) -> Vec<(ObjectUrl, HypertyUrl)> {
        let mut outdated = Vec::new();
        while let Some((at, _, url, hyperty)) = self.by_age.first().cloned() {
            if at >= oldest && self.by_age.len() <= max {
                break;
            }
            self.withdraw(&url, &hyperty);
            outdated.push((url, hyperty));
        }
        outdated
    }

    /// The object is deleted: there is nobody to tell.
    pub(crate) fn forget(&mut self, url: &ObjectUrl) {
        if let Some(object) = self.objects.remove(url) {
            for (hyperty, left) in &object.left {
                self.by_age.remove(&left.aged(url, hyperty));
            }
        }
    }

    /// The objects of a domain that somebody has left.
    pub(crate) fn at(&self, domain: &str) -> Vec<ObjectUrl> {
        let here = |url: &&ObjectUrl| url.home().eq_ignore_ascii_case(domain);
        self.objects.keys().filter(here).cloned().collect()
    }

    /// What the store keeps of those who left an object.
    pub(crate) fn subscribers(&self, url: &ObjectUrl) -> Vec<Subscriber> {
        let Some(object) = self.objects.get(url) else { return Vec::new() };
        let kept = object.left.iter().filter(|(_, left)| left.kept);
        kept.map(|(hyperty, left)| left.subscriber(hyperty)).collect()
    }

    /// What the store keeps of an object that nobody here observes; `None` if that is nothing.
    pub(crate) fn record(&self, url: &ObjectUrl) -> Option<ObjectRecord> {
        let About { metadata, position, names } = self.objects.get(url)?.about.clone()?;
        let subscriptions = self.subscribers(url);
        (!subscriptions.is_empty()).then(|| ObjectRecord {
            role: Role::Observer,
            metadata,
            position,
            data: None,
            log: Vec::new(),
            broken: false,
            children: Children::default(),
            children_names: names,
            subscriptions,
            grants: Vec::new(),
            invitations: Vec::new(),
            reporter_user: None,
            status: RecordStatus::Left,
            store: false,
            domain_registration: false,
            domain_routing: false,
            backup: false,
            delegation: None,
            pending: Default::default(),
        })
    }

    /// The children names of an object, as far as they are known.
    pub(crate) fn names(&self, url: &ObjectUrl) -> Vec<String> {
        let about = self.objects.get(url).and_then(|object| object.about.as_ref());
        about.map(|about| about.names.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    fn tidy(&mut self, url: &ObjectUrl) {
        if self.objects.get(url).is_some_and(|object| object.left.is_empty() && !object.telling) {
            self.objects.remove(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

    fn object(id: u8) -> ObjectUrl {
        ObjectUrl::parse(&format!("comm://example.com/{id}")).unwrap()
    }

    fn who(name: u8) -> HypertyUrl {
        HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap()
    }

    fn leave(leaves: &mut Leaves, id: u8, name: u8, at: u64) -> Left {
        leaves.add(&object(id), None, &who(name), None, (Timestamp::from_millis(at), true))
    }

    #[test]
    fn an_answer_ends_the_leave_that_it_is_about_and_no_other() {
        let mut leaves = Leaves::default();
        let first = leave(&mut leaves, 1, 1, 5);
        assert_eq!(leaves.withdraw(&object(1), &who(1)), Some(first.clone()));
        let second = leave(&mut leaves, 1, 1, 5);
        assert!(!leaves.confirmed(&object(1), &who(1), &first));
        assert_eq!(leaves.by_age.len(), 1);
        assert!(leaves.confirmed(&object(1), &who(1), &second));
        assert!(leaves.objects.is_empty() && leaves.by_age.is_empty());
    }

    #[test]
    fn one_tells_at_a_time_after_pauses_that_grow_until_there_is_nothing_to_tell() {
        let mut leaves = Leaves::default();
        let left = leave(&mut leaves, 1, 1, 5);
        assert_eq!(leaves.begin(&object(1)), [(who(1), left.clone())]);
        assert_eq!(leaves.begin(&object(1)), []);
        for seconds in [1, 2, 3, 3] {
            assert_eq!(leaves.told(&object(1), PAUSES), Some(Duration::from_secs(seconds)));
            assert_eq!(leaves.begin(&object(1)).len(), 1);
        }
        assert!(leaves.confirmed(&object(1), &who(1), &left));
        let later = leave(&mut leaves, 1, 2, 6);
        assert_eq!(leaves.told(&object(1), PAUSES), Some(Duration::from_secs(1)));
        assert_eq!(leaves.begin(&object(1)), [(who(2), later.clone())]);
        assert!(leaves.confirmed(&object(1), &who(2), &later));
        assert_eq!(leaves.told(&object(1), PAUSES), None);
        assert!(leaves.objects.is_empty() && leaves.by_age.is_empty());
    }

    #[test]
    fn the_old_and_the_first_of_too_many_are_forgotten() {
        let mut leaves = Leaves::default();
        (1..=4).for_each(|n| drop(leave(&mut leaves, n % 2, n, u64::from(n))));
        assert_eq!(leaves.outdated(Timestamp::from_millis(2), 9), [(object(1), who(1))]);
        assert_eq!(leaves.outdated(Timestamp::from_millis(2), 2), [(object(0), who(2))]);
        assert_eq!(leaves.outdated(Timestamp::from_millis(2), 2), []);
        assert_eq!((leaves.by_age.len(), leaves.at("EXAMPLE.com")), (2, vec![object(0), object(1)]));
        leaves.forget(&object(0));
        assert_eq!(leaves.by_age.len(), 1);
    }
}
