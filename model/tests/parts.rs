//! Answers in parts are what they would have been in one message (protocol 5.5.2, 10.5; INV-READ-2).

use hyperty_model::StatusCode;
use hyperty_model::message::ResponseBody;
use hyperty_model::parts::{Cut, JoinError, Joined, PARTS_MAX, Piece, Pushed, split};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn answer(children: Map<String, Value>, data: Value) -> ResponseBody {
    let value = json!({"url": "comm://a.example/1", "version": 4, "data": data, "childrenObjects": children,
        "childrenDeleted": {"notes": {"ids": ["x#1"]}}});
    ResponseBody { recovered: Some(false), ..ResponseBody::ok().with_value(value) }
}

fn children() -> impl Strategy<Value = Map<String, Value>> {
    let entry = prop_oneof!["[a-z\"\\\\ö]{0,60}".prop_map(|text| json!({"value": {"data": {"text": text}}}))];
    let of_name = prop::collection::btree_map("h#[0-9]{1,3}", entry, 0..12);
    prop::collection::btree_map("notes|news", of_name, 0..3).prop_map(|names| {
        names
            .into_iter()
            .map(|(name, of_name)| (name, Value::Object(of_name.into_iter().collect())))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_text_in_pieces_is_the_text_inv_read_2(
        text in "(\\PC|\"|\\\\|\u{1F600}){0,300}", characters in 1..70_usize, order in any::<u64>(),
    ) {
        let cut = Cut::new(text.clone().into(), characters).unwrap();
        let mut numbers: Vec<usize> = (1..=cut.len()).collect();
        let turn = usize::try_from(order % numbers.len() as u64).unwrap();
        numbers.rotate_left(turn);
        let mut joined = Joined::new(cut.len(), cut.bytes(), 100_000).unwrap();
        for number in numbers {
            prop_assert!(joined.missing() > 0);
            // As it travels: escaped in a message.
            let sent = serde_json::to_string(&cut.answer(number, "t").unwrap()).unwrap();
            let piece = Piece::of(&serde_json::from_str(&sent).unwrap()).unwrap();
            prop_assert_eq!(piece.part, number as u64);
            prop_assert!(piece.text.chars().count() <= characters);
            prop_assert_eq!(piece.transfer.is_some(), number == 1);
            joined.put(number, &piece.text).unwrap();
            joined.put(number, &piece.text).unwrap();
        }
        prop_assert_eq!(joined.finish().unwrap(), text);
        prop_assert_eq!(cut.piece(0), None);
        prop_assert_eq!(cut.piece(cut.len() + 1), None);
    }

    #[test]
    fn pushed_parts_are_the_whole_inv_read_2(
        children in children(), characters in 1..400_usize, turn in 0..40_usize, provisional: bool,
    ) {
        let whole = answer(children, json!({"a": [1, "x"]}));
        let mut parts = split(whole.clone(), characters);
        if parts.len() == 1 {
            prop_assert_eq!(&parts[0], &whole);
            return Ok(());
        }
        let count = parts.len();
        prop_assert!(parts[..count - 1].iter().all(|part| part.code.is_provisional()));
        prop_assert!(parts[count - 1].code.is_success());
        prop_assert_eq!(parts[0].value.as_ref().unwrap().get("childrenObjects"), None);
        if provisional {
            parts[count - 1].code = StatusCode::PROVISIONAL;
        }
        parts.rotate_left(turn % count);
        let mut pushed = Pushed::new(1_000_000);
        for (at, part) in parts.iter().enumerate() {
            prop_assert!(Pushed::is_part(part));
            prop_assert_eq!(pushed.take(part).unwrap(), at + 1 == count);
            prop_assert!(!pushed.take(part).unwrap(), "once");
        }
        let joined = pushed.finish().unwrap();
        prop_assert_eq!(joined.value, whole.value);
        prop_assert_eq!(joined.recovered, (!provisional).then_some(false));
        prop_assert!(joined.extra.is_empty());
    }
}

#[test]
fn a_missing_or_foreign_part_fails_the_whole() {
    let cut = Cut::new("abcdefghij".into(), 3).unwrap();
    let joined = || Joined::new(4, 10, 10).unwrap();
    let mut one = joined();
    for number in [1, 2, 4] {
        one.put(number, cut.piece(number).unwrap()).unwrap();
    }
    assert_eq!(one.put(5, "x"), Err(JoinError::Foreign(5)));
    assert_eq!(one.put(0, "x"), Err(JoinError::Foreign(0)));
    assert_eq!(one.put(1, "abd"), Err(JoinError::Foreign(1)));
    assert_eq!(one.finish(), Err(JoinError::Missing(1)));
    let mut short = joined();
    (1..=4).for_each(|number| short.put(number, "x").unwrap());
    assert_eq!(short.finish(), Err(JoinError::Length { told: 10, got: 4 }));
    assert!(matches!(joined().put(1, "abcdefghijk"), Err(JoinError::Length { .. })));
    for (parts, bytes) in [(4, 11), (0, 5), (6, 5), (PARTS_MAX + 1, 10), (usize::MAX, usize::MAX)] {
        assert!(matches!(Joined::new(parts, bytes, 10), Err(JoinError::TooLarge { .. })), "{parts} {bytes}");
    }
}

#[test]
fn pushed_parts_are_bounded_and_of_one_answer() {
    let children: Map<String, Value> = serde_json::from_value(
        json!({"notes": {"h#1": {"value": {"data": {"t": "xxxxxxxxxx"}}}, "h#2": {"value": {"data": {}}}}}),
    )
    .unwrap();
    let parts = split(answer(children, json!({})), 20);
    assert_eq!(parts.len(), 3);
    let mut pushed = Pushed::new(1_000);
    assert_eq!(pushed.take(&parts[2]), Ok(false));
    assert_eq!(pushed.take(&parts[0]), Ok(false));
    let foreign = |name: &str, value: Value| {
        let mut part = parts[1].clone();
        part.extra.insert(name.to_owned(), value);
        part
    };
    for part in [foreign("part", json!(0)), foreign("part", json!(4)), foreign("responses", json!(4))] {
        assert!(matches!(pushed.take(&part), Err(JoinError::Foreign(_))));
    }
    let without = ResponseBody { value: Some(json!(3)), ..parts[1].clone() };
    assert_eq!(pushed.take(&without), Err(JoinError::NoValue(2)));
    assert_eq!(pushed.finish(), Err(JoinError::Missing(1)));
    assert!(matches!(Pushed::new(50).take(&parts[0]), Err(JoinError::TooLarge { .. })));
    assert_eq!(Pushed::new(50).finish(), Err(JoinError::Missing(1)));
}
