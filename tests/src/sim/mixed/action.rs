//! An Observer asks the Reporter to do something: done at most once, answered once (`execute`).

use std::sync::Arc;

use futures_core::future::BoxFuture;
use hyperty_syncher::{ActionRequest, Observer, Reporter, RequestError};
use serde_json::{Value, json};

use super::party::Party;
use super::procedures::Procedure;
use crate::reference::{Invariant, Violation};

/// What everybody asks for.
const METHOD: &str = "count";

/// An Observer asks.
pub(super) fn ask(party: &Party, observer: &Observer) -> BoxFuture<'static, Result<(), Violation>> {
    let (judge, observer) = (Arc::clone(&party.role.judge), observer.clone());
    let odd = party.odd(observer.url(), Invariant::I7, "");
    let number = judge.next_action();
    Box::pin(async move {
        let answer = observer.request(METHOD, json!(number)).await;
        let (invariant, detail) = match answer {
            Ok(value) if value != json!({ "counted": number }) => {
                (Invariant::I3, format!("action {number} is answered with {value}"))
            }
            Ok(_) if !judge.is_performed(number) => {
                (Invariant::I3, format!("action {number} is answered, and nobody has performed it"))
            }
            Err(error @ (RequestError::TooLarge(_) | RequestError::Malformed(_))) => {
                (Invariant::I7, format!("action {number} fails with {error}"))
            }
            Ok(_) => {
                judge.did(Procedure::Action);
                return Ok(());
            }
            // Performed or not: whoever was to do it may be gone.
            Err(_) => return Ok(()),
        };
        Err(Violation { invariant, detail, ..odd })
    })
}

/// The Reporter does what it is asked for.
pub(super) fn perform(party: &Party, board: &Reporter, request: ActionRequest) -> Result<(), Violation> {
    let asked = request.params().first().and_then(Value::as_u64);
    let Some(asked) = asked.filter(|_| request.method() == METHOD) else {
        let detail = format!("asked for {} with {:?}", request.method(), request.params());
        return Err(party.odd(board.url(), Invariant::I12, detail));
    };
    if !party.role.judge.performs(asked) {
        let detail = format!("is asked twice for action {asked}");
        return Err(party.odd(board.url(), Invariant::I2, detail));
    }
    request.answer(json!({ "counted": asked }));
    Ok(())
}
