//! An object as the system has it: its Reporter, its observers, and the reference that judges both.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyperty_conformance::reference::{Follower, Reference, Violation};
use hyperty_model::{ObjectUrl, Position};
use hyperty_syncher::{
    Accept, ChildError, Commit, Observer, ReadRequest, Reporter, SubscribeError, SubscriptionRequest,
};
use tokio::task::unconstrained;

use crate::command::{Admission, PARTIES, Verdict};
use crate::hands::Former;
use crate::member::user_of;
use crate::system::NAMES;

pub(crate) struct Board {
    pub(crate) url: ObjectUrl,
    /// Which party reports it, and its name for the reference.
    pub(crate) owner: usize,
    pub(crate) owner_who: String,
    pub(crate) reference: Reference,
    /// `None` once it did not come back after its deletion was asked for, or was given away and the new one is not known.
    pub(crate) reporter: Option<Reporter>,
    pub(crate) admission: Admission,
    pub(crate) verdict: Verdict,
    pub(crate) undecided: Vec<SubscriptionRequest>,
    pub(crate) undecided_reads: Vec<ReadRequest>,
    /// Those who reported it and have not heard that somebody else does.
    pub(crate) formers: Vec<Former>,
    /// Who has taken it over, or is about to.
    pub(crate) taken_by: Option<usize>,
    /// Changes whose answer is not known yet.
    pub(crate) commits: Vec<Made>,
    /// Changes that cannot be and are not refused yet: the Reporter's own copy has them.
    pub(crate) hopeless: Vec<Commit>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) seats: [Seat; PARTIES],
    /// Who has asked the Reporter for what, by the number of the request, was served.
    pub(crate) performed: BTreeSet<u64>,
}

/// A change that was made, and by whom.
pub(crate) struct Made {
    pub(crate) by: String,
    pub(crate) at: Position,
    pub(crate) commit: Commit,
}

/// A party's place at an object that it may observe.
#[derive(Default)]
pub(crate) struct Seat {
    pub(crate) watch: Option<Watch>,
    /// Whether it observes is not known: an answer was lost with a runtime, or never came.
    pub(crate) unsure: bool,
    /// The Reporter has wanted it away: it is let in by name only.
    pub(crate) banned: bool,
    /// Whether that was done is not known.
    pub(crate) leaving: bool,
    /// An invitation is all that lets it in.
    pub(crate) by_invitation: bool,
    /// Why it was not let in the last time.
    pub(crate) refusal: Option<SubscribeError>,
}

impl Seat {
    /// Nobody sits there any more; what holds of the party holds on.
    pub(crate) fn clear(&mut self, unsure: bool) -> Option<Watch> {
        self.unsure = unsure;
        self.watch.take()
    }
}

/// An observation with the copy of an application that follows its events.
pub(crate) struct Watch {
    pub(crate) observer: Observer,
    pub(crate) follower: Follower,
}

/// An operation on a child whose answer is not known yet.
pub(crate) struct Operation {
    pub(crate) who: usize,
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) read_only: bool,
    pub(crate) commit: BoxFuture<'static, Result<(), ChildError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Version(u64),
    Deletion,
}

impl Board {
    pub(crate) fn new(reporter: Reporter, owner: usize, owner_who: String, admission: Admission) -> Board {
        let url = reporter.url().clone();
        let reference = Reference::new(url.as_str(), owner_who.as_str(), reporter.data());
        let mut board = Board {
            url,
            owner,
            owner_who,
            reference,
            reporter: Some(reporter),
            admission,
            verdict: Verdict::Silence,
            undecided: Vec::new(),
            undecided_reads: Vec::new(),
            formers: Vec::new(),
            taken_by: None,
            commits: Vec::new(),
            hopeless: Vec::new(),
            operations: Vec::new(),
            seats: Default::default(),
            performed: BTreeSet::new(),
        };
        board.reference.set_open(admission == Admission::All);
        board
    }

    /// Tells the Reporter whom to let in.
    pub(crate) fn admit(&mut self) {
        let accept = match self.admission {
            Admission::All => Accept::All,
            Admission::Nobody => Accept::None,
            Admission::Ask => Accept::Ask,
            Admission::Only(who) => {
                let user = user_of(NAMES[who]).parse().expect("the URL of a user");
                Accept::List(vec![user])
            }
        };
        self.reference.set_open(self.admission == Admission::All);
        if let Some(reporter) = &self.reporter {
            reporter.accept(accept);
        }
    }

    /// Whether its Reporter works on it as if nothing was to end.
    pub(crate) fn is_live(&self) -> bool {
        self.reporter.is_some() && !self.reference.is_deleting()
    }

    /// A party observes, from this copy on.
    pub(crate) fn seat(&mut self, who: usize, name: &str, mut observer: Observer) {
        let snapshot = observer.snapshot();
        let at = Position { epoch: snapshot.epoch, version: snapshot.version };
        let follower = Follower::new(name, name, at, snapshot.data);
        let seat = &mut self.seats[who];
        (seat.watch, seat.unsure) = (Some(Watch { observer, follower }), false);
    }

    /// Whether what this party asks of the Reporter's side is done for it.
    pub(crate) fn serves(&self, name: &str) -> bool {
        name == self.owner_who || self.reference.serves(name)
    }

    /// What has become of the changes that were made.
    pub(crate) fn take_commits(&mut self) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for mut made in std::mem::take(&mut self.commits) {
            match unconstrained(&mut made.commit).now_or_never() {
                None => waiting.push(made),
                Some(result) => self.committed(&made.by, made.at, result)?,
            }
        }
        self.commits.splice(0..0, waiting);
        Ok(())
    }
}
