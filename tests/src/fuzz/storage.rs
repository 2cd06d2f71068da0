//! A store's file with changes in it: it is refused, or gives what was stored, or says that a row is damaged; it never
//! gives something else (I8).
//!
//! The bytes are a list of changes to a good file: each four bytes a place and what is written there. Beginning with
//! `file:`, the rest is the file itself.

use std::sync::OnceLock;

use hyperty_storage::{Batch, SimulatedDisk, Tables};

const TABLES: [&str; 2] = ["left/v1", "right/v1"];
const ROWS: usize = 60;

fn row(table: usize, number: usize) -> (String, Vec<u8>) {
    let value = (0..number * 7).map(|at| (at * 31 + table) as u8).collect();
    (format!("key-{number:03}"), value)
}

/// The file of a store that was closed in order.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = SimulatedDisk::new(1);
        let tables = disk.open().expect("an empty disk is opened");
        for number in 0..ROWS {
            let batch = (0..TABLES.len()).fold(Batch::new(), |batch, table| {
                let (key, value) = row(table, number);
                batch.put(TABLES[table], key, value)
            });
            tables.commit(batch);
            if number % 16 == 0 {
                tables.sync().expect("a disk without faults is synced");
            }
        }
        tables.sync().expect("a disk without faults is synced");
        tables.close();
        drop(tables);
        disk.image()
    })
}

fn changed(data: &[u8]) -> Vec<u8> {
    if let Some(file) = data.strip_prefix(b"file:") {
        return file.to_vec();
    }
    let mut image = image().to_vec();
    for edit in data.chunks(4) {
        let [first, second, third, value] = <[u8; 4]>::try_from(edit).unwrap_or_default();
        let at = usize::from(first) << 16 | usize::from(second) << 8 | usize::from(third);
        match value {
            // The end is gone.
            255 => image.truncate(at.max(1) % image.len().max(1)),
            _ if image.is_empty() => {}
            _ => {
                let at = at % image.len();
                image[at] ^= value;
            }
        }
    }
    image
}

/// Opens the file and reads all of it.
pub fn work(data: &[u8]) {
    if let Ok(tables) = SimulatedDisk::of(changed(data), 1).open() {
        for table in TABLES {
            let _ = tables.scan(table, b"");
        }
    }
}

/// See the [module](self).
///
/// # Panics
/// When a rule is broken.
pub fn judge(data: &[u8]) {
    let whole = data.strip_prefix(b"file:").is_some();
    let file = changed(data);
    if file.is_empty() {
        // An empty disk is a new one. That a file of no length is damage is known where there are files.
        return;
    }
    let same = file == image();
    let tables = match SimulatedDisk::of(file, 1).open() {
        Ok(tables) => tables,
        Err(error) => {
            assert!(!same, "the file as it was is refused: {error}");
            return;
        }
    };
    for (number, table) in TABLES.into_iter().enumerate() {
        let scanned = tables.scan(table, b"");
        for at in 0..ROWS {
            let (key, value) = row(number, at);
            match tables.get(table, key.as_bytes()) {
                Ok(Some(found)) => assert!(whole || *found == *value, "{table} {key} is served as {found:?}"),
                Ok(None) => assert!(whole, "{table} {key} is gone without a word"),
                Err(error) => assert!(!same, "{table} {key} of the file as it was: {error}"),
            }
        }
        if let Ok(scanned) = scanned {
            assert!(
                whole || scanned.len() == ROWS,
                "{table} is served with {} rows of {ROWS}",
                scanned.len()
            );
        }
    }
}
