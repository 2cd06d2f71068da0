//! `hyperty config`: what is set, and where.

use std::path::PathBuf;

use serde_json::json;

use crate::args::ConfigCommand;
use crate::config::{Effective, SETTINGS};
use crate::exit::Failure;
use crate::output::{Format, Output};

/// Shows or checks the settings.
///
/// # Errors
/// For settings that make no sense.
pub(crate) fn run(
    command: &ConfigCommand,
    chosen: Option<&PathBuf>,
    set: &[String],
    output: &Output,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show { origin } => {
            show(&Effective::load(chosen.map(PathBuf::as_path), set)?, *origin, output);
        }
        ConfigCommand::Check { file } => {
            let checked = Effective::load(file.as_ref().or(chosen).map(PathBuf::as_path), set)?;
            let read = checked.file.as_ref().map(|file| file.display().to_string());
            match output.format() {
                Format::Ndjson => output.json(&json!({"event": "checked", "file": read})),
                Format::Text => output.line(&match read {
                    Some(file) => format!("{file} is in order"),
                    None => "there is no file; the environment is in order".to_owned(),
                }),
            };
        }
    }
    Ok(())
}

fn show(effective: &Effective, with_origin: bool, output: &Output) {
    if output.format() == Format::Ndjson {
        for setting in SETTINGS {
            let mut line =
                json!({"key": setting.key, "value": effective.value(setting), "help": setting.help});
            if with_origin {
                line["origin"] = effective.origin(setting.key).to_string().into();
            }
            output.json(&line);
        }
        return;
    }
    let mut table = "";
    for setting in SETTINGS {
        let (of, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if of != table {
            output.line(&format!("\n[{of}]"));
            table = of;
        }
        let line = match effective.value(setting) {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} ="),
        };
        if with_origin {
            output.line(&format!("{line:<44} # {}", effective.origin(setting.key)));
        } else {
            output.line(&line);
        }
    }
}
