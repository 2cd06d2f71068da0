//! The digest of beats, and the canonical form it is made of (RFC 8785, protocol 10.2).

use hyperty_model::digest::{DIGEST_BYTES_MAX, canonical, of};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::value;

/// Appendix B of RFC 8785: the bits of a double, and how it is written.
const NUMBERS: [(u64, &str); 22] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
];

#[test]
fn numbers_are_written_as_the_standard_says() {
    for (bits, text) in NUMBERS {
        assert_eq!(canonical(&json!(f64::from_bits(bits))), text, "{bits:016x}");
    }
    assert_eq!(canonical(&json!([1, -1, 1.0, 9_007_199_254_740_992_u64])), "[1,-1,1,9007199254740992]");
}

/// Sections 3.2.2 and 3.2.3 of RFC 8785.
#[test]
fn the_samples_of_the_standard() {
    let sample = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        "\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    assert_eq!(canonical(&serde_json::from_str(sample).unwrap()), expected);
    let keys =
        "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}";
    let expected =
        "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
    assert_eq!(canonical(&serde_json::from_str(keys).unwrap()), expected);
}

#[test]
fn digests_are_the_beginning_of_sha_256() {
    // printf '{}' | sha256sum; printf '{"topic":"a"}' | sha256sum
    assert_eq!(of(&json!({}), DIGEST_BYTES_MAX).as_deref(), Some("44136fa355b3678a"));
    assert_eq!(of(&json!({"topic": "a"}), DIGEST_BYTES_MAX).as_deref(), Some("5e0367688523cb99"));
    // Longer than the pieces it is hashed in.
    let long = json!(["x".repeat(10_000), "y".repeat(3), "z".repeat(4_090)]);
    assert_eq!(of(&long, DIGEST_BYTES_MAX).as_deref(), Some("63ad4ea68184d4c0"));
}

proptest! {
    /// The canonical form is the same value, and has one form whatever the order of members was; so has the digest.
    #[test]
    fn one_value_has_one_form(value in value()) {
        let text = canonical(&value);
        let back: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&canonical(&back), &text);
        let digest = of(&value, usize::MAX);
        prop_assert_eq!(&of(&back, usize::MAX), &digest);
        prop_assert_eq!(digest.unwrap().len(), 16);
    }

    /// Two values have the same form only if they are the same but for how their numbers are spelt.
    #[test]
    fn different_values_differ(a in value(), b in value()) {
        let same = canonical(&a) == canonical(&b);
        prop_assert_eq!(same, of(&a, usize::MAX) == of(&b, usize::MAX));
        if a == b {
            prop_assert!(same);
        }
    }

    /// The limit is exact, and counts bytes of the canonical form.
    #[test]
    fn larger_data_has_no_digest(value in value()) {
        let bytes = canonical(&value).len();
        prop_assert!(of(&value, bytes).is_some());
        prop_assert!(of(&value, bytes - 1).is_none());
    }
}
