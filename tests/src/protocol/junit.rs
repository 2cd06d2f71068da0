//! A report in the XML that CI servers read.
//!
//! Written here rather than by a library: the libraries there are bring seven crates for what is sixty lines.

use std::fmt::Write;

use super::report::{Outcome, Report};

/// The report as one JUnit test suite.
pub(super) fn write(report: &Report) -> String {
    let (_, failed, skipped) = report.totals();
    let time: f64 = report.cases.iter().map(|case| case.time.as_secs_f64()).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!(
        "tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\"",
        report.cases.len()
    );
    let name = escaped(&report.suite);
    // Writing to a String cannot fail.
    let _ = writeln!(xml, "<testsuites name=\"hyperty conformance\" {counts}>");
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts}>");
    for case in &report.cases {
        let (class, name) = case.id.split_once('/').unwrap_or(("", case.id));
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(class),
            escaped(name),
            case.time.as_secs_f64()
        );
        let _ = match &case.outcome {
            Outcome::Passed => writeln!(xml, "{head}/>"),
            Outcome::Skipped { why } => {
                writeln!(xml, "{head}>\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(why))
            }
            Outcome::Failed { invariant, seed, detail, trace } => writeln!(
                xml,
                "{head}>\n      <failure type=\"{}\" message=\"{}\">seed {seed}\n{}</failure>\n    </testcase>",
                escaped(invariant),
                escaped(detail),
                escaped(&trace.join("\n"))
            ),
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text as it may stand in an attribute or an element: characters that XML cannot have at all are shown as `\u{…}`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(character.escape_unicode()),
            other if other.is_control() => out.extend(other.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::CaseReport;

    #[test]
    fn whatever_a_peer_sent_the_document_is_well_formed() {
        let failed = Outcome::Failed {
            invariant: "INV-MN-1".to_owned(),
            seed: 7,
            detail: "<a b=\"c\">&\u{0}\u{1b}\u{ffff}]]>".to_owned(),
            trace: vec!["one".to_owned(), "two < three".to_owned()],
        };
        let outcomes = [Outcome::Passed, failed, Outcome::Skipped { why: "\"restart\"".to_owned() }];
        let cases = outcomes.map(|outcome| CaseReport {
            id: "INV-MN-1/once",
            invariants: &["INV-MN-1"],
            outcome,
            time: Duration::from_millis(1_500),
        });
        let report = Report { suite: "node & co".to_owned(), seed: 1, cases: cases.to_vec() };
        let xml = report.to_junit();
        assert!(xml.contains("name=\"node &amp; co\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""));
        let detail = "&lt;a b=&quot;c&quot;&gt;&amp;\\u{0}\\u{1b}\\u{ffff}]]&gt;";
        assert!(xml.contains(&format!("<failure type=\"INV-MN-1\" message=\"{detail}\">seed 7")), "{xml}");
        assert!(xml.contains("<skipped message=\"&quot;restart&quot;\"/>"));
        assert!(!xml.chars().any(|one| one.is_control() && one != '\n'));
    }
}
