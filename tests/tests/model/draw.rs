//! How commands are drawn.

use hyperty_conformance::world::Link;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Value, json};

use crate::command::{
    Admission, ChildWrite, Command, Creation, FORGERIES, Heir, Loss, PARTIES, Reply, Verdict, Write,
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
        1 => any::<u8>().prop_map(Write::Large),
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

/// What moves an object from one Reporter to another.
fn hands() -> Vec<(u32, BoxedStrategy<Command>)> {
    let board = || any::<prop::sample::Index>().prop_map(|index| index.index(64));
    let to = prop_oneof![9 => (0..PARTIES).prop_map(Heir::Party), 1 => Just(Heir::Nobody)];
    let loss = prop_oneof![1 => Just(Loss::Nothing), 2 => Just(Loss::Cut), 2 => Just(Loss::Dead)];
    let delegate = (board(), to, reply(), any::<bool>())
        .prop_map(|(board, to, reply, wait)| Command::Delegate { board, to, reply, wait });
    let resume = (0..PARTIES, prop::bool::weighted(0.7));
    vec![
        (5, delegate.boxed()),
        (2, (board(), loss).prop_map(|(board, loss)| Command::TakeOver { board, loss }).boxed()),
        (2, board().prop_map(Command::FormerWrites).boxed()),
        (2, resume.prop_map(|(who, others)| Command::ResumeBy { who, others }).boxed()),
    ]
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
    /// Whether objects move from one Reporter to another.
    pub(crate) moving: bool,
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
    if now.moving {
        all.extend(hands());
    }
    Union::new_weighted(all.into_iter().filter(|(weight, _)| *weight > 0).collect()).boxed()
}
