//! What can happen to a system.
//!
//! A procedure that is added to the protocol is added here as one variant of [`Command`], with a line in
//! [`command`](crate::draw::command) that draws it and a function of [`System`](crate::system::System) that does it and
//! tells the reference what came of it.

use hyperty_conformance::world::Link;
use serde_json::Value;

use crate::member::sibling;

/// How many parties there are; each may report objects and observe those of the others.
pub(crate) const PARTIES: usize = 4;

/// One thing that happens. Every command can come at any time: whether it can be done is what the answer tells.
/// Boards are picked by a number, modulo how many there are.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// A party creates an object.
    Create(usize, Creation, Admission),
    /// The Reporter writes; whether its answer is awaited.
    Write(usize, Write, bool),
    /// It writes several times before it looks at any answer.
    Burst(usize, Vec<Write>),
    /// More changes than the application of a dozing observer is kept.
    Flood(usize),
    /// A party works on children; whether the answer is awaited.
    Child {
        who: usize,
        board: usize,
        read_only: bool,
        write: ChildWrite,
        wait: bool,
    },
    /// A party subscribes; what the Reporter decides if it is asked; whether the answer is awaited.
    Subscribe {
        who: usize,
        board: usize,
        verdict: Verdict,
        wait: bool,
    },
    /// A party subscribes to an object that never was.
    SubscribeNowhere(usize),
    Unsubscribe(usize, usize),
    Read {
        who: usize,
        board: usize,
        verdict: Verdict,
    },
    /// The Reporter lets in others from now on.
    Admit(usize, Admission),
    Delete(usize),
    /// The Reporter sends a party away.
    Remove {
        who: usize,
        board: usize,
    },
    /// It invites one, or only tells it of the object; what the invited says.
    Invite {
        who: usize,
        board: usize,
        announce: bool,
        reply: Reply,
    },
    /// It takes an invitation back.
    Revoke {
        who: usize,
        board: usize,
    },
    /// An observer asks the Reporter to do something; whether the answer is awaited.
    Action {
        who: usize,
        board: usize,
        wait: bool,
    },
    /// The Reporter gives its object to a party, to itself, or to a stranger; whether the answer is awaited.
    Delegate {
        board: usize,
        to: Heir,
        reply: Reply,
        wait: bool,
    },
    /// The other device of the Reporter's user takes the object over, or somebody else tries to.
    TakeOver {
        board: usize,
        /// What happens to the Reporter before.
        loss: Loss,
    },
    /// Former Reporters that have not heard go on writing.
    FormerWrites(usize),
    /// A party resumes what is its user's, here and on the other device, or only what is its own.
    ResumeBy {
        who: usize,
        others: bool,
    },
    /// The runtime of a party stops hard and starts again over what was durable.
    Crash(usize),
    /// All of them at once, and the node.
    CrashAll,
    /// It stops in good order and starts again.
    Restart(usize),
    StopNode,
    StartNode,
    /// How the connection of a party does from now on.
    Connection(usize, Link),
    /// The disk of a party hangs, and goes on.
    Hold(usize),
    Release(usize),
    /// The disk of a party fails with what is written next.
    FailStore(usize),
    /// The application of a party reads no events any more, and does again.
    Doze(usize),
    Wake(usize),
    /// Somebody sends what it must not.
    Forge(usize, usize, Forgery),
    /// Time goes by, in milliseconds.
    Pause(u64),
}

/// To whom an object is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heir {
    Party(usize),
    /// One whom nobody has ever deployed.
    Nobody,
}

/// What becomes of a Reporter before its object is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: it is as it is.
    Nothing,
    /// Its connection is cut until its session is given up.
    Cut,
    /// It stops hard, and starts again after that.
    Dead,
}

/// How an object is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Valid,
    /// The data violates the schema.
    BadData,
    /// The data is no object.
    NoObject,
    UnknownSchema,
}

/// Who is let in by the Reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    All,
    Nobody,
    /// The application decides each time.
    Ask,
    /// One party, by its user.
    Only(usize),
}

impl Admission {
    /// The parties that are let in by name: all devices of a user.
    pub(crate) fn whom(self) -> impl Iterator<Item = usize> {
        let who = if let Admission::Only(who) = self { Some(who) } else { None };
        who.into_iter().chain(who.and_then(sibling))
    }
}

/// What the Reporter's application says when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Refuse,
    /// Nothing, until the time is over.
    Silence,
}

/// What an application says to an invitation, or when it is offered an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reply {
    Accept,
    Decline,
    /// It lets it go.
    #[default]
    Ignore,
}

/// One call of the Reporter's application.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Set(&'static str, Value),
    Remove(&'static str),
    Insert(usize, Vec<Value>),
    RemoveElements(usize, usize),
    /// An edit of several members at once, found by comparing.
    Edit(Vec<(&'static str, Value)>),
    Replace(Value),
    /// More than a message takes.
    Large(u8),
    /// Violates the schema.
    Bad,
    /// Leads through what does not exist.
    Homeless,
    /// Nested deeper than any object may be.
    Huge,
}

/// One call on children. The number picks one of the party's own.
#[derive(Debug, Clone)]
pub(crate) enum ChildWrite {
    Add(Value),
    Set(usize, Value),
    Delete(usize),
}

/// What is sent by one who must not, or must not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// A stranger's session: an update in the name of the object, or of the party.
    UpdateAsObject,
    UpdateAsParty,
    /// Operations on children by one who does not observe.
    StrangersChild,
    StrangersEdit,
    StrangersDelete,
    /// A deletion, an unsubscription in somebody else's name.
    DeleteObject,
    UnsubscribeOther,
    /// An answer to a question that was somebody else's to answer.
    Answer,
    UnknownType,
    Malformed,
    Deep,
    Oversized,
    /// At the party's own bus, as if a node let everything pass: a change that was there before, with other content.
    Stale,
    /// One of an epoch that nobody began.
    ForeignEpoch,
    /// One whose source is not the Reporter.
    ForeignSource,
    /// A child's change by one who did not create it.
    ForeignChild,
    /// A body that is none.
    NoBody,
}

pub(crate) const FORGERIES: [Forgery; 17] = {
    use Forgery::*;
    [
        UpdateAsObject,
        UpdateAsParty,
        StrangersChild,
        StrangersEdit,
        StrangersDelete,
        DeleteObject,
        UnsubscribeOther,
        Answer,
        UnknownType,
        Malformed,
        Deep,
        Oversized,
        Stale,
        ForeignEpoch,
        ForeignSource,
        ForeignChild,
        NoBody,
    ]
};
