//! The demo, shortened.

use crate::support::Running;

#[test]
fn the_demo_ends_with_equal_copies_and_nothing_lost() {
    for seed in ["1", "2"] {
        let arguments = ["demo", "--days", "60", "--pace", "500", "--seed", seed, "--output", "json"];
        let (events, code, stderr) = Running::start(&arguments).output();
        assert_eq!((code, events.len()), (0, 1), "{stderr}");
        assert_eq!(events[0]["equal"], true);
        assert_eq!(events[0]["observers"].as_array().unwrap().len(), 2);
        for observer in events[0]["observers"].as_array().unwrap() {
            let sum = observer["delivered"].as_u64().unwrap() + observer["in_state"].as_u64().unwrap();
            assert_eq!(Some(sum), events[0]["published"].as_u64());
            assert_eq!((observer["lost"].as_u64(), observer["duplicated"].as_u64()), (Some(0), Some(0)));
        }
        assert!(!stderr.contains("ERROR"), "{stderr}");
    }
}
