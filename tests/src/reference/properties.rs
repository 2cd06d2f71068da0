//! The reference model against any history that is good, and with one wrong step in it.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::tests::{OBJECT, at, board, doc};
use super::*;

/// What an observer may do with a history that it follows.
#[derive(Debug, Clone)]
enum Step {
    Write,
    Tell,
    Resync,
    Crash,
    Reporter,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Write),
        5 => Just(Step::Tell),
        1 => Just(Step::Resync),
        1 => Just(Step::Crash),
        1 => Just(Step::Reporter),
    ];
    vec(step, 1..60)
}

proptest! {
    /// A system that does everything right is never blamed; with one thing wrong at any point it is.
    #[test]
    fn a_good_history_passes_and_one_wrong_step_is_found(steps in steps(), wrong in 0..60usize, how in 0..4u8) {
        let mut good = board(0, 0);
        good.joined("bob", at(0, 0), &doc(0)).unwrap();
        let (mut told, mut last, mut caught) = (0, 0, None);
        for (number, step) in steps.iter().enumerate() {
            if number == wrong && told < last {
                let mut bad = good.clone();
                caught = Some(match how {
                    0 => bad.changed("bob", at(0, told + 1), &json!("other")).err(),
                    1 => bad.changed("bob", at(0, told), &doc(told)).err(),
                    2 => bad.changed("bob", at(0, last + 1), &doc(last + 1)).err(),
                    _ => bad.resynced("bob", at(0, last + 1), &doc(last + 1)).err(),
                });
            }
            match step {
                Step::Write => {
                    last += 1;
                    prop_assert_eq!(good.proposed("alice", at(0, last), &doc(last)), Ok(()));
                }
                Step::Tell if told < last => {
                    told += 1;
                    prop_assert_eq!(good.changed("bob", at(0, told), &doc(told)), Ok(()));
                    prop_assert_eq!(good.acknowledged("alice", at(0, told)), Ok(()));
                }
                Step::Tell => {}
                Step::Resync => {
                    told = last;
                    prop_assert_eq!(good.resynced("bob", at(0, last), &doc(last)), Ok(()));
                }
                Step::Crash => prop_assert_eq!(good.came_back("bob", at(0, told), &doc(told)), Ok(())),
                Step::Reporter => {
                    last = told.max(good.acknowledged_position().version);
                    prop_assert_eq!(good.resumed("alice", at(0, last), &doc(last)), Ok(()));
                }
            }
        }
        if let Some(caught) = caught {
            prop_assert!(caught.is_some());
        }
    }

    /// Folding what the crates find between two documents gives the second: two programs agree on what a change is.
    #[test]
    fn folding_agrees_with_the_changes_that_are_found(before in document(), after in document()) {
        let changes = hyperty_model::change::diff(&before, &after);
        let folded = changes.iter().try_fold(before.clone(), fold);
        prop_assert_eq!(folded, Some(after));
    }

    /// Two documents have one digest exactly when they are equal.
    #[test]
    fn a_digest_tells_documents_apart(one in document(), other in document()) {
        let limits = Limits { values: 0, ..Limits::default() };
        let mut board = Reference::with_limits(OBJECT, "alice", one.clone(), limits).open();
        board.proposed("alice", at(0, 1), &one).unwrap();
        prop_assert_eq!(board.read("bob", at(0, 1), &one), Ok(()));
        prop_assert_eq!(board.read("bob", at(0, 1), &other).is_ok(), one == other);
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-5i64..5).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-c.]{0,3}|x://a\\.b", inner), 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    vec(("[a-c]{1,2}", value), 0..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}
