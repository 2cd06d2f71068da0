//! What can happen, and how it is drawn.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// How many observers there are; party 0 is the Reporter, 1 to this the observers.
pub(crate) const OBSERVERS: usize = 3;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// The Reporter writes; whether its answer is awaited.
    Write(Write, bool),
    /// A party works on the children; whether the answer is awaited.
    Child(usize, ChildWrite, bool),
    /// The connection of a party is lost.
    Cut(usize),
    /// It can connect again.
    Heal(usize),
    /// The runtime of a party stops hard and starts again.
    Crash(usize),
    StopNode,
    StartNode,
    Subscribe(usize),
    Unsubscribe(usize),
    Read(usize),
    /// Time goes by, in milliseconds.
    Pause(u64),
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
}

/// One call on children. The number picks one of the party's own.
#[derive(Debug, Clone)]
pub(crate) enum ChildWrite {
    Add(Value),
    Set(usize, Value),
    Delete(usize),
}

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
        4 => member().prop_map(|(path, value)| Write::Set(path, value)),
        1 => value().prop_map(|value| Write::Set("b.c", value)),
        1 => leaf().prop_map(|value| Write::Set("list.0", value)),
        2 => proptest::sample::select(&MEMBERS[..]).prop_map(Write::Remove),
        3 => (0..5usize, vec(leaf(), 1..3)).prop_map(|(at, values)| Write::Insert(at, values)),
        2 => (0..4usize, 1..3usize).prop_map(|(at, count)| Write::RemoveElements(at, count)),
        2 => vec(member(), 1..4).prop_map(Write::Edit),
        1 => vec(member(), 0..4)
            .prop_map(|members| Write::Replace(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        1 => Just(Write::Bad),
    ]
}

fn child() -> impl Strategy<Value = ChildWrite> {
    prop_oneof![
        3 => leaf().prop_map(ChildWrite::Add),
        3 => (any::<usize>(), leaf()).prop_map(|(which, value)| ChildWrite::Set(which, value)),
        1 => any::<usize>().prop_map(ChildWrite::Delete),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let anybody = || 0..=OBSERVERS;
    let observer = || 1..=OBSERVERS;
    prop_oneof![
        10 => (write(), any::<bool>()).prop_map(|(write, wait)| Command::Write(write, wait)),
        8 => (anybody(), child(), any::<bool>()).prop_map(|(who, op, wait)| Command::Child(who, op, wait)),
        3 => anybody().prop_map(Command::Cut),
        4 => anybody().prop_map(Command::Heal),
        3 => anybody().prop_map(Command::Crash),
        1 => Just(Command::StopNode),
        2 => Just(Command::StartNode),
        2 => observer().prop_map(Command::Subscribe),
        1 => observer().prop_map(Command::Unsubscribe),
        2 => observer().prop_map(Command::Read),
        3 => (0..50u64).prop_map(Command::Pause),
        3 => (0..5_000u64).prop_map(Command::Pause),
        1 => (5_000..90_000u64).prop_map(Command::Pause),
    ]
}

/// A life of a system.
pub(crate) fn commands(length: usize) -> impl Strategy<Value = Vec<Command>> {
    vec(command(), 1..=length)
}
