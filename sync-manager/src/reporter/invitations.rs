//! Who was invited to an object and is not done with it (protocol 5.2, INV-INV-1). Pure: what is sent, and what becomes of the
//! answers, is in [`super::invite`] and [`super::invite_answers`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyperty_model::{HypertyUrl, StatusCode, Timestamp};
use hyperty_storage::{Entry as Stored, Invited, InvitedStage};
use tokio::time::Instant;

/// The first pause before an invitation is sent again that did not arrive, and the longest: whoever comes back has it
/// within a minute, and a hyperty that is away costs its node one message a minute.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Invitations of one object under way at one time. The others wait their turn: a list of a thousand must not fill the
/// table of requests.
const AT_ONCE: usize = 64;

/// The invitations of one object, at most one for each hyperty: the latest.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    entries: BTreeMap<HypertyUrl, Entry>,
    /// Tells an invitation from an earlier one of the same hyperty.
    next: u64,
    /// Whose invitation is not stored as it is here. Bounded by those there are and those who were done since.
    changed: BTreeSet<HypertyUrl>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    invited: Invited,
    /// When it is sent, as long as it waits.
    due: Instant,
    pause: Duration,
    /// It is under way, and an answer awaited.
    asking: bool,
    /// The Reporter heard that it waits.
    told: bool,
}

/// An invitation that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToSend {
    pub(crate) who: HypertyUrl,
    pub(crate) number: u64,
    pub(crate) announced: bool,
}

/// The answer that a Reporter has not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unheard {
    pub(crate) who: HypertyUrl,
    pub(crate) code: StatusCode,
    pub(crate) description: Option<String>,
}

impl Invitations {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, who: &HypertyUrl) -> bool {
        self.entries.contains_key(who)
    }

    /// What the store keeps of them.
    pub(crate) fn kept(&self) -> Vec<Invited> {
        self.entries.values().map(|entry| entry.invited.clone()).collect()
    }

    /// Adds one that is to be sent now, in the place of an earlier one.
    pub(crate) fn add(&mut self, who: HypertyUrl, announced: bool, until: Timestamp) {
        let (until, stage) = (until.as_millis(), InvitedStage::Waiting);
        self.changed.insert(who.clone());
        self.enter(Invited { who, announced, until, stage });
    }

    fn enter(&mut self, invited: Invited) {
        self.next += 1;
        let entry = Entry {
            number: self.next,
            due: Instant::now(),
            pause: AGAIN.0,
            asking: false,
            told: false,
            invited,
        };
        self.entries.insert(entry.invited.who.clone(), entry);
    }

    /// It is over; false if there was none.
    pub(crate) fn remove(&mut self, who: &HypertyUrl) -> bool {
        let was_there = self.entries.remove(who).is_some();
        if was_there {
            self.changed.insert(who.clone());
        }
        was_there
    }

    /// Takes what the store has to be told.
    pub(crate) fn take_changes(&mut self) -> Vec<Stored> {
        let stored = |who: HypertyUrl| match self.entries.get(&who) {
            Some(entry) => Stored::Invited(entry.invited.clone()),
            None => Stored::Uninvited(who),
        };
        std::mem::take(&mut self.changed).into_iter().map(stored).collect()
    }

    /// Takes those whose offer has ended, but for what the Reporter has yet to hear.
    pub(crate) fn take_ended(&mut self, now: Timestamp) -> Vec<HypertyUrl> {
        let is_over = |entry: &Entry| {
            entry.invited.until <= now.as_millis()
                && !matches!(entry.invited.stage, InvitedStage::Answered { .. })
        };
        let ended: Vec<_> =
            self.entries.values().filter(|e| is_over(e)).map(|e| e.invited.who.clone()).collect();
        for who in &ended {
            self.remove(who);
        }
        ended
    }

    /// Takes those that are due and marks them as under way.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ToSend> {
        let under_way = self.entries.values().filter(|entry| entry.asking).count();
        let is_due = |entry: &&mut Entry| {
            entry.invited.stage == InvitedStage::Waiting && !entry.asking && entry.due <= now
        };
        let due = self.entries.values_mut().filter(is_due).take(AT_ONCE.saturating_sub(under_way));
        due.map(|entry| {
            entry.asking = true;
            let Invited { who, announced, .. } = entry.invited.clone();
            ToSend { who, number: entry.number, announced }
        })
        .collect()
    }

    /// When something is due next, counted from `now`: one to be sent, or an offer that ends.
    pub(crate) fn next_due(&self, now: Instant, wall: Timestamp) -> Option<Instant> {
        let of = |entry: &Entry| {
            let ends = Timestamp::from_millis(entry.invited.until).since(wall);
            // A far end needs no timer of its own: whoever waits that long is looked at again before.
            let ends = now.checked_add(ends.min(Duration::from_secs(24 * 3600)));
            match entry.invited.stage {
                InvitedStage::Waiting if !entry.asking => {
                    Some(ends.map_or(entry.due, |at| at.min(entry.due)))
                }
                InvitedStage::Answered { .. } => None,
                _ => ends,
            }
        };
        self.entries.values().filter_map(of).min()
    }

    /// All that wait for hyperties of a domain are due: its node can be reached again.
    pub(crate) fn hurry(&mut self, domain: &str, now: Instant) -> bool {
        let mut any = false;
        for entry in self.entries.values_mut() {
            let there = entry.invited.who.domain().is_some_and(|own| own.eq_ignore_ascii_case(domain));
            if there && entry.invited.stage == InvitedStage::Waiting && !entry.asking {
                (entry.due, entry.pause, any) = (now, AGAIN.0, true);
            }
        }
        any
    }

    /// It arrived; false if that is known, or the invitation is another one by now.
    pub(crate) fn delivered(&mut self, who: &HypertyUrl, number: u64) -> bool {
        let entry = self.entries.get_mut(who).filter(|entry| entry.number == number);
        entry.is_some_and(|entry| {
            let first = entry.invited.stage == InvitedStage::Waiting;
            entry.invited.stage = InvitedStage::Delivered;
            self.changed.insert(who.clone());
            first
        })
    }

    /// Nobody answers any more on this try. True if it did not arrive, and the Reporter has not heard so.
    pub(crate) fn not_answered(&mut self, who: &HypertyUrl, number: u64, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(who).filter(|entry| entry.number == number) else {
            return false;
        };
        entry.asking = false;
        if entry.invited.stage != InvitedStage::Waiting {
            return false;
        }
        entry.due = now + entry.pause;
        entry.pause = (entry.pause * 2).min(AGAIN.1);
        !std::mem::replace(&mut entry.told, true)
    }

    /// It arrived, and whoever got it stopped before anybody had seen it: it is sent again.
    pub(crate) fn not_seen(&mut self, who: &HypertyUrl, number: Option<u64>, now: Instant) {
        let entry = self.entries.get_mut(who);
        if let Some(entry) = entry.filter(|entry| number.is_none_or(|number| number == entry.number)) {
            entry.invited.stage = InvitedStage::Waiting;
            self.changed.insert(who.clone());
            (entry.asking, entry.due, entry.pause) = (false, now + AGAIN.0, AGAIN.0 * 2);
        }
    }

    /// Whether this is the invitation that an answer is for; without a number any that is not answered.
    pub(crate) fn is_open(&self, who: &HypertyUrl, number: Option<u64>) -> bool {
        self.entries.get(who).is_some_and(|entry| {
            number.is_none_or(|number| number == entry.number)
                && !matches!(entry.invited.stage, InvitedStage::Answered { .. })
        })
    }

    /// Whether a grant came with it.
    pub(crate) fn grants(&self, who: &HypertyUrl) -> bool {
        self.entries.get(who).is_some_and(|entry| !entry.invited.announced)
    }

    /// Keeps an answer until the Reporter is there.
    pub(crate) fn latch(&mut self, unheard: Unheard) {
        if let Some(entry) = self.entries.get_mut(&unheard.who) {
            entry.asking = false;
            let Unheard { code, description, .. } = unheard.clone();
            entry.invited.stage = InvitedStage::Answered { code, description };
            self.changed.insert(unheard.who);
        }
    }

    /// Takes what the Reporter has yet to hear.
    pub(crate) fn take_unheard(&mut self) -> Vec<Unheard> {
        let answered = |entry: &Entry| match &entry.invited.stage {
            InvitedStage::Answered { code, description } => Some(Unheard {
                who: entry.invited.who.clone(),
                code: *code,
                description: description.clone(),
            }),
            _ => None,
        };
        let unheard: Vec<Unheard> = self.entries.values().filter_map(answered).collect();
        for one in &unheard {
            self.remove(&one.who);
        }
        unheard
    }
}

impl FromIterator<Invited> for Invitations {
    fn from_iter<I: IntoIterator<Item = Invited>>(invited: I) -> Invitations {
        let mut invitations = Invitations::default();
        invited.into_iter().for_each(|one| invitations.enter(one));
        invitations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> HypertyUrl {
        HypertyUrl::parse(&format!("hyperty://example.com/{name}")).unwrap()
    }

    fn end() -> Timestamp {
        Timestamp::from_millis(10_000)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_arrive_is_sent_again_at_growing_intervals_and_told_once() {
        let mut invitations = Invitations::default();
        invitations.add(who("bob"), false, Timestamp::from_millis(3_600_000));
        let mut pauses = Vec::new();
        for turn in 0..8 {
            let [sent] = &invitations.take_due(Instant::now())[..] else { panic!("one is due") };
            assert!(invitations.take_due(Instant::now()).is_empty(), "it is under way");
            assert_eq!(invitations.not_answered(&sent.who, sent.number, Instant::now()), turn == 0);
            let due = invitations.next_due(Instant::now(), Timestamp::from_millis(0)).unwrap();
            pauses.push((due - Instant::now()).as_secs());
            tokio::time::sleep_until(due).await;
            if pauses.len() == 3 {
                assert!(invitations.hurry("EXAMPLE.com", Instant::now()));
                assert!(!invitations.hurry("example.org", Instant::now()));
            }
        }
        assert_eq!(pauses, [2, 4, 8, 2, 4, 8, 16, 32]);
        // The end of the offer is nearer than the next try.
        let sent = invitations.take_due(Instant::now()).remove(0);
        assert!(!invitations.not_answered(&sent.who, sent.number, Instant::now()));
        let due = invitations.next_due(Instant::now(), Timestamp::from_millis(3_595_000)).unwrap();
        assert_eq!((due - Instant::now()).as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_of_an_earlier_invitation_change_nothing() {
        let mut invitations = Invitations::default();
        invitations.add(who("bob"), false, end());
        let first = invitations.take_due(Instant::now()).remove(0);
        invitations.add(who("bob"), true, end());
        assert!(!invitations.delivered(&first.who, first.number));
        assert!(!invitations.is_open(&first.who, Some(first.number)));
        let second = invitations.take_due(Instant::now()).remove(0);
        assert!(second.announced && second.number != first.number);
        assert!(invitations.delivered(&second.who, second.number));
        assert!(!invitations.delivered(&second.who, second.number), "it is told once");
        assert!(!invitations.not_answered(&second.who, second.number, Instant::now()));
        assert!(invitations.take_due(Instant::now() + AGAIN.1).is_empty(), "it arrived: not sent again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_heard_is_kept_also_beyond_the_offer() {
        let mut invitations = Invitations::default();
        invitations.add(who("bob"), false, end());
        invitations.add(who("carol"), false, end());
        let unheard = Unheard { who: who("bob"), code: StatusCode::DECLINED, description: None };
        invitations.latch(unheard.clone());
        assert_eq!(invitations.take_ended(end()), [who("carol")]);
        let mut again: Invitations = invitations.kept().into_iter().collect();
        assert!(again.take_due(Instant::now()).is_empty());
        assert_eq!(again.take_unheard(), [unheard]);
        assert_eq!(again.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_is_told_of_each_step_of_each() {
        let stage = |stored: Vec<Stored>| match &stored[..] {
            [Stored::Invited(invited)] => Some(invited.stage.clone()),
            [Stored::Uninvited(_)] => None,
            other => panic!("{other:?}"),
        };
        let mut invitations = Invitations::default();
        invitations.add(who("bob"), false, end());
        assert_eq!(stage(invitations.take_changes()), Some(InvitedStage::Waiting));
        let sent = invitations.take_due(Instant::now()).remove(0);
        invitations.not_answered(&sent.who, sent.number, Instant::now());
        assert_eq!(invitations.take_changes(), [], "how often it was tried is nothing to keep");
        invitations.delivered(&sent.who, sent.number);
        assert_eq!(stage(invitations.take_changes()), Some(InvitedStage::Delivered));
        invitations.not_seen(&sent.who, Some(sent.number), Instant::now());
        assert_eq!(stage(invitations.take_changes()), Some(InvitedStage::Waiting));
        invitations.latch(Unheard { who: who("bob"), code: StatusCode::OK, description: None });
        let answered = InvitedStage::Answered { code: StatusCode::OK, description: None };
        assert_eq!(stage(invitations.take_changes()), Some(answered));
        invitations.take_unheard();
        assert_eq!(stage(invitations.take_changes()), None);
        invitations.add(who("carol"), true, end());
        invitations.take_ended(end());
        assert_eq!(stage(invitations.take_changes()), None);
        assert!(!invitations.remove(&who("carol")));
        assert_eq!(invitations.take_changes(), []);
        let read: Invitations =
            [Invited { who: who("dave"), announced: false, until: 1, stage: InvitedStage::Waiting }]
                .into_iter()
                .collect();
        assert_eq!({ read }.take_changes(), [], "what was read is stored as it is");
    }

    #[tokio::test(start_paused = true)]
    async fn many_take_turns() {
        let mut invitations = Invitations::default();
        (0..AT_ONCE + 3).for_each(|number| invitations.add(who(&format!("h{number}")), false, end()));
        let first = invitations.take_due(Instant::now());
        assert_eq!((first.len(), invitations.take_due(Instant::now()).len()), (AT_ONCE, 0));
        for sent in &first[..2] {
            invitations.delivered(&sent.who, sent.number);
            invitations.not_answered(&sent.who, sent.number, Instant::now());
        }
        assert_eq!(invitations.take_due(Instant::now()).len(), 2);
    }
}
