//! Faults in who is invited, and what that grants (protocol 5.2).

use serde_json::json;

use super::{Fault, answered, enters, handed, is_response, leaves, mutated, posted, text};
use crate::protocol::runtime::line::{code, is_kind};
use crate::protocol::runtime::{Crossing, Subject};

pub(super) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "declined-and-still-granted",
            what: "an invited hyperty declines, and may observe all the same",
            breaks: &["INV-INV-3"],
            make: declined_and_still_granted,
        },
        Fault {
            name: "invited-and-asked-about",
            what: "the application is asked about those that it has invited",
            breaks: &["INV-INV-2"],
            make: invited_and_asked_about,
        },
        Fault {
            name: "invited-twice",
            what: "each invited hyperty gets two invitations",
            breaks: &["INV-INV-1"],
            make: invited_twice,
        },
        Fault {
            name: "answers-not-relayed",
            what: "the Reporter does not hear what the invited answer",
            breaks: &["INV-INV-1"],
            make: answers_not_relayed,
        },
        Fault {
            name: "revoked-and-still-granted",
            what: "a grant that is taken back lets in all the same",
            breaks: &["5.2"],
            make: revoked_and_still_granted,
        },
        Fault {
            name: "scope-ignored",
            what: "an observer writes children though its invitation does not allow that",
            breaks: &["5.2"],
            make: scope_ignored,
        },
        Fault {
            name: "announced-and-granted",
            what: "who is only told of an object may observe it",
            breaks: &["5.2"],
            make: announced_and_granted,
        },
    ]
}

/// An answer of an invited hyperty, on its way to the Reporter.
fn is_relayed(crossing: &Crossing) -> bool {
    handed(crossing)
        && is_response(crossing)
        && text(&crossing.message, "from").ends_with("/subscription")
        && crossing.message["body"]["source"].is_string()
}

fn is_invitation(crossing: &Crossing) -> bool {
    is_kind(&crossing.message, "create") && text(&crossing.message, "from").ends_with("/subscription")
}

/// To the Sync Manager it looks as if nobody had decided; the Reporter hears the truth.
fn declined_and_still_granted() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if enters(&crossing) && is_response(&crossing) && code(&crossing.message) == 406 {
                crossing.message["body"] = json!({"code": 408, "reason": "undecided"});
            } else if is_relayed(&crossing) && code(&crossing.message) == 408 {
                crossing.message["body"]["code"] = json!(406);
            }
            vec![crossing]
        }
    })
}

fn invited_and_asked_about() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if handed(&crossing) && is_kind(&crossing.message, "forward") {
                crossing.message["body"]["authorised"] = json!(false);
            }
            vec![crossing]
        }
    })
}

fn invited_twice() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            if leaves(&crossing) && is_invitation(&crossing) {
                let mut again = crossing.message.clone();
                again["id"] = json!(format!("{}-again", again["id"]));
                let again = Crossing { place: crossing.place.clone(), way: crossing.way, message: again };
                return vec![crossing, again];
            }
            vec![crossing]
        }
    })
}

fn answers_not_relayed() -> Subject {
    mutated(|| |crossing: Crossing| if is_relayed(&crossing) { Vec::new() } else { vec![crossing] })
}

fn revoked_and_still_granted() -> Subject {
    mutated(|| {
        |crossing: Crossing| {
            let revokes =
                is_kind(&crossing.message, "unsubscribe") && crossing.message["body"]["reason"] == "revoked";
            if posted(&crossing) && revokes {
                return vec![answered(&crossing, json!({"code": 200}))];
            }
            vec![crossing]
        }
    })
}

fn scope_ignored() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            if posted(&crossing) && is_kind(&crossing.message, "create") {
                crossing.message["body"]["scope"] = json!({});
            } else if leaves(&crossing) && is_invitation(&crossing) {
                crossing.message["body"]["scope"] = json!({"children": false});
            }
            vec![crossing]
        }
    })
}

fn announced_and_granted() -> Subject {
    mutated(|| {
        |mut crossing: Crossing| {
            let announced = crossing.message["body"]["announce"].clone();
            if posted(&crossing) && is_kind(&crossing.message, "create") && announced.is_array() {
                crossing.message["body"]["authorise"] = announced;
                crossing.message["body"]["announce"] = json!([]);
            }
            vec![crossing]
        }
    })
}
