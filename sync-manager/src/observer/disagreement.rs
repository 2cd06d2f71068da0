//! Children that the Reporter's side has and those that are here may differ for a while: an operation that came here
//! directly is still on its way there. Only a difference that stays is a loss (protocol M18, INV-CHD-1).

use std::collections::BTreeSet;
use std::time::Duration;

use hyperty_model::ChildrenName;
use hyperty_model::object::{ChildId, Children, Trust};
use tokio::time::Instant;

/// What is known of differences between the Reporter's children and those here.
#[derive(Debug, Default)]
pub(crate) struct Disagreement {
    /// The digests of both sides when they were compared and differed, and since when they do so in this way.
    seen: Option<(Digests, Instant)>,
    /// The digests of both sides after the Reporter's were taken over for right: what differs then are deletions
    /// that never reached the Reporter's side.
    accepted: Option<Digests>,
    /// When an operation on a child arrived last.
    heard: Option<Instant>,
    /// Children whose operation from here was refused: what is here of them is wrong.
    refused: BTreeSet<(ChildrenName, ChildId)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Digests {
    theirs: String,
    ours: String,
}

impl Digests {
    fn of(theirs: &Children, ours: &Children) -> Digests {
        Digests { theirs: theirs.digest(), ours: ours.digest() }
    }
}

/// What is to be done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: there is none, or nothing more can be done about it.
    Settled,
    /// Look again when what is under way must have arrived.
    LookAgain,
}

impl Disagreement {
    /// An operation from here was refused.
    pub(crate) fn refuse(&mut self, name: ChildrenName, id: ChildId) {
        self.refused.insert((name, id));
    }

    /// An operation on a child arrived, be it one that came before: its writer still tries.
    pub(crate) fn heard(&mut self) {
        self.seen = None;
        self.heard = Some(Instant::now());
    }

    /// Whether an operation arrived so lately that it may have crossed a beat of the Reporter's side, which announces
    /// anew what it has once the operation has arrived there, too.
    pub(crate) fn may_have_crossed(&self, within: Duration) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() < within)
    }

    /// Whether a beat with this digest tells something that is not known yet.
    pub(crate) fn is_news(&self, theirs: &str, ours: &Children) -> bool {
        let ours = ours.digest();
        let known = |digests: &Digests| digests.theirs == theirs && digests.ours == ours;
        let seen = self.seen.as_ref().is_some_and(|(digests, _)| known(digests));
        theirs != ours && !seen && !self.accepted.as_ref().is_some_and(known)
    }

    /// How far all of the Reporter's children are believed: if they have differed in the same way for `lasting`, and
    /// nothing was heard of any, nothing was under way, and they are right.
    pub(crate) fn trust(&self, theirs: &Children, ours: &Children, lasting: Duration) -> Trust {
        match &self.seen {
            Some((seen, since)) if since.elapsed() >= lasting && *seen == Digests::of(theirs, ours) => {
                Trust::IsRight
            }
            _ => Trust::MayBeOld,
        }
    }

    /// Whether what is here of a child is known to be wrong.
    pub(crate) fn is_refused(&self, name: &ChildrenName, id: &ChildId) -> bool {
        self.refused.contains(&(name.clone(), id.clone()))
    }

    /// All of the Reporter's children were taken over, those of refused operations as they are there.
    pub(crate) fn heeded_refusals(&mut self) {
        self.refused.clear();
    }

    /// All of the Reporter's children were taken over as far as they were believed; these are ours now.
    pub(crate) fn taken_over(&mut self, theirs: String, ours: &Children, trust: Trust) -> Next {
        let both = Digests { theirs, ours: ours.digest() };
        if both.theirs == both.ours {
            (self.seen, self.accepted) = (None, None);
            return Next::Settled;
        }
        if trust == Trust::IsRight {
            (self.seen, self.accepted) = (None, Some(both));
            return Next::Settled;
        }
        let since = match self.seen.take() {
            Some((seen, since)) if seen == both => since,
            _ => Instant::now(),
        };
        self.seen = Some((both, since));
        Next::LookAgain
    }
}

#[cfg(test)]
mod tests {
    use hyperty_model::HypertyUrl;
    use hyperty_model::object::{ChildEntry, ChildValue};
    use serde_json::json;

    use super::*;

    fn with(numbers: &[u64]) -> Children {
        let mut children = Children::default();
        let reporter = HypertyUrl::parse("hyperty://example.com/1").expect("a URL");
        for number in numbers {
            let value: ChildValue = serde_json::from_value(json!({
                "url": format!("{reporter}#{number}"), "parent": "comm://example.com/o", "reporter": reporter,
                "version": 0, "data": {},
            }))
            .expect("a child");
            let name = ChildrenName::new("notes").expect("a name");
            children.create(&name, ChildEntry { value, identity: None }).expect("a new child");
        }
        children
    }

    const LASTING: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn a_difference_that_stays_is_a_loss_and_one_that_changes_is_traffic() {
        let (theirs, more) = (with(&[1]), with(&[1, 2]));
        let mut disagreement = Disagreement::default();
        for ours in [&more, &with(&[1, 2, 3])] {
            tokio::time::advance(LASTING).await;
            assert_eq!(disagreement.trust(&theirs, ours, LASTING), Trust::MayBeOld, "not seen before");
            let next = disagreement.taken_over(theirs.digest(), ours, Trust::MayBeOld);
            assert_eq!(next, Next::LookAgain);
        }
        let ours = with(&[1, 2, 3]);
        tokio::time::advance(LASTING / 2).await;
        assert_eq!(disagreement.trust(&theirs, &ours, LASTING), Trust::MayBeOld, "not for long");
        assert!(!disagreement.is_news(&theirs.digest(), &ours), "it is waited for");
        disagreement.taken_over(theirs.digest(), &ours, Trust::MayBeOld);
        tokio::time::advance(LASTING / 2).await;
        assert_eq!(disagreement.trust(&theirs, &ours, LASTING), Trust::IsRight, "all the time");
        assert_eq!(disagreement.trust(&with(&[1, 2]), &ours, LASTING), Trust::MayBeOld, "theirs moved");
        disagreement.heard();
        assert_eq!(disagreement.trust(&theirs, &ours, LASTING), Trust::MayBeOld, "somebody still tries");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_heard_may_have_crossed_a_beat() {
        let mut disagreement = Disagreement::default();
        assert!(!disagreement.may_have_crossed(LASTING), "nothing was heard");
        disagreement.heard();
        assert!(disagreement.may_have_crossed(LASTING));
        tokio::time::advance(LASTING).await;
        assert!(!disagreement.may_have_crossed(LASTING), "it has long arrived there too");
    }

    #[test]
    fn what_cannot_be_settled_is_no_news_until_something_moves() {
        let (theirs, ours) = (with(&[1, 2]), with(&[1]));
        let mut disagreement = Disagreement::default();
        assert!(disagreement.is_news(&theirs.digest(), &ours));
        let next = disagreement.taken_over(theirs.digest(), &ours, Trust::IsRight);
        assert_eq!(next, Next::Settled);
        assert!(!disagreement.is_news(&theirs.digest(), &ours));
        assert!(disagreement.is_news(&with(&[1, 2, 3]).digest(), &ours), "theirs moved");
        assert!(disagreement.is_news(&theirs.digest(), &with(&[3])), "ours moved");
        assert!(!disagreement.is_news(&ours.digest(), &ours));
    }

    #[test]
    fn a_refused_child_is_theirs_to_tell_once() {
        let mut disagreement = Disagreement::default();
        let (name, theirs) = (ChildrenName::new("notes").expect("a name"), with(&[1]));
        let (_, id, _) = theirs.iter().next().expect("a child");
        disagreement.refuse(name.clone(), id.clone());
        assert!(disagreement.is_refused(&name, id));
        disagreement.heeded_refusals();
        assert!(!disagreement.is_refused(&name, id));
    }
}
