//! From errors to exit codes.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use hyperty_model::StatusCode;
use hyperty_runtime::syncher::{
    ChildError, CreateError, DeleteError, DiscoverError, ReadError, RequestError, ResumeError,
    SubscribeError, TakeOverError, WriteError,
};

/// Why a command ends, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed.
    Error = 1,
    /// The command line or its input makes no sense.
    Usage = 2,
    /// Refused: not allowed to do that.
    NotAuthorised = 3,
    /// There is no such object, or no way to it.
    NotFound = 4,
    /// No answer in time, or what was waited for did not come.
    Timeout = 5,
    /// Interrupted before it was done, as shells know it: 128 and the number of SIGINT.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// The exit code that stands for a code of the protocol.
    pub(crate) fn of(code: StatusCode) -> Exit {
        match code {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAuthorised,
            StatusCode::NOT_FOUND | StatusCode::GONE => Exit::NotFound,
            StatusCode::TIMEOUT | StatusCode::BACKEND_UNREACHABLE => Exit::Timeout,
            _ => Exit::Error,
        }
    }
}

/// What ends a command that does not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For the person who called.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }

    /// Something failed.
    pub(crate) fn error(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Error, message)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// A file that the command line names is not what it has to be.
    pub(crate) fn usage_of(path: &Path, error: impl fmt::Display) -> Failure {
        Failure::usage(format_args!("{}: {error}", path.display()))
    }

    /// Something failed with this file or directory.
    pub(crate) fn error_at(path: &Path, error: impl fmt::Display) -> Failure {
        Failure::error(format_args!("{}: {error}", path.display()))
    }

    /// The same, after what was being done.
    #[must_use]
    pub(crate) fn while_doing(self, what: impl fmt::Display) -> Failure {
        Failure { message: format!("{what}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What errors of the library mean for who called: a refusal by its code, silence as such, and the rest as it says.
macro_rules! failures {
    ($($error:ident { $($pattern:pat => $exit:expr),* $(,)? })*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                use $error::*;
                let exit = match &error {
                    Refused { code, .. } => Exit::of(*code),
                    $($pattern => $exit,)*
                    _ => Exit::Error,
                };
                match &error {
                    Refused { reason, .. } if reason == "no route" => Failure::new(exit, NOT_REACHED),
                    _ => Failure::new(exit, error),
                }
            }
        }
    )*};
}

/// What a node says of an object that it knows no way to, in words.
const NOT_REACHED: &str = "there is no such object, or nobody who has it can be reached now (no route)";

failures! {
    CreateError { Data(_) => Exit::Usage, Timeout => Exit::Timeout }
    SubscribeError { Timeout => Exit::Timeout }
    ReadError { Timeout => Exit::Timeout }
    DeleteError { Timeout => Exit::Timeout }
    TakeOverError { Timeout => Exit::Timeout }
    ResumeError { Timeout => Exit::Timeout }
    DiscoverError { Deleted => Exit::NotFound, Unreachable(_) => Exit::Timeout }
    RequestError {
        TooLarge(_) => Exit::Usage,
        NotAllowed(_) => Exit::NotAuthorised,
        Gone | Closed => Exit::NotFound,
        Unreachable(_) | Timeout(_) => Exit::Timeout,
    }
    ChildError {
        Data(_) | Apply(_) => Exit::Usage,
        Undone { code, .. } => Exit::of(*code),
        Unanswered => Exit::Timeout,
        Deleted | Closed => Exit::NotFound,
    }
}

/// The code of the protocol that a change which was not made stands for.
pub(crate) fn code_of(error: &WriteError) -> StatusCode {
    match error {
        WriteError::Refused { code, .. } | WriteError::Undone { code, .. } => *code,
        WriteError::Deleted => StatusCode::GONE,
        WriteError::Data(_) | WriteError::Apply(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_protocol_have_the_documented_exit_codes() {
        let exit = |code| Exit::of(StatusCode(code)) as u8;
        assert_eq!([401, 403].map(exit), [3, 3]);
        assert_eq!([404, 410].map(exit), [4, 4]);
        assert_eq!([408, 504].map(exit), [5, 5]);
        assert_eq!([400, 409, 500].map(exit), [1, 1, 1]);
    }
}
