//! Lines of stdin.

use std::io::{BufRead, BufReader, Read};

use hyperty_model::parts::WHOLE_BYTES_MAX;
use tokio::sync::mpsc;

use crate::exit::Failure;

/// Lines that are read ahead: the reader never waits for the object, and little is read that is not needed.
const AHEAD_MAX: usize = 256;

/// A line or why it is none, with its number.
pub(crate) type Line = (u64, Result<String, String>);

/// The lines of stdin, as they come. A line longer than an object may be is none.
///
/// A thread of its own reads: it may be blocked in a read when the process ends, which waits for no such thread.
///
/// # Errors
/// When there can be no more threads.
pub(crate) fn of_stdin() -> Result<mpsc::Receiver<Line>, Failure> {
    let (lines, receiver) = mpsc::channel(AHEAD_MAX);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read(BufReader::new(std::io::stdin()), WHOLE_BYTES_MAX, &lines))
        .map_err(|error| Failure::error(format_args!("cannot read stdin: {error}")))?;
    Ok(receiver)
}

fn read(mut input: impl BufRead, bytes_max: usize, lines: &mpsc::Sender<Line>) {
    for number in 1.. {
        let line = match next(&mut input, bytes_max) {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "stdin cannot be read any more");
                return;
            }
        };
        if lines.blocking_send((number, line)).is_err() {
            return;
        }
    }
}

/// The next line; `None` at the end.
fn next(input: &mut impl BufRead, bytes_max: usize) -> std::io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    if input.take(bytes_max as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > bytes_max && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(format!("longer than {bytes_max} bytes"))));
    }
    Ok(Some(String::from_utf8(line).map_err(|error| format!("no UTF-8: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_too_long_or_no_text_spoil_no_other() {
        let mut input: &[u8] = b"one\n0123456789\n\xff\n\nlast";
        let mut lines = Vec::new();
        while let Some(line) = next(&mut input, 6).unwrap() {
            lines.push(line.map(|line| line.trim_end().to_owned()).ok());
        }
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(lines, [text("one"), None, None, text(""), text("last")]);
    }
}
