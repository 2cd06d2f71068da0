//! A storage of one's own: rows in memory, every batch a line of JSON in a file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use bytes::Bytes;
use hyperty_storage::{Batch, Op, Progress, StorageError, Tables, Ticket};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Tables that remember every batch ever committed. A batch is durable when `commit` returns: its line is synced.
pub(crate) struct JournalTables {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    file: Option<File>,
    last: Ticket,
}

impl JournalTables {
    /// Opens a journal, or begins one.
    pub(crate) fn open(path: &Path) -> io::Result<JournalTables> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut state = State::default();
        for line in BufReader::new(&file).lines() {
            // A crash may have cut the last line: it was never reported durable.
            let Ok(Value::Array(steps)) = serde_json::from_str(&line?) else { break };
            steps.iter().for_each(|step| state.replay(step));
        }
        state.file = Some(file);
        Ok(JournalTables { state: Mutex::new(state), progress: watch::Sender::new(Progress::default()) })
    }
}

impl State {
    fn replay(&mut self, step: &Value) {
        let text = |at: usize| step[at].as_str().unwrap_or_default();
        let (table, first, second) = (text(1).to_owned(), from_hex(text(2)), from_hex(text(3)));
        match text(0) {
            "put" => drop(self.rows.insert((table, first), second)),
            "append" => self.rows.entry((table, first)).or_default().extend(second),
            "delete" => drop(self.rows.remove(&(table, first))),
            _ => self.rows.retain(|(t, key), _| *t != table || *key < first || *key >= second),
        }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let steps: Vec<Value> = batch.ops().map(|(table, op)| step(table, op)).collect();
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("closed"))?;
        file.write_all(format!("{}\n", Value::Array(steps.clone())).as_bytes())?;
        file.sync_data()?;
        steps.iter().for_each(|step| self.replay(step));
        Ok(())
    }
}

fn step(table: &str, op: Op<'_>) -> Value {
    match op {
        Op::Put { key, value } => json!(["put", table, to_hex(key), to_hex(value)]),
        Op::Append { key, value } => json!(["append", table, to_hex(key), to_hex(value)]),
        Op::Delete { key } => json!(["delete", table, to_hex(key)]),
        Op::DeleteRange { from, to } => json!(["delete-range", table, to_hex(from), to_hex(to)]),
    }
}

impl Tables for JournalTables {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let state = self.state.lock();
        Ok(state.rows.get(&(table.to_owned(), key.to_vec())).cloned().map(Bytes::from))
    }

    fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let state = self.state.lock();
        let from = state.rows.range((table.to_owned(), prefix.to_vec())..);
        let below = from.take_while(|((t, key), _)| t == table && key.starts_with(prefix));
        Ok(below.map(|((_, key), value)| (Bytes::from(key.clone()), Bytes::from(value.clone()))).collect())
    }

    fn commit(&self, batch: Batch) -> Ticket {
        let mut state = self.state.lock();
        state.last.0 += 1;
        let ticket = state.last;
        // After a failure the ticket never becomes durable: whoever waits for it is told why.
        match state.write(&batch) {
            Ok(()) => self.progress.send_modify(|progress| progress.durable = ticket),
            Err(error) => self.progress.send_modify(|progress| {
                progress.failed.get_or_insert(StorageError::Io(error.to_string()));
            }),
        }
        ticket
    }

    fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn close(&self) {
        self.state.lock().file = None;
        self.progress.send_modify(|progress| progress.failed = Some(StorageError::Closed));
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
