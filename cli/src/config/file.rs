//! Reading the file: TOML, whose every key must be known, with errors that show the place.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::settings::{SETTINGS, Setting};
use crate::exit::Failure;

/// One value of a file.
pub(super) struct Entry {
    pub(super) setting: &'static Setting,
    /// The value as text.
    pub(super) value: String,
    /// Where the value stands.
    pub(super) place: Place,
}

/// A place in a file, to be shown.
pub(super) struct Place {
    path: PathBuf,
    /// From 1.
    pub(super) line: usize,
    text: String,
    /// In characters, from 0.
    column: usize,
    width: usize,
}

impl Place {
    fn of(path: &Path, text: &str, span: Range<usize>) -> Place {
        let before = &text[..span.start];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
        Place {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            text: text[start..end].trim_end().to_owned(),
            column: text[start..span.start].chars().count(),
            width: text[span.start..span.end.min(end)].chars().count().max(1),
        }
    }

    /// A failure at this place: where, what, and the line with a mark.
    pub(super) fn failure(&self, what: impl fmt::Display) -> Failure {
        let Place { path, line, text, column, width } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let mark = format!("{}{}", " ".repeat(*column), "^".repeat(*width));
        Failure::usage(format_args!(
            "{}:{number}: {what}\n{margin} |\n{number} | {text}\n{margin} | {mark}",
            path.display()
        ))
    }
}

/// The values of a file in the order of their keys.
///
/// # Errors
/// For what is no TOML, a key that is none, and a value that is no text, number, or truth.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, Failure> {
    let document = DeTable::parse(text).map_err(|error| match error.span() {
        Some(span) => Place::of(path, text, span).failure(error.message()),
        None => Failure::usage(format_args!("{}: {}", path.display(), error.message())),
    })?;
    let mut found = Vec::new();
    collect(path, text, document.get_ref(), "", &mut found)?;
    Ok(found)
}

fn collect(
    path: &Path,
    text: &str,
    table: &DeTable<'_>,
    above: &str,
    found: &mut Vec<Entry>,
) -> Result<(), Failure> {
    for (name, value) in table {
        let key = format!("{above}{}", name.get_ref());
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let below = format!("{key}.");
        let is_table = SETTINGS.iter().any(|setting| setting.key.starts_with(&below));
        match (value.get_ref(), setting) {
            (DeValue::Table(inner), None) if is_table => collect(path, text, inner, &below, found)?,
            (_, None) if is_table => {
                return Err(Place::of(path, text, value.span()).failure(format_args!("`{key}` is a table")));
            }
            (_, None) => {
                let what = format!("unknown key `{key}`; known here: {}", known(above));
                return Err(Place::of(path, text, name.span()).failure(what));
            }
            (value_in, Some(setting)) => {
                let place = Place::of(path, text, value.span());
                let Some(value) = scalar(value_in) else {
                    let what = format!("`{key}` is a text, a number, true or false");
                    return Err(place.failure(what));
                };
                found.push(Entry { setting, value, place });
            }
        }
    }
    Ok(())
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            // Whatever is no number that can be set is refused by what it would be set to.
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            Some(decimal.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The names that may stand in a table.
fn known(above: &str) -> String {
    let names = SETTINGS.iter().filter_map(|setting| setting.key.strip_prefix(above));
    let mut names: Vec<_> = names.map(|rest| rest.split('.').next().unwrap_or(rest)).collect();
    names.dedup();
    names.join(", ")
}
