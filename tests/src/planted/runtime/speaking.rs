//! Faults of the door by which hyperties speak.

use super::{Fault, Mutator, is_response, posted, text};
use crate::protocol::runtime::{Crossing, HypertyRuntime, Place, Subject, Way};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "neighbour-passes-as-a-component",
            what: "a hyperty says to another what it likes in the name of its runtime's Sync Manager",
            breaks: &["INV-MSG-6"],
            make: || handed_on(|crossing| text(&crossing.message, "from").ends_with("/sm")),
        },
        Fault {
            name: "neighbour-answers-for-the-reporter",
            what: "who listens to a children channel answers what others do there",
            breaks: &["INV-MSG-6"],
            make: || {
                handed_on(|crossing| {
                    is_response(crossing) && text(&crossing.message, "from").contains("/children/")
                })
            },
        },
    ]
}

/// What a hyperty posts of this kind reaches the seat that it goes to, whoever it says it is.
fn handed_on(is_meant: fn(&Crossing) -> bool) -> Subject {
    Subject::scripted(HypertyRuntime).intercepted(move || {
        Box::new(Mutator(move |crossing: Crossing| {
            if !posted(&crossing) || !is_meant(&crossing) {
                return vec![crossing];
            }
            let place = Place::Bus(text(&crossing.message, "to").to_owned());
            vec![Crossing { place, way: Way::Out, message: crossing.message }]
        }))
    })
}
