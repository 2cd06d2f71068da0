//! What is due when: position beats, repairs, child operations to send again. Pure but for the lock around it.

use std::collections::BTreeSet;

use hyperty_model::ObjectUrl;
use hyperty_storage::Role;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What to do for an object when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Due {
    /// Announce the position of a reported object (10.2).
    Beat,
    /// Repair the copy of an observed object.
    Repair,
    /// Drop observers of a reported object that were away too long (M13).
    Away,
    /// Send unanswered child operations again (M18).
    Children,
    /// Send invitations to a reported object, or end them.
    Invitations,
    /// Look whether an observed object was heard of.
    Silence,
    /// Ask who of a reported object's observers is still there.
    RollCall,
    /// Tell the Reporter's side that observers have left. It outlives the observation.
    Leave,
    /// Forget large answers that nobody fetches any more (10.5).
    Offers,
    /// Save an object at the backup, or remove it there (5.19). It outlives what else is due for the object.
    Backup,
    /// Forget that an object was given away (5.11). It outlives what else is due for the object.
    Gift,
}

/// Deadlines in order of time. An object has at most one entry for each kind: the earliest asked for.
#[derive(Default)]
pub(crate) struct Timers {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    by_time: BTreeSet<(Instant, Due, ObjectUrl)>,
    by_object: std::collections::HashMap<(Due, ObjectUrl), Instant, foldhash::fast::RandomState>,
}

impl Timers {
    /// Asks for `due` at `at`, unless it will come earlier anyway.
    pub(crate) fn set(&self, object: &ObjectUrl, due: Due, at: Instant) {
        let first = {
            let mut queue = self.queue.lock();
            let key = (due, object.clone());
            match queue.by_object.get(&key).copied() {
                Some(earlier) if earlier <= at => return,
                Some(later) => {
                    queue.by_time.remove(&(later, due, object.clone()));
                }
                None => {}
            }
            queue.by_object.insert(key, at);
            queue.by_time.insert((at, due, object.clone()));
            queue.by_time.first().is_some_and(|(first, ..)| *first == at)
        };
        if first {
            self.changed.notify_one();
        }
    }

    /// Forgets what is due for an object as it was reported, or observed, here. Where one follows the other the former is
    /// taken down while the latter has begun already.
    pub(crate) fn forget(&self, object: &ObjectUrl, role: Role) {
        let mut queue = self.queue.lock();
        let ended: &[Due] = match role {
            Role::Reporter => &[Due::Beat, Due::Away, Due::Invitations, Due::RollCall],
            Role::Observer => &[Due::Repair, Due::Children, Due::Silence],
        };
        for due in ended.iter().copied() {
            if let Some(at) = queue.by_object.remove(&(due, object.clone())) {
                queue.by_time.remove(&(at, due, object.clone()));
            }
        }
    }

    /// Waits until something is due and takes all that is.
    pub(crate) async fn next(&self) -> Vec<(Due, ObjectUrl)> {
        loop {
            let changed = self.changed.notified();
            let first = self.queue.lock().by_time.first().map(|(at, ..)| *at);
            let due = self.take(Instant::now());
            if !due.is_empty() {
                return due;
            }
            match first {
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    fn take(&self, now: Instant) -> Vec<(Due, ObjectUrl)> {
        let mut queue = self.queue.lock();
        let mut due = Vec::new();
        while let Some((at, kind, object)) = queue.by_time.first().cloned() {
            if at > now {
                break;
            }
            queue.by_time.pop_first();
            queue.by_object.remove(&(kind, object.clone()));
            due.push((kind, object));
        }
        due
    }

    /// How many deadlines stand.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().by_time.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn object(id: u8) -> ObjectUrl {
        ObjectUrl::parse(&format!("comm://example.com/{id}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_come_in_order_and_once() {
        let timers = Timers::default();
        let start = Instant::now();
        timers.set(&object(1), Due::Beat, start + Duration::from_secs(2));
        timers.set(&object(2), Due::Repair, start + Duration::from_secs(1));
        timers.set(&object(1), Due::Beat, start + Duration::from_secs(5));
        assert_eq!(timers.next().await, [(Due::Repair, object(2))]);
        assert_eq!(timers.next().await, [(Due::Beat, object(1))]);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        assert_eq!(timers.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_wish_replaces_a_later_one() {
        let timers = Timers::default();
        let start = Instant::now();
        timers.set(&object(1), Due::Beat, start + Duration::from_secs(60));
        timers.set(&object(1), Due::Beat, start + Duration::from_secs(1));
        assert_eq!(timers.next().await, [(Due::Beat, object(1))]);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        timers.set(&object(1), Due::Repair, start);
        timers.forget(&object(1), Role::Observer);
        assert_eq!(timers.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_observation_leaves_what_is_due_for_the_reporter_and_the_other_way_round() {
        let timers = Timers::default();
        let observed = [Due::Repair, Due::Children, Due::Silence];
        let reported = [Due::Beat, Due::Away, Due::Invitations, Due::RollCall];
        let outliving = [Due::Leave, Due::Offers, Due::Backup, Due::Gift];
        let all = observed.into_iter().chain(reported).chain(outliving);
        all.clone().for_each(|due| timers.set(&object(1), due, Instant::now()));
        timers.forget(&object(1), Role::Observer);
        assert_eq!(timers.len(), reported.len() + outliving.len());
        all.for_each(|due| timers.set(&object(1), due, Instant::now()));
        timers.forget(&object(1), Role::Reporter);
        assert_eq!(timers.len(), observed.len() + outliving.len());
    }
}
