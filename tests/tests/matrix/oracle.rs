//! What the protocol says of each cell. Written from its text alone: nothing here looks at the crates.

use crate::cell::{Ask, Cell, Form, Path, Role, State};

/// What has to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done: the final answer is a success, or there is none where none is due.
    Granted,
    /// The final answer is one of these, and nothing has changed.
    Refused(&'static [u64]),
    /// Nothing has changed. If there is an answer, it is a refusal.
    Nothing,
    /// Nothing has changed, whatever is answered: the sender has all that it asks for already.
    Unchanged,
}

const UNKNOWN: Verdict = Verdict::Refused(&[404]);
const FORBIDDEN: Verdict = Verdict::Refused(&[403]);
/// A reader is told as little as possible (INV-READ-1).
const UNREADABLE: Verdict = Verdict::Refused(&[401, 403]);
/// What is gone is gone, and who has no business there need not be told that it was.
const GONE: Verdict = Verdict::Refused(&[403, 404, 410]);

/// The verdict, where the protocol has one.
pub(crate) fn verdict(cell: Cell) -> Option<Verdict> {
    match cell.form {
        // Before anything else: who is somebody no more may not speak.
        Form::Expired => return Some(Verdict::Refused(&[401])),
        // No hyperty: what takes hyperties only calls it malformed.
        Form::True | Form::ForgedIdentity if cell.role == Role::OtherRuntime => return elsewhere(cell),
        Form::ForgedObject => return speaks_as_the_object(cell),
        _ if cell.role == Role::Node => return Some(FORBIDDEN),
        // A double of one's own is another matter.
        Form::Replayed if author_of(cell.ask) == cell.role && cell.path == Path::Node => return None,
        Form::ForgedFrom | Form::ForgedObserver | Form::ForgedManager | Form::Replayed => {
            return Some(speaks_as_another(cell));
        }
        Form::ForgedSource => return names_another(cell),
        // Who the user is, is known from the session or the deployment, never from the message.
        Form::ForgedIdentity | Form::True => {}
    }
    by_state(cell)
}

fn by_state(cell: Cell) -> Option<Verdict> {
    match cell.state {
        State::Absent => absent(cell),
        State::Deleted => deleted(cell),
        State::Live | State::Delegating => there(cell),
        State::OfferedHere | State::Claimed => to_be_taken(cell),
    }
}

/// A node answers at once (5.14), and so does the bus of a runtime its own hyperties (4.1), but for what is published
/// there: that gets no error (2.4).
fn speaks_as_another(cell: Cell) -> Verdict {
    match cell.path {
        Path::Inside if cell.ask.is_published() || cell.ask.is_of_child() => Verdict::Nothing,
        Path::Node | Path::Inside => FORBIDDEN,
    }
}

/// Nobody but who holds an object speaks in its name; of a child it is the older form of its author's operations
/// (5.9.3), whom `source` names. An address that nobody holds may be used by anybody (5.14); that leads nowhere.
fn speaks_as_the_object(cell: Cell) -> Option<Verdict> {
    if cell.path == Path::Inside {
        let is_older_form = cell.ask == Ask::ChangeChild && cell.role == Role::ChildReporter;
        return (!is_older_form).then(|| speaks_as_another(cell));
    }
    match cell.state {
        State::Absent | State::Deleted if cell.ask.is_for_node() => None,
        State::Absent | State::Deleted => Some(Verdict::Nothing),
        // The one who offers it holds it.
        State::OfferedHere | State::Claimed => Some(FORBIDDEN),
        State::Live | State::Delegating if !cell.ask.is_of_child() || !cell.role.observes() => {
            Some(FORBIDDEN)
        }
        // The answer goes to the object; what does not name its author has no effect.
        State::Live | State::Delegating
            if cell.ask == Ask::ChangeChild && cell.role == Role::ChildReporter =>
        {
            None
        }
        State::Live | State::Delegating => Some(Verdict::Nothing),
    }
}

/// `source` names on whose behalf a Sync Manager asks; it names hyperties of its own runtime only (5.3 step 7, 5.6.3),
/// and does not make anybody an author (3.5). A Sync Manager's own hyperties ask for themselves.
fn names_another(cell: Cell) -> Option<Verdict> {
    let is_there = matches!(cell.state, State::Live | State::Delegating);
    match cell.ask {
        Ask::Subscribe if cell.path == Path::Inside => verdict(Cell { form: Form::True, ..cell }),
        // It is the author all the same.
        Ask::ChangeChild if is_there && cell.role == Role::ChildReporter => None,
        Ask::Read | Ask::Repair if is_there && (cell.role.observes() || cell.role == Role::Invited) => {
            Some(Verdict::Unchanged)
        }
        Ask::Register | Ask::RegisterLater if !is_there => None,
        _ => Some(Verdict::Nothing),
    }
}

/// Whose message it is that is sent again.
fn author_of(ask: Ask) -> Role {
    match ask {
        Ask::Change | Ask::Delete => Role::Reporter,
        Ask::AddChild | Ask::ChangeChild => Role::ChildReporter,
        _ => Role::Observer,
    }
}

fn elsewhere(cell: Cell) -> Option<Verdict> {
    let verdict = by_state(cell)?;
    let takes_hyperties = matches!(cell.ask, Ask::Subscribe | Ask::Leave | Ask::TakeUp | Ask::Execute)
        || cell.ask.is_of_child();
    Some(if takes_hyperties && matches!(verdict, Verdict::Refused(_)) {
        Verdict::Refused(&[400, 403, 404, 410])
    } else {
        verdict
    })
}

fn absent(cell: Cell) -> Option<Verdict> {
    let verdict = match cell.ask {
        // An address that is nobody's may be taken; nothing is disturbed by that.
        Ask::Hold | Ask::Transfer | Ask::Revoke | Ask::Release | Ask::Register | Ask::RegisterLater => {
            return None;
        }
        Ask::Disconnect | Ask::Unregister => Verdict::Nothing,
        Ask::SessionEnded => Verdict::Nothing,
        ask if ask.is_published() => Verdict::Nothing,
        ask if ask.is_for_manager() => match cell.path {
            // Nobody's Sync Manager takes requests of another runtime.
            Path::Node => FORBIDDEN,
            // Who asks for the removal of somebody else is nobody's Reporter, and who has no user resumes nothing.
            Path::Inside if matches!(cell.ask, Ask::Remove | Ask::Resume) => Verdict::Refused(&[403, 404]),
            Path::Inside => UNKNOWN,
        },
        // Nobody is there who would answer (2.4).
        ask if ask.is_of_child() => Verdict::Nothing,
        _ => UNKNOWN,
    };
    Some(verdict)
}

fn deleted(cell: Cell) -> Option<Verdict> {
    let verdict = match cell.ask {
        // Its address was given back.
        Ask::Hold | Ask::Transfer | Ask::Revoke | Ask::Release => return None,
        Ask::Register | Ask::RegisterLater => Verdict::Refused(&[403, 409, 410]),
        Ask::Disconnect | Ask::Unregister | Ask::SessionEnded => Verdict::Nothing,
        ask if ask.is_published() => Verdict::Nothing,
        ask if ask.is_of_child() => Verdict::Nothing,
        ask if ask.is_for_manager() && cell.path == Path::Node => FORBIDDEN,
        _ => GONE,
    };
    Some(verdict)
}

/// It is not the Reporter's before it is given (5.11 step 8), whatever was offered and accepted: nobody acts on it here,
/// and only the one whom it is offered to accepts it. At the node it is its owner's.
fn to_be_taken(cell: Cell) -> Option<Verdict> {
    let Cell { role, ask, path, .. } = cell;
    let verdict = match ask {
        // That is how it becomes its own; that it is its own then others look at (INV-DLG-6).
        Ask::Accept if role == Role::Reporter => return None,
        Ask::Accept => FORBIDDEN,
        // Only who offers it passes on what it was asked (5.11 step 7).
        Ask::PassOn => Verdict::Refused(&[400, 403, 404]),
        ask if ask.is_published() => published(path),
        Ask::Resume if role == Role::Reporter => return None,
        ask if ask.is_for_manager() && path == Path::Node => FORBIDDEN,
        ask if ask.is_for_manager() => Verdict::Refused(&[403, 404]),
        Ask::Hold | Ask::Transfer | Ask::Register | Ask::RegisterLater => Verdict::Refused(&[403, 409]),
        ask if ask.is_for_node() => FORBIDDEN,
        // For its owner to answer.
        _ => return None,
    };
    Some(verdict)
}

fn there(cell: Cell) -> Option<Verdict> {
    let Cell { role, ask, path, .. } = cell;
    let observes = role.observes();
    let reports = role == Role::Reporter;
    let granted = |is: bool, otherwise: Verdict| if is { Verdict::Granted } else { otherwise };
    let verdict = match ask {
        // It holds the object; how it would ask for it is not said.
        Ask::Read | Ask::Repair | Ask::Subscribe | Ask::Leave | Ask::Execute | Ask::SessionEnded
            if reports =>
        {
            return None;
        }
        Ask::Read => granted(observes || role == Role::Invited, UNREADABLE),
        // A copy is repaired of who observes (10.1); a grant is for a read of the whole (5.5.1).
        Ask::Repair if role == Role::Invited => return None,
        Ask::Repair => granted(observes, UNREADABLE),
        Ask::Subscribe => granted(observes || role == Role::Invited, FORBIDDEN),
        Ask::Leave => granted(observes, Verdict::Refused(&[403, 404])),
        // Only the node's own word counts (M13).
        Ask::SessionEnded => Verdict::Refused(&[400, 403, 404]),
        Ask::Change => granted(reports, published(path)),
        Ask::Beat | Ask::AnnounceDeletion if reports => return None,
        Ask::Beat | Ask::AnnounceDeletion => published(path),
        // Whether an offered object may be deleted is not said.
        Ask::Delete if reports && cell.state == State::Delegating => return None,
        Ask::Delete | Ask::Invite | Ask::Remove => granted(reports, FORBIDDEN),
        Ask::Offer if reports && cell.state == State::Delegating => Verdict::Refused(&[409]),
        // Shown by the objects that are offered here.
        Ask::Offer if reports => return None,
        Ask::Offer => FORBIDDEN,
        Ask::TakeUp => Verdict::Refused(&[403, 404]),
        Ask::Accept | Ask::PassOn => return None,
        // A session that waits to be accepted may be an observer's that comes back: its operations are dropped, and
        // sent again when it is (10.4).
        ask if ask.is_of_child() && path == Path::Node && !observes => Verdict::Nothing,
        Ask::AddChild => granted(observes || reports, FORBIDDEN),
        Ask::AddReadOnly => granted(reports, FORBIDDEN),
        Ask::ChangeChild | Ask::DeleteChild => granted(role == Role::ChildReporter, FORBIDDEN),
        Ask::Execute => granted(observes, FORBIDDEN),
        // Its own resume is idempotent and looked at elsewhere (INV-RES-3); nobody else finds anything (INV-RES-4).
        Ask::Resume if reports => return None,
        Ask::Resume if path == Path::Inside => Verdict::Refused(&[403, 404, 409]),
        Ask::Resume => FORBIDDEN,
        Ask::Hold | Ask::Transfer => Verdict::Refused(&[403, 409]),
        // Its user may take it over again (5.10.1); what else it registers comes too late.
        Ask::RegisterLater if role == Role::Deposed => return None,
        // Only the same user takes an object over, and its owner hands it over (5.10.1, 5.11).
        Ask::Register | Ask::RegisterLater => Verdict::Refused(&[403, 409]),
        Ask::Revoke | Ask::Disconnect | Ask::Unregister | Ask::Release => FORBIDDEN,
    };
    Some(verdict)
}

/// What is published is answered by nobody but a node that refuses it.
fn published(path: Path) -> Verdict {
    match path {
        Path::Node => FORBIDDEN,
        Path::Inside => Verdict::Nothing,
    }
}
