//! Files of rules: what is read decides everything, the same each time, and is read as the same once it was written.

use hyperty_model::{Identity, Timestamp, Url};
use hyperty_policy::rules::RuleSet;
use hyperty_policy::{Point, PolicyRequest};

/// Reads the bytes as TOML, and as JSON.
pub fn work(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = RuleSet::from_toml(&text);
    let _ = RuleSet::from_json(&text);
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for read in [RuleSet::from_toml(&text), RuleSet::from_json(&text)] {
        match read {
            Err(error) => assert!(!error.to_string().is_empty(), "an error says what is wrong"),
            Ok(rules) => check(&rules),
        }
    }
}

fn check(rules: &RuleSet) {
    let written = serde_json::to_string(rules).expect("rules are written");
    let again = RuleSet::from_json(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(&again, rules, "rules are others once they were written");
    let now = Timestamp::from_millis(1_700_000_000_000);
    for actor in
        ["hyperty://example.com/1", "hyperty://elsewhere.example/2", "hyperty-runtime://a.example/r/sm"]
    {
        let actor = Url::parse(actor).expect("it is an address");
        for point in Point::ALL {
            for user in [None, Some(Identity::of_user("user://example.com/alice"))] {
                let request = PolicyRequest::new(point, actor.clone()).identity(user);
                let decision = rules.decide(&request, now);
                assert_eq!(decision, again.decide(&request, now), "{request:?}");
                if let Some(reason) = decision.refusal() {
                    assert!(!reason.trim().is_empty(), "{request:?} is refused without a word");
                }
            }
        }
    }
}
