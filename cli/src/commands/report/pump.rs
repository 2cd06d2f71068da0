//! From lines to changes, many under way at a time.
//!
//! When a change is refused, those made after it are undone with it; they are made again here, in their order and
//! before any later line. That holds because the command runs on one thread: between the look at what is refused and
//! the next change nothing else happens to the object.

pub(super) mod people;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyperty_model::Position;
use hyperty_model::change::diff;
use hyperty_runtime::syncher::{ActionRequest, Commit, InviteAnswers, Observer, Reporter, WriteError};
use tokio::sync::mpsc;

use super::input::Input;
use super::lines::Line;
use crate::exit::{Exit, Failure, code_of};
use crate::output::{Event, Output};

/// Changes under way: more than a disk commits at once, few enough to be made again quickly.
const IN_FLIGHT_MAX: usize = 1_024;

/// Why the pump stands still.
#[derive(Debug)]
pub(crate) enum End {
    /// Stdin ended and everything is settled.
    Eof,
    /// The object is deleted.
    Deleted,
    /// The object is somebody else's now, and observed.
    Delegated(Box<Observer>),
    /// The command was asked to leave.
    Stopped,
    /// Another hyperty of the user has taken the object over.
    Deposed,
}

/// A line that is to be carried out.
#[derive(Debug)]
struct Todo {
    line: u64,
    /// Shared by all changes that the line leads to.
    input: Rc<Input>,
}

/// A change under way.
struct InFlight {
    line: u64,
    input: Rc<Input>,
    commit: Commit,
}

/// Carries out lines.
pub(crate) struct Pump<'a> {
    reporter: Reporter,
    output: &'a Output,
    todo: VecDeque<Todo>,
    in_flight: VecDeque<InFlight>,
    rejected: u64,
    asked: Rc<Asked>,
    /// Who is invited and has not said the last word.
    invited: Vec<InviteAnswers>,
}

/// What observers asked for and no line has answered, by number.
pub(crate) type Asked = RefCell<BTreeMap<u64, ActionRequest>>;

impl<'a> Pump<'a> {
    /// Changes this object.
    pub(crate) fn new(reporter: Reporter, output: &'a Output, asked: Rc<Asked>) -> Pump<'a> {
        Pump {
            reporter,
            output,
            todo: VecDeque::new(),
            in_flight: VecDeque::new(),
            rejected: 0,
            asked,
            invited: Vec::new(),
        }
    }

    /// How many lines were rejected.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Carries out lines as they come. Without `exit_at_eof` it goes on after the last one, so that the object is
    /// served.
    ///
    /// # Errors
    /// When the object takes no changes any more.
    pub(crate) async fn run(
        &mut self,
        mut lines: mpsc::Receiver<Line>,
        exit_at_eof: bool,
    ) -> Result<End, Failure> {
        let mut more = true;
        loop {
            self.settle_known()?;
            if self.in_flight.len() < IN_FLIGHT_MAX
                && self.todo.front().is_some_and(|todo| self.may_start(todo))
            {
                if let Some(todo) = self.todo.pop_front() {
                    match &*todo.input {
                        Input::Delete => {
                            if self.delete(todo.line).await {
                                return Ok(End::Deleted);
                            }
                        }
                        Input::Remove(who) => self.remove(todo.line, who).await,
                        Input::Invite(invite) => self.invite(todo.line, invite).await,
                        Input::Revoke(who) => self.revoke(todo.line, who).await,
                        Input::Delegate(to) => {
                            if let Some(observer) = self.delegate(todo.line, to).await {
                                return Ok(End::Delegated(Box::new(observer)));
                            }
                        }
                        Input::Observers => self.tell_observers(),
                        Input::Answer(answer) => self.answer(todo.line, answer),
                        Input::Change(_) | Input::Whole(_) => self.start(todo),
                    }
                }
                continue;
            }
            let idle = self.todo.is_empty() && self.in_flight.is_empty();
            if idle && !more && exit_at_eof {
                return Ok(End::Eof);
            }
            tokio::select! {
                biased;
                result = first(&mut self.in_flight) => self.settled(result)?,
                answer = people::next_answer(&mut self.invited) => people::tell(self.output, &answer),
                line = lines.recv(), if more && self.todo.is_empty() => match line {
                    Some((line, text)) => self.take(line, text),
                    None => more = false,
                },
            }
        }
    }

    /// Waits for what is under way, before the command leaves.
    ///
    /// # Errors
    /// When the object takes no changes any more.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        self.todo.clear();
        while !self.in_flight.is_empty() {
            let result = first(&mut self.in_flight).await;
            self.settled(result)?;
        }
        Ok(())
    }

    /// What ends something waits for all before it.
    fn may_start(&self, todo: &Todo) -> bool {
        let ends = matches!(*todo.input, Input::Delete | Input::Remove(_) | Input::Delegate(_));
        !ends || self.in_flight.is_empty()
    }

    fn take(&mut self, line: u64, text: Result<String, String>) {
        match text.and_then(|text| Input::parse(&text)) {
            Ok(Some(input)) => self.todo.push_back(Todo { line, input: Rc::new(input) }),
            Ok(None) => {}
            Err(reason) => self.reject(line, 400, reason),
        }
    }

    fn start(&mut self, Todo { line, input }: Todo) {
        let changes = match &*input {
            Input::Change(change) => vec![change.clone()],
            Input::Whole(data) => self.reporter.with_data(|now| diff(now, data)),
            _ => return,
        };
        if changes.is_empty() {
            // Nothing differs: what the line says is so when all before it is settled.
            let commit = self.reporter.update(|_| {});
            self.in_flight.push_back(InFlight { line, input, commit });
            return;
        }
        for change in changes {
            let commit = self.reporter.change(change);
            self.in_flight.push_back(InFlight { line, input: Rc::clone(&input), commit });
        }
    }

    async fn delete(&mut self, line: u64) -> bool {
        match self.reporter.delete().await {
            Ok(()) => {
                self.output.emit(&Event::Deleted { url: self.reporter.url() });
                true
            }
            Err(error) => {
                let failure = Failure::from(error);
                let code = if failure.exit == Exit::Timeout { 408 } else { 500 };
                self.reject(line, code, failure.message);
                false
            }
        }
    }

    /// Settles what is known already, without waiting.
    fn settle_known(&mut self) -> Result<(), Failure> {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(first) = self.in_flight.front_mut() {
            let Poll::Ready(result) = Pin::new(&mut first.commit).poll(&mut context) else { break };
            self.settled(result)?;
        }
        Ok(())
    }

    /// The first change under way is settled.
    fn settled(&mut self, result: Result<Position, WriteError>) -> Result<(), Failure> {
        let Some(InFlight { line, input, .. }) = self.in_flight.pop_front() else { return Ok(()) };
        match result {
            Ok(position) => {
                self.output.emit(&Event::Published { version: position.version, line });
                Ok(())
            }
            // A whole document can be more changes than may be under way: the rest comes when these are settled.
            Err(WriteError::Undone { .. } | WriteError::EditOutdated | WriteError::TooManyInFlight(_)) => {
                self.redo(line, input);
                Ok(())
            }
            Err(error) => {
                let code = code_of(&error).0;
                self.reject(line, code, error.to_string());
                // Of a line with several changes, the rest goes with the one that was refused.
                while self.in_flight.front().is_some_and(|next| next.line == line) {
                    self.in_flight.pop_front();
                }
                match error {
                    // The end is told by an event of the object.
                    WriteError::Deposed { .. } => Ok(()),
                    WriteError::StoreFailed { .. } | WriteError::Deleted | WriteError::Stopped => {
                        Err(Failure::error(error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// A change was undone because one before it was refused: all under way are, and are made again.
    fn redo(&mut self, line: u64, input: Rc<Input>) {
        let mut again = VecDeque::from([Todo { line, input }]);
        for InFlight { line, input, .. } in self.in_flight.drain(..) {
            // The changes of one whole document are worked out anew.
            if again.back().is_none_or(|last| last.line != line) {
                again.push_back(Todo { line, input });
            }
        }
        again.append(&mut self.todo);
        self.todo = again;
    }

    fn reject(&mut self, line: u64, code: u16, reason: String) {
        tracing::error!("line {line} is rejected: {code} {reason}");
        self.rejected += 1;
        self.output.emit(&Event::Rejected { line, code, reason });
    }
}

/// The result of the first change under way; waits for ever if there is none.
async fn first(in_flight: &mut VecDeque<InFlight>) -> Result<Position, WriteError> {
    match in_flight.front_mut() {
        Some(first) => (&mut first.commit).await,
        None => std::future::pending().await,
    }
}
