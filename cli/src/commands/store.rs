//! `hyperty store`: the files of runtimes and nodes, while nobody has them open.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hyperty_storage::OpenError;
use hyperty_storage::operations::{self, CheckReport, TableCheck};

use crate::connect::become_new_device;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

/// The file of a runtime in the directory given as `--store`, and of a node in the one given as `--data`.
const FILES: [&str; 2] = ["hyperty.redb", "node.redb"];

/// `hyperty store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Look at every page and every row, and report what there is; ends with 1 if something is damaged
    Check {
        /// The directory given as --store or --data, or the file in it
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Write all that a store holds as lines of JSON: a backup
    Export {
        /// The directory given as --store or --data, or the file in it
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Where to [default: stdout]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Make a store of what was exported. Its objects go on in a new epoch, since changes after the backup are not in it
    Import {
        /// The file to make: hyperty.redb in a directory for --store, node.redb in one for --data
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Where from [default: stdin]
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// For another device of the same user: it gets addresses of its own, and takes an object over with `hyperty
        /// report --take-over`. Without this the store goes on as the one that was exported, which is not to run again
        #[arg(long)]
        new_device: bool,
    },
    /// Give back the space that a store does not use
    Compact {
        /// The directory given as --store or --data, or the file in it
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

/// Does what is asked.
///
/// # Errors
/// [`Exit::NotFound`] where there is no store, [`Exit::Usage`] where it is not clear which, else [`Exit::Error`]: a
/// store that is in use, or damaged.
pub(crate) async fn run(command: StoreCommand, output: &Output) -> Result<(), Failure> {
    match command {
        StoreCommand::Check { path } => check(&path, output),
        StoreCommand::Export { path, to } => export(&one_of(&path)?, to.as_deref()),
        StoreCommand::Import { path, from, new_device } => {
            import(&path, from.as_deref(), new_device, output).await
        }
        StoreCommand::Compact { path } => compact(&one_of(&path)?, output),
    }
}

/// Who defines a table says how its rows are checked.
fn known() -> Vec<TableCheck> {
    [&hyperty_runtime::TABLE_CHECKS[..], &hyperty_message_node::TABLE_CHECKS[..]].concat()
}

/// The stores at a path: the file itself, or those in the directory.
fn stores(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let found: Vec<PathBuf> =
        FILES.iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect();
    if found.is_empty() {
        return Err(Failure::new(Exit::NotFound, format_args!("there is no store at {}", path.display())));
    }
    Ok(found)
}

fn one_of(path: &Path) -> Result<PathBuf, Failure> {
    let mut found = stores(path)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(Failure::usage(format_args!(
            "{} holds the store of a runtime and of a node; name the file",
            path.display()
        ))),
    }
}

fn check(path: &Path, output: &Output) -> Result<(), Failure> {
    let mut damaged = Vec::new();
    for path in stores(path)? {
        match operations::check(&path, &known()) {
            Ok(report) => {
                match output.format() {
                    Format::Ndjson => output.json(&report),
                    Format::Text => output.line(&text(&report)),
                };
                if !report.is_sound() {
                    damaged.push(format!("{} is damaged in {} places", path.display(), report.damage));
                }
            }
            Err(error @ OpenError::Damaged { .. }) => damaged.push(error.to_string()),
            Err(error) => return Err(Failure::error(error)),
        }
    }
    if damaged.is_empty() { Ok(()) } else { Err(Failure::error(damaged.join("; "))) }
}

/// The report for people.
fn text(report: &CheckReport) -> String {
    let CheckReport { path, format, file_bytes, reported, observed, broken, .. } = report;
    let mut text = format!("{}: format {format}, {file_bytes} bytes\n", path.display());
    for table in &report.tables {
        let known = if table.known { "" } else { "  (not known here, not looked into)" };
        text += &format!("  {:16} {:>9} rows {:>12} bytes{known}\n", table.name, table.rows, table.bytes);
    }
    text += &format!("  {reported} reported and {observed} observed objects are whole");
    if *broken > 0 {
        text += &format!(", {broken} of them go on in a new epoch");
    }
    if report.left_open {
        text += "\n  it was buffered and not closed in good order: the last changes may be lost";
    }
    for problem in &report.problems {
        text += &format!("\n  DAMAGED {}, {}: {}", problem.table, problem.key, problem.detail);
    }
    let more = report.damage - report.problems.len();
    if more > 0 {
        text += &format!("\n  and {more} more");
    }
    text + if report.is_sound() { "\n  sound" } else { "" }
}

fn export(path: &Path, to: Option<&Path>) -> Result<(), Failure> {
    let exported = match to {
        None => operations::export(path, &mut BufWriter::new(io::stdout().lock())),
        Some(to) => {
            let cannot = |error| Failure::error_at(to, error);
            // Never over a backup that is there.
            let file = File::create_new(to).map_err(cannot)?;
            let mut lines = BufWriter::new(&file);
            let exported = operations::export(path, &mut lines);
            lines.flush().and_then(|()| file.sync_all()).map_err(cannot)?;
            exported
        }
    };
    let exported = exported.map_err(Failure::error)?;
    tracing::info!("{} rows of format {} exported", exported.rows, exported.format);
    Ok(())
}

async fn import(path: &Path, from: Option<&Path>, new_device: bool, output: &Output) -> Result<(), Failure> {
    if path.is_dir() {
        let [runtime, node] = FILES.map(|name| path.join(name).display().to_string());
        return Err(Failure::usage(format_args!(
            "name the file: {runtime} for a runtime, {node} for a node"
        )));
    }
    let imported = match from {
        None => operations::import(path, &mut io::stdin().lock(), &known()),
        Some(from) => {
            let file = File::open(from).map_err(|error| Failure::usage_of(from, error))?;
            operations::import(path, &mut BufReader::new(file), &known())
        }
    };
    let imported = imported.map_err(Failure::error)?;
    if new_device {
        become_new_device(path).await?;
    }
    match output.format() {
        Format::Ndjson => output.json(&imported),
        Format::Text => output.line(&format!("imported {} rows to {}", imported.rows, path.display())),
    };
    Ok(())
}

fn compact(path: &Path, output: &Output) -> Result<(), Failure> {
    let compacted = operations::compact(path).map_err(Failure::error)?;
    match output.format() {
        Format::Ndjson => output.json(&compacted),
        Format::Text => output.line(&format!(
            "{}: {} bytes before, {} after",
            path.display(),
            compacted.before,
            compacted.after
        )),
    };
    Ok(())
}
