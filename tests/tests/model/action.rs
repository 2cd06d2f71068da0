//! Actions that observers ask the Reporter for: performed at most once each, and answered once.

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_syncher::RequestError;
use serde_json::{Value, json};

use crate::board::Board;
use crate::subscribe::{Pending, Request};
use crate::system::{System, broken};

impl System {
    pub(crate) async fn ask(&mut self, who: usize, number: usize, wait: bool) -> Result<(), Violation> {
        let board = &self.boards[number];
        let Some(watch) = &board.seats[who].watch else { return Ok(()) };
        let (observer, was_there) = (watch.observer.clone(), !board.reference.is_deleted());
        self.asked += 1;
        let asked = self.asked;
        let task = tokio::spawn(async move { observer.request("count", json!(asked)).await });
        let request = Request::Action(asked, task);
        self.pending.push(Pending { who, board: number, was_there, request });
        if wait { self.finish_pending().await } else { Ok(()) }
    }

    /// What came of an action.
    pub(crate) fn was_done(
        &self,
        who: usize,
        number: usize,
        asked: u64,
        answer: Result<Value, RequestError>,
    ) -> Result<(), Violation> {
        let name = self.member(who).who();
        let board = &self.boards[number];
        match answer {
            Ok(value) if value != json!({"counted": asked}) => {
                let detail = format!("action {asked} is answered with {value}");
                Err(broken(Invariant::I3, &name, detail))
            }
            Ok(_) if !board.performed.contains(&asked) => {
                let detail = format!("action {asked} is answered, and nobody has performed it");
                Err(broken(Invariant::I3, &name, detail))
            }
            Err(error @ (RequestError::TooLarge(_) | RequestError::Malformed(_))) => {
                Err(broken(Invariant::I7, &name, format!("action {asked} fails with {error}")))
            }
            // Performed or not: whoever was to do it may be gone.
            _ => Ok(()),
        }
    }
}

impl Board {
    /// The Reporter's application does what it is asked for.
    pub(crate) fn perform(&mut self) -> Result<(), Violation> {
        let Some(reporter) = &self.reporter else { return Ok(()) };
        let mut requests = reporter.requests();
        while let Some(Some(request)) = requests.next().now_or_never() {
            let asked = request.params().first().and_then(Value::as_u64);
            let Some(asked) = asked.filter(|_| request.method() == "count") else {
                let detail = format!("asked for {} with {:?}", request.method(), request.params());
                return Err(broken(Invariant::I12, &self.owner_who, detail));
            };
            if !self.performed.insert(asked) {
                let detail = format!("is asked twice for action {asked}");
                return Err(broken(Invariant::I2, &self.owner_who, detail));
            }
            request.answer(json!({ "counted": asked }));
        }
        Ok(())
    }
}
