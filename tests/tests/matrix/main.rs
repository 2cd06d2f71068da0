//! Who may do what: every role, request, state of the object, way and disguise, against what the protocol says of it
//! (INV-SUB-7, INV-READ-1, INV-UPD-2, INV-CHD-2, INV-DEL-4, INV-RES-4, INV-MN-5, INV-MSG-1, I12). The expected
//! verdict comes from [`oracle`], which knows nothing of the crates.

mod asking;
mod cell;
mod house;
mod oracle;
mod origin;
mod voice;

use std::collections::BTreeMap;
use std::time::Duration;

use hyperty_conformance::level;
use hyperty_conformance::peer::code;
use serde_json::Value;

use cell::{Ask, Cell, Form, Origin, Path, Role, State};
use house::House;
use oracle::{Verdict, verdict};

/// Longer than any request may wait for its final answer (T_RESP, and what is undone behind it).
const PATIENCE: Duration = Duration::from_secs(40);
/// In which a refusal comes of what has no answer otherwise.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The cells of one house, one after the other; after what was granted and changes something comes a new house.
async fn visit(state: State, path: Path, role: Role) -> (usize, Vec<String>) {
    let cells = Cell::all().into_iter().filter(|c| (c.state, c.path, c.role) == (state, path, role));
    let origin = Origin::of(role, path);
    let mut house = House::new(level::seed(), state, origin).await;
    let (mut count, mut wrong) = (0, Vec::new());
    for cell in cells {
        let Some(expected) = verdict(cell) else { continue };
        count += 1;
        if let Err(what) = try_one(&mut house, cell, expected).await {
            wrong.push(format!("{cell:?}: {expected:?}, but {what}"));
            house = House::new(level::seed(), state, origin).await;
        } else if expected == Verdict::Granted {
            house = House::new(level::seed(), state, origin).await;
        }
    }
    (count, wrong)
}

async fn try_one(house: &mut House, cell: Cell, expected: Verdict) -> Result<(), String> {
    if cell.state == State::Delegating {
        house.keep_offered().await;
    }
    if cell.form == Form::Expired {
        return expired(house, cell, expected).await;
    }
    let before = house.look().await;
    let letter = house.letter(cell);
    let is_published = cell.ask.is_published() && cell.role != Role::Reporter;
    let patience = if is_published || expected == Verdict::Nothing { AT_ONCE } else { PATIENCE };
    let asker = house.actor(cell.role, cell.path);
    let id = asker.send(letter.kind, &letter.from, &letter.to, letter.body).await;
    let answer = asker.answer_to(id, patience).await;
    tokio::time::sleep(AT_ONCE).await;
    let after = house.look().await;
    let mut heard = house.heard((cell.role, cell.path)).await;
    if cell.ask.is_of_child() && cell.role.observes() {
        // The node passes on what observers do to children; whether they may is seen by who receives it (5.9.1).
        heard.retain(|what| !what.contains("/children/"));
    }
    let is_unchanged = before == after && heard.is_empty();
    let change = || format!("{}\n{}", heard.join("\n"), difference(&before, &after));
    match expected {
        Verdict::Granted => granted(cell, answer.as_ref()),
        Verdict::Unchanged if is_unchanged => Ok(()),
        Verdict::Unchanged => Err(change()),
        _ if !is_unchanged => Err(format!("it has changed something: {}\nanswer {answer:?}", change())),
        Verdict::Nothing => match answer {
            Some(answer) if !(400..500).contains(&code(&answer)) => Err(format!("the answer is {answer}")),
            _ => Ok(()),
        },
        Verdict::Refused(codes) => match answer {
            Some(answer) if codes.contains(&code(&answer)) => tells_nothing(&answer),
            Some(answer) => Err(format!("the answer is {answer}")),
            None => Err("there is no answer".to_owned()),
        },
    }
}

/// A session with a token that is over is refused before it says anything else.
async fn expired(house: &mut House, cell: Cell, expected: Verdict) -> Result<(), String> {
    let before = house.look().await;
    let (answer, closed) = house.return_expired(cell.role).await;
    let after = house.look().await;
    match expected {
        Verdict::Refused(codes) if codes.contains(&code(&answer)) && closed && before == after => Ok(()),
        _ => Err(format!("the answer is {answer}, closed: {closed}\n{}", difference(&before, &after))),
    }
}

fn granted(cell: Cell, answer: Option<&Value>) -> Result<(), String> {
    let answer = answer.ok_or("there is no answer")?;
    if !(200..300).contains(&code(answer)) {
        return Err(format!("the answer is {answer}"));
    }
    let tells = answer.to_string().contains("secret");
    if tells != matches!(cell.ask, Ask::Read | Ask::Subscribe) && cell.ask != Ask::Repair {
        return Err(format!("the answer is {answer}"));
    }
    Ok(())
}

/// INV-READ-1: a refusal has nothing of the object in it.
fn tells_nothing(answer: &Value) -> Result<(), String> {
    if answer.to_string().contains("secret") {
        Err(format!("it tells of the object: {answer}"))
    } else {
        Ok(())
    }
}

/// The lines that are not the same.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(come).take(40).collect::<Vec<_>>().join("\n")
}

/// All cells of a state, by way and role.
fn all_of(state: State) {
    let mut sizes = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in Path::ALL {
        for role in Role::ALL {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let (count, found) = runtime.expect("a runtime").block_on(visit_if_there(state, path, role));
            *sizes.entry((path, role)).or_insert(0) += count;
            wrong.extend(found);
        }
    }
    let total: usize = sizes.values().sum();
    println!("{state:?}: {total} cells, {} wrong", wrong.len());
    assert!(total > if state.is_to_be_taken() { 150 } else { 300 }, "the matrix has shrunk to {total}");
    assert!(wrong.is_empty(), "HYPERTY_SEED={}\n{}", level::seed(), wrong.join("\n"));
}

async fn visit_if_there(state: State, path: Path, role: Role) -> (usize, Vec<String>) {
    let is_there = Cell::all().iter().any(|c| (c.state, c.path, c.role) == (state, path, role));
    if is_there { visit(state, path, role).await } else { (0, Vec::new()) }
}

#[test]
fn nobody_gets_at_what_is_not_there() {
    all_of(State::Absent);
}

#[test]
fn nobody_gets_at_a_live_object_who_may_not() {
    all_of(State::Live);
}

#[test]
fn nobody_gets_at_what_is_offered() {
    all_of(State::Delegating);
}

#[test]
fn nobody_gets_at_what_the_reporter_is_offered() {
    all_of(State::OfferedHere);
}

#[test]
fn nobody_gets_at_what_the_reporter_claims() {
    all_of(State::Claimed);
}

#[test]
fn nobody_gets_at_what_was_deleted() {
    all_of(State::Deleted);
}
