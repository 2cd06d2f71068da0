//! An object that is larger than a message for a while: whoever needs it whole fetches it in parts.

use serde_json::{Value, json};

use super::procedures::Procedure;
use super::reporter::Reporting;
use crate::reference::Violation;

/// Characters of the text that makes an object large: more than the body of a message has room for.
const TEXT: usize = 300_000;

/// Makes the object large.
pub(super) fn write(reporting: &mut Reporting) -> Result<(), Violation> {
    let letter = char::from(b'a' + reporting.party.seat.rng.below(26) as u8);
    reporting.judge.did(Procedure::Large);
    reporting.write(|board| board.set("text", json!(letter.to_string().repeat(TEXT))))
}

/// Makes it small if it is large: every change of a large one costs, here and in the judge's books.
pub(super) fn shrink(reporting: &mut Reporting) -> Result<(), Violation> {
    match reporting.board.with_data(is_large) {
        true => reporting.write(|board| board.remove("text")),
        false => Ok(()),
    }
}

fn is_large(data: &Value) -> bool {
    data.get("text").is_some()
}
