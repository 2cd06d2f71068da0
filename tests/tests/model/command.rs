//! What can happen to a system, and how it is drawn.
//!
//! A procedure that is added to the protocol is added here as one variant of [`Command`], with a line in
//! [`command`] that draws it and a function of [`System`](crate::system::System) that does it and tells the
//! reference what came of it.

use hyperty_conformance::world::Link;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Value, json};

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

/// What the Reporter's application says when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Refuse,
    /// Nothing, until the time is over.
    Silence,
}

/// What an application says to an invitation.
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

const FORGERIES: [Forgery; 17] = {
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

/// The members at the root that are written; `list` is where arrays are.
const MEMBERS: [&str; 4] = ["a", "b.c", "list", "topic"];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(false)),
        Just(json!("")),
        (-3i64..1000).prop_map(|number| json!(number)),
        "[a-zé]{1,4}".prop_map(Value::String),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec(("[xyz]|x\\.y", inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A member and a value that the schema allows there.
fn member() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        2 => (Just("a"), value()),
        1 => (Just("b"), value()),
        2 => vec(value(), 0..4).prop_map(|list| ("list", Value::Array(list))),
        1 => "[a-z]{0,3}".prop_map(|text| ("topic", Value::String(text))),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        8 => member().prop_map(|(path, value)| Write::Set(path, value)),
        2 => value().prop_map(|value| Write::Set("b.c", value)),
        2 => leaf().prop_map(|value| Write::Set("list.0", value)),
        4 => proptest::sample::select(&MEMBERS[..]).prop_map(Write::Remove),
        6 => (0..5usize, vec(leaf(), 1..3)).prop_map(|(at, values)| Write::Insert(at, values)),
        4 => (0..4usize, 1..3usize).prop_map(|(at, count)| Write::RemoveElements(at, count)),
        4 => vec(member(), 1..4).prop_map(Write::Edit),
        2 => vec(member(), 0..4)
            .prop_map(|members| Write::Replace(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        2 => Just(Write::Bad),
        1 => Just(Write::Homeless),
        1 => Just(Write::Huge),
    ]
}

fn child() -> impl Strategy<Value = ChildWrite> {
    prop_oneof![
        3 => leaf().prop_map(ChildWrite::Add),
        3 => (any::<usize>(), leaf()).prop_map(|(which, value)| ChildWrite::Set(which, value)),
        1 => any::<usize>().prop_map(ChildWrite::Delete),
    ]
}

fn creation() -> impl Strategy<Value = Creation> {
    prop_oneof![
        6 => Just(Creation::Valid),
        1 => Just(Creation::BadData),
        1 => Just(Creation::NoObject),
        1 => Just(Creation::UnknownSchema),
    ]
}

fn admission() -> impl Strategy<Value = Admission> {
    prop_oneof![
        4 => Just(Admission::All),
        2 => Just(Admission::Ask),
        1 => Just(Admission::Nobody),
        1 => (0..PARTIES).prop_map(Admission::Only),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![4 => Just(Verdict::Accept), 2 => Just(Verdict::Refuse), 1 => Just(Verdict::Silence)]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![3 => Just(Reply::Accept), 1 => Just(Reply::Decline), 1 => Just(Reply::Ignore)]
}

/// What decides who observes beside subscriptions, and what observers ask for.
fn procedures() -> Vec<(u32, BoxedStrategy<Command>)> {
    let who = || 0..PARTIES;
    let board = || any::<prop::sample::Index>().prop_map(|index| index.index(64));
    let invite = (who(), board(), prop::bool::weighted(0.2), reply())
        .prop_map(|(who, board, announce, reply)| Command::Invite { who, board, announce, reply });
    vec![
        (3, (who(), board()).prop_map(|(who, board)| Command::Remove { who, board }).boxed()),
        (4, invite.boxed()),
        (1, (who(), board()).prop_map(|(who, board)| Command::Revoke { who, board }).boxed()),
        (
            4,
            (who(), board(), any::<bool>())
                .prop_map(|(who, board, wait)| Command::Action { who, board, wait })
                .boxed(),
        ),
    ]
}

fn link() -> impl Strategy<Value = Link> {
    prop_oneof![3 => Just(Link::Cut), 1 => Just(Link::Silent), 1 => Just(Link::Stalled)]
}

/// What weighs how much, where the system stands: what is broken is mended more often than it is broken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights {
    /// How many objects were asked for.
    pub(crate) boards: usize,
    pub(crate) broken_links: usize,
    pub(crate) broken_disks: usize,
    pub(crate) dozing: usize,
    pub(crate) node_stopped: bool,
}

/// One command.
pub(crate) fn command(now: &Weights) -> BoxedStrategy<Command> {
    let who = || 0..PARTIES;
    let board = || any::<prop::sample::Index>().prop_map(|index| index.index(64));
    let worth = |count: usize| u32::try_from(count).unwrap_or(1);
    let subscribe = (who(), board(), verdict(), any::<bool>())
        .prop_map(|(who, board, verdict, wait)| Command::Subscribe { who, board, verdict, wait });
    let child = (who(), board(), prop::bool::weighted(0.1), child(), any::<bool>()).prop_map(
        |(who, board, read_only, write, wait)| Command::Child { who, board, read_only, write, wait },
    );
    let read =
        (who(), board(), verdict()).prop_map(|(who, board, verdict)| Command::Read { who, board, verdict });
    let forgery = proptest::sample::select(&FORGERIES[..]);
    let mut all = vec![
        (
            if now.boards < 3 { 4 } else { 1 },
            (who(), creation(), admission())
                .prop_map(|(who, how, admission)| Command::Create(who, how, admission))
                .boxed(),
        ),
        (
            26,
            (board(), write(), any::<bool>())
                .prop_map(|(b, write, wait)| Command::Write(b, write, wait))
                .boxed(),
        ),
        (4, (board(), vec(write(), 2..8)).prop_map(|(b, writes)| Command::Burst(b, writes)).boxed()),
        (u32::from(now.dozing > 0), board().prop_map(Command::Flood).boxed()),
        (18, child.boxed()),
        (12, subscribe.boxed()),
        (1, who().prop_map(Command::SubscribeNowhere).boxed()),
        (3, (who(), board()).prop_map(|(who, b)| Command::Unsubscribe(who, b)).boxed()),
        (5, read.boxed()),
        (1, (board(), admission()).prop_map(|(b, admission)| Command::Admit(b, admission)).boxed()),
        (1, board().prop_map(Command::Delete).boxed()),
        (6, who().prop_map(Command::Crash).boxed()),
        (1, Just(Command::CrashAll).boxed()),
        (2, who().prop_map(Command::Restart).boxed()),
        (1, Just(Command::StopNode).boxed()),
        (if now.node_stopped { 8 } else { 0 } + 1, Just(Command::StartNode).boxed()),
        (5, (who(), link()).prop_map(|(who, link)| Command::Connection(who, link)).boxed()),
        (1 + 5 * worth(now.broken_links), who().prop_map(|who| Command::Connection(who, Link::Up)).boxed()),
        (3, who().prop_map(Command::Hold).boxed()),
        (1 + 5 * worth(now.broken_disks), who().prop_map(Command::Release).boxed()),
        (1, who().prop_map(Command::FailStore).boxed()),
        (2, who().prop_map(Command::Doze).boxed()),
        (1 + 4 * worth(now.dozing), who().prop_map(Command::Wake).boxed()),
        (8, (who(), board(), forgery).prop_map(|(who, b, forgery)| Command::Forge(who, b, forgery)).boxed()),
        (6, (0..50u64).prop_map(Command::Pause).boxed()),
        (6, (0..5_000u64).prop_map(Command::Pause).boxed()),
        (1, (5_000..90_000u64).prop_map(Command::Pause).boxed()),
    ];
    all.extend(procedures());
    Union::new_weighted(all.into_iter().filter(|(weight, _)| *weight > 0).collect()).boxed()
}
