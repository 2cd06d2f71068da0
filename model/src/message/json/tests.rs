use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Whether the text is one JSON value.
fn accepts(text: &[u8]) -> bool {
    let (mut cursor, ascii) = Cursor::new(text, DEPTH_CEILING);
    cursor.space();
    cursor.value(0).and_then(|()| cursor.end()).is_ok() && (ascii || std::str::from_utf8(text).is_ok())
}

fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let expected = serde_json::from_slice::<Value>(text);
    let shown = String::from_utf8_lossy(text);
    prop_assert_eq!(accepts(text), expected.is_ok(), "{} is {:?}", shown, expected);
    Ok(())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\u{1}\u{20ac}\u{1f600}]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Texts that fall apart into what the grammar is made of.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"\\u",
        "d800",
        "\\udc00",
        "\\uD83D\\uDE00",
        "\\n",
        "\\x",
        "0",
        "-",
        "12",
        ".",
        "e",
        "E+",
        "99",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\n",
        "\u{e9}",
        "\u{b}",
        "\u{0}",
    ]);
    prop::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat().into_bytes())
}

proptest! {
    #[test]
    fn every_value_is_accepted_however_it_is_laid_out(value in json()) {
        prop_assert!(accepts(value.to_string().as_bytes()));
        let spacious = format!(" {value:#}\r\n\t");
        prop_assert!(accepts(spacious.as_bytes()));
    }

    #[test]
    fn mutated_values_are_accepted_exactly_if_serde_json_accepts_them(
        value in json(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..4u8, prop::sample::select(&b"\"\\{}[]:,0-.eEu9tn \n\x01\x7f\x80\xc3\xff"[..])),
            1..4,
        ),
    ) {
        let mut text = value.to_string().into_bytes();
        for (at, how, byte) in edits {
            let at = at.index(text.len() + 1);
            match how {
                0 => text.insert(at, byte),
                1 => text.truncate(at),
                _ if at == text.len() => text.push(byte),
                2 => _ = text.remove(at),
                _ => text[at] = byte,
            }
        }
        agrees(&text)?;
    }

    #[test]
    fn scraps_of_json_are_accepted_exactly_if_serde_json_accepts_them(text in scraps()) {
        agrees(&text)?;
        agrees(&[b"[\"", &text[..], b"\"]"].concat())?;
        agrees(&[b"[", &text[..], b"]"].concat())?;
    }

    #[test]
    fn numbers_are_accepted_exactly_if_they_are_doubles(
        text in "-?(0|[0-9]{1,3}|[1-9][0-9]{300,330})(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,4})?",
    ) {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn escapes_are_accepted_exactly_if_they_stand_for_characters(
        text in "\"(\\\\u([dD][89c-fC-F]|00|2g)[0-9a-f]{1,2}|\\\\[bfnrtuxU/\"\\\\]|x){0,4}\"",
    ) {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn arbitrary_bytes_are_accepted_exactly_if_serde_json_accepts_them(text: Vec<u8>) {
        agrees(&text)?;
    }
}

#[test]
fn nesting_ends_at_the_ceiling() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(accepts(&nested(DEPTH_CEILING)));
    assert!(!accepts(&nested(DEPTH_CEILING + 1)));
    // One level less, a body in its frame, is what its addressee can still decode.
    assert!(serde_json::from_slice::<Value>(&nested(DEPTH_CEILING - 1)).is_ok());
    assert!(!accepts(&vec![b'['; 1 << 20]));
}

#[test]
fn mixed_levels_are_told_apart() {
    let text = br#"[{"a":[{"b":[]},{}],"c":{"d":[[1],{"e":{}}]}},[]]"#;
    assert!(accepts(text));
    for at in 0..text.len() {
        let mut wrong = text.to_vec();
        wrong[at] = match text[at] {
            b'}' => b']',
            b']' => b'}',
            b'{' => b'[',
            b'[' => b'{',
            _ => continue,
        };
        assert!(!accepts(&wrong), "{}", String::from_utf8_lossy(&wrong));
    }
}
