//! The one place that writes to the terminal: lines, tables and objects on standard output,
//! remarks on standard error.
//!
//! Much of what is shown was sent by machines that nobody vouches for, so control characters
//! never reach the terminal.

use crate::cli::yaml;
use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::{self, Write};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// The API's object as JSON.
    Json,
    /// The API's object as YAML.
    Yaml,
}

/// Writes one line to standard output.
pub fn line(text: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", printable(text.as_ref()))
}

/// Writes text that has its own line ends to standard output.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(printable(text).as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes a remark to standard error. Nobody is left to tell when that fails.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text.as_ref()));
}

/// Writes text over the text that was written last, on a terminal.
pub fn over(last: &str, text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let up = last.lines().count();
    if up > 0 {
        write!(out, "\x1b[{up}A\x1b[J")?;
    }
    out.write_all(printable(text).as_bytes())?;
    out.flush()
}

/// Writes an API object as JSON or YAML; `false` when the format is a table, which the caller
/// knows how to draw.
pub fn object(format: Format, value: &Value) -> io::Result<bool> {
    match format {
        Format::Table => Ok(false),
        Format::Json => {
            let json = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
            writeln!(io::stdout().lock(), "{}", escaped(&json))?;
            Ok(true)
        }
        Format::Yaml => {
            io::stdout().lock().write_all(yaml::write(value).as_bytes())?;
            Ok(true)
        }
    }
}

/// JSON that is safe on a terminal. serde_json escapes the control characters of ASCII only; the
/// others, and those that turn the direction of writing, stand in strings as they are, where an
/// escape says the same.
fn escaped(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
        out
    })
}

/// One column: its heading, and the key of the API's object that fills it.
pub type Column = (&'static str, &'static str);

/// Writes a list: the items as `{"items": […]}` or as a table of these columns.
pub fn list(format: Format, items: &[Value], columns: &[Column]) -> io::Result<()> {
    if object(format, &serde_json::json!({ "items": items }))? {
        return Ok(());
    }
    text(&table(items, columns))
}

/// A plain table: a line of headings, a line for each item, two spaces between columns.
pub fn table(items: &[Value], columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for item in items {
        table.add_row(columns.iter().map(|(_, key)| cell(&item[*key])));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut drawn = String::new();
    for line in table.lines() {
        drawn.push_str(line.trim_end());
        drawn.push('\n');
    }
    drawn
}

/// Writes an object as `key  value` lines for people; see [`described`].
pub fn fields(value: &Value, order: &[&str]) -> io::Result<()> {
    text(&described(value, order))
}

/// An object as `key  value` lines: the keys in `order` first, what is empty left out. What has
/// several parts follows its key as an indented block.
pub fn described(value: &Value, order: &[&str]) -> String {
    let Some(map) = value.as_object() else {
        return cell(value);
    };
    let rank = |key: &str| order.iter().position(|first| *first == key).unwrap_or(order.len());
    let mut shown: Vec<(&String, &Value)> = map.iter().filter(|(_, value)| cell(value) != "-").collect();
    shown.sort_by_key(|(key, _)| rank(key));
    let is_block = |value: &Value| match value {
        Value::String(text) => text.contains('\n'),
        // Sentences do not share a line.
        Value::Array(items) => {
            items.iter().any(|i| i.is_object() || i.as_str().is_some_and(|t| t.contains(' ')))
        }
        Value::Object(_) => true,
        _ => false,
    };
    let width = shown.iter().filter(|(_, v)| !is_block(v)).map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (key, value) in shown {
        if !is_block(value) {
            lines.push(format!("{key:<width$}  {}", cell(value)));
            continue;
        }
        lines.push(format!("{key}:"));
        let body = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                items.iter().map(|item| format!("- {}\n", cell(item))).collect()
            }
            other => yaml::write(other),
        };
        lines.extend(body.lines().map(|line| format!("  {line}").trim_end().to_owned()));
    }
    lines.join("\n")
}

/// A value in one line of a table.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => one_line(text),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Object(map) if map.is_empty() => "-".into(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => one_line(&other.to_string()),
    }
}

/// Text with every character that would steer the terminal replaced; tab and line feed stay.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || hides(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Text as one printable line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// Characters that reorder or hide the text around them.
fn hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A size in bytes as people read it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_turns_no_terminal_around() {
        let value = json!({"name": "a\u{9b}2J\u{202e}b"});
        let text = escaped(&value.to_string());
        assert_eq!(text, r#"{"name":"a\u009b2J\u202eb"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn tables_are_plain() {
        let items = [
            json!({"name": "talos-cp", "menu": false, "tags": ["a", "b"], "size": 3}),
            json!({"name": "x", "menu": true, "note": null}),
        ];
        let columns = [("NAME", "name"), ("MENU", "menu"), ("TAGS", "tags"), ("SIZE", "size")];
        assert_eq!(
            table(&items, &columns),
            "NAME      MENU  TAGS  SIZE\ntalos-cp  no    a, b  3\nx         yes   -     -\n"
        );
        assert_eq!(table(&[], &columns), "NAME  MENU  TAGS  SIZE\n");
    }

    #[test]
    fn objects_read_from_top_to_bottom() {
        let object = json!({"a_null": null, "config_template": "a: 1\n\nb: {{ x }}\n", "name": "x", "extra": [],
            "params": {"disk": "/dev/sda", "net": {"port": "1"}}, "empty": {}, "text": "", "menu": false,
            "macs": ["a", "b"], "reasons": ["one thing", "another's thing"]});
        assert_eq!(
            described(&object, &["name", "menu", "absent", "macs", "params", "reasons"]),
            "name  x
menu  no
macs  a, b
params:
  disk: /dev/sda
  net:
    port: \"1\"
reasons:
  - one thing
  - another's thing
config_template:
  a: 1

  b: {{ x }}"
        );
        assert_eq!(described(&json!({}), &[]), "");
    }

    #[test]
    fn a_machine_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\td\r"), "a\u{fffd}[2Jb\u{fffd}c\td\u{fffd}");
        assert_eq!(cell(&json!("two\nlines")), "two lines");
        let drawn = table(&[json!({"serial": "x\u{1b}]0;owned\u{7}\ny"})], &[("SERIAL", "serial")]);
        assert!(!drawn.contains('\u{1b}') && drawn.lines().count() == 2, "{drawn:?}");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 * 1024 * 1024 * 1024), "5.0 GiB");
    }
}
