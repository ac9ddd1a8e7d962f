//! YAML as Moxxie reads and writes it: JSON's values in YAML's clothes.
//!
//! Nothing is re-typed. `true` and `false` are booleans, `null`, `~` and nothing are null, what
//! JSON would call a number is a number, and everything else is text: `no`, `on`, `0644`, `1:30`,
//! `1e999`. Tags, anchors, merge keys and repeated keys are refused, and input is bounded
//! before it is believed.

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span};
use std::fmt::Write as _;

/// Largest file that is read.
pub const MAX_FILE: usize = 1024 * 1024;
/// Largest document in a file.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Most scalars, sequences and mappings in a file.
const MAX_NODES: usize = 10_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 25;

/// Fields whose value is text even where it looks like something else: a MAC address of digits
/// alone, a node called `10`, `local_boot: 404`.
const TEXT_FIELDS: &[&str] = &[
    "boot_params",
    "boot_policy",
    "boot_profile",
    "boot_profile_id",
    "config_template",
    "description",
    "extra_initrds",
    "extra_macs",
    "initrd_path",
    "kernel_path",
    "kind",
    "local_boot",
    "mac_address",
    "name",
    "node_name",
    "profile_type",
    "serial",
    "source",
    "uuid",
];

/// Fields that hold an operator's own values; no name below them means anything to Moxxie.
const FREE_FIELDS: &[&str] = &["params", "boot_params_override"];

/// Why a text could not be read, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// One document and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The line of its first value.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

/// Reads all documents of a text. JSON is read too: it is YAML. Empty documents are left out.
pub fn read(text: &str) -> Result<Vec<Document>, YamlError> {
    if text.len() > MAX_FILE {
        return Err(YamlError {
            line: 1,
            column: 1,
            message: format!("{} bytes are more than the {MAX_FILE} that are read", text.len()),
        });
    }
    let mut reader = Reader { parser: parser(text), nodes: 0 };
    let mut documents = Vec::new();
    let mut began = 0;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart => {}
            Event::StreamEnd => break,
            Event::DocumentStart(..) => began = span.start.byte_offset().unwrap_or(0),
            Event::DocumentEnd => {
                let size = span.end.byte_offset().unwrap_or(text.len()).saturating_sub(began);
                if size > MAX_DOCUMENT {
                    let message = format!("a document of {size} bytes; {MAX_DOCUMENT} are the most");
                    return Err(at(&span, message));
                }
            }
            node => {
                let line = span.start.line();
                let value = reader.value(node, &span, 0, Typing::Infer)?;
                if !value.is_null() {
                    documents.push(Document { line, value });
                }
            }
        }
    }
    Ok(documents)
}

/// Reads a text that holds exactly one document.
pub fn read_one(text: &str) -> Result<Value, YamlError> {
    let mut documents = read(text)?.into_iter();
    match (documents.next(), documents.next()) {
        (Some(only), None) => Ok(only.value),
        (None, _) => Err(YamlError { line: 1, column: 1, message: "nothing is in it".into() }),
        (_, Some(second)) => Err(YamlError {
            line: second.line,
            column: 1,
            message: "a second document begins here; one is expected".into(),
        }),
    }
}

type Source<'a> = Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>;

fn parser(text: &str) -> Source<'_> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = MAX_DEPTH + 1;
    options.block_nesting_limit = MAX_DEPTH + 1;
    Parser::new_from_str_with_options(text, options)
}

/// How plain scalars are understood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// As JSON would.
    Infer,
    /// As text, unless null: the value of one of [`TEXT_FIELDS`].
    Text,
    /// As JSON would, whatever the field is called: below one of [`FREE_FIELDS`].
    Free,
}

impl Typing {
    fn of_field(self, key: &str) -> Typing {
        match self {
            Typing::Free => Typing::Free,
            _ if FREE_FIELDS.contains(&key) => Typing::Free,
            _ if TEXT_FIELDS.contains(&key) => Typing::Text,
            _ => Typing::Infer,
        }
    }
}

struct Reader<'a> {
    parser: Source<'a>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, YamlError> {
        self.parser.next().transpose().map_err(|e: ScanError| YamlError {
            line: e.marker().line(),
            column: e.marker().col() + 1,
            message: e.info().to_string(),
        })
    }

    fn value(
        &mut self,
        event: Event<'a>,
        span: &Span,
        depth: usize,
        typing: Typing,
    ) -> Result<Value, YamlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(at(span, format!("more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(at(span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (anchor, tagged) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (0, false),
        };
        if tagged {
            return Err(at(span, "tags (!…) are refused: a value's type is what it looks like"));
        }
        if anchor != 0 {
            return Err(at(span, "anchors (&…) are refused: write the value out where it is used"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Ok(plain(&text, typing)),
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.sequence(depth, typing),
            Event::MappingStart(..) => self.mapping(depth, typing),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                Err(at(span, "aliases (*…) are refused: write the value out"))
            }
            _ => Err(at(span, "a value is missing here")),
        }
    }

    fn sequence(&mut self, depth: usize, typing: Typing) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) => return Ok(Value::Array(items)),
                Some((event, span)) => items.push(self.value(event, &span, depth + 1, typing)?),
                None => return Err(unfinished()),
            }
        }
    }

    fn mapping(&mut self, depth: usize, typing: Typing) -> Result<Value, YamlError> {
        let mut map = Map::new();
        loop {
            let (event, span) = self.next()?.ok_or_else(unfinished)?;
            let is_plain = match &event {
                Event::MappingEnd => return Ok(Value::Object(map)),
                Event::Scalar(text, style, ..) => {
                    let is_plain = *style == ScalarStyle::Plain;
                    if is_plain && text == "<<" {
                        return Err(at(&span, "merge keys (<<) are refused: write the fields out"));
                    }
                    is_plain
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => false,
                _ => return Err(at(&span, "a key must be a plain word or quoted text")),
            };
            // A key is text whatever it looks like; only a missing one is refused.
            let key = match self.value(event, &span, depth + 1, Typing::Text)? {
                Value::String(key) => key,
                _ if is_plain => return Err(at(&span, "a key is missing here")),
                _ => return Err(at(&span, "a key must be a plain word or quoted text")),
            };
            let (event, value_span) = self.next()?.ok_or_else(unfinished)?;
            let value = self.value(event, &value_span, depth + 1, typing.of_field(&key))?;
            if map.contains_key(&key) {
                return Err(at(&span, format!("`{key}` is there twice")));
            }
            map.insert(key, value);
        }
    }
}

fn plain(text: &str, typing: Typing) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        _ if typing == Typing::Text => Value::String(text.to_owned()),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// A number as JSON spells it; `None` for everything that merely resembles one.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    if rest.is_empty() {
        // What no integer can hold stays text: rounding it would change it.
        return match (text.parse::<u64>(), text.parse::<i64>()) {
            _ if text == "-0" => Number::from_f64(-0.0),
            (Ok(number), _) => Some(number.into()),
            (_, Ok(number)) => Some(number.into()),
            _ => None,
        };
    }
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let fraction_ok = fraction.is_empty() || fraction.strip_prefix('.').is_some_and(all_digits);
    let exponent_ok = exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    if fraction_ok && exponent_ok { text.parse().ok().and_then(Number::from_f64) } else { None }
}

fn at(span: &Span, message: impl Into<String>) -> YamlError {
    YamlError { line: span.start.line(), column: span.start.col() + 1, message: message.into() }
}

fn unfinished() -> YamlError {
    YamlError { line: 1, column: 1, message: "the text ends too early".into() }
}

/// Writes a value as one YAML document that [`read`] gives back unchanged, and that other YAML
/// readers understand alike: text that looks like something else is quoted, text of several
/// lines is a block. `kind` and `name` come first, the other keys in their order.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        scalar => {
            write_scalar(&mut out, scalar, 0);
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes values as a file of several documents.
pub fn write_all<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    values.into_iter().map(|value| format!("---\n{}", write(value))).collect()
}

fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    const FIRST: [&str; 3] = ["kind", "name", "mac_address"];
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.cmp(b)));
    for (nth, key) in keys.into_iter().enumerate() {
        if nth > 0 {
            pad(out, indent);
        }
        write_text(out, key);
        out.push(':');
        write_below(out, &map[key], indent);
    }
}

fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            pad(out, indent);
        }
        out.push('-');
        match item {
            // A list in a list, or an object, begins on the line of its dash.
            Value::Object(map) if !map.is_empty() => {
                out.push(' ');
                write_map(out, map, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push(' ');
                write_list(out, items, indent + 2);
            }
            scalar => {
                out.push(' ');
                write_scalar(out, scalar, indent);
            }
        }
    }
}

/// Writes what follows `key:`.
fn write_below(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            write_map(out, map, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            write_list(out, items, indent + 2);
        }
        scalar => {
            out.push(' ');
            write_scalar(out, scalar, indent);
        }
    }
}

/// Writes a scalar or an empty collection, and ends the line.
fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) if fits_block(text) => return write_block(out, text, indent + 2),
        Value::String(text) => write_text(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
    out.push('\n');
}

/// Whether a text of several lines survives as a literal block: printable, and no blanks where
/// YAML gives them a meaning.
fn fits_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && text.starts_with(|c: char| !matches!(c, ' ' | '\t' | '\n'))
        && text.chars().all(|c| matches!(c, '\n' | '\t') || is_plain_char(c))
        && text.lines().all(|line| line.is_empty() || !line.trim_matches([' ', '\t']).is_empty())
}

fn write_block(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in text.lines() {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Writes a text on one line: bare when no YAML reader could take it for anything else.
fn write_text(out: &mut String, text: &str) {
    if fits_bare(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_plain_char(c) => out.push(c),
            c => {
                // Writing into a String cannot fail.
                let _ = match u32::from(c) {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
}

/// Words that some YAML reader takes for a boolean or null.
const RESERVED: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

fn fits_bare(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && !text.ends_with([' ', ':'])
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'.' | b'/' | b':' | b'@' | b'+' | b'=' | b',' | b'-' | b'(' | b')' | b'%' | b'~')
        })
        && !text.contains(": ")
        && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word))
        // A number with underscores, as YAML 1.1 reads them.
        && text.strip_prefix('_').is_none_or(|rest| rest.contains(|c: char| c.is_ascii_alphabetic()))
}

/// Characters that need no escape: not control, not invisible, not a line end of Unicode, and
/// within what YAML calls printable.
fn is_plain_char(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        && !matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn one(text: &str) -> Value {
        read_one(text).unwrap()
    }

    fn refused(text: &str, why: &str) {
        let error = read(text).unwrap_err();
        assert!(error.message.contains(why), "{text:.60?}: {error}");
    }

    #[test]
    fn nothing_is_retyped() {
        let text = "a: no\nb: on\nc: 0644\nd: 1:30\ne: Yes\nf: 1_000\ng: 0x1f\nh: 1e999\ni: .5\n\
                    j: .inf\nk: True\nl: NO\nm: 2026-01-31\nn: +1\no: NULL\np: 123456789012345678901\n";
        for (key, value) in one(text).as_object().unwrap() {
            assert!(value.is_string(), "{key}: {value}");
        }
        assert_eq!(
            one("a: true\nb: false\nc: null\nd: ~\ne:\nf: 8080\ng: -1\nh: 1.5e3\ni: \"8080\"\n"),
            json!({"a": true, "b": false, "c": null, "d": null, "e": null, "f": 8080, "g": -1,
                   "h": 1500.0, "i": "8080"})
        );
    }

    #[test]
    fn fields_that_are_text_stay_text() {
        assert_eq!(
            one("mac_address: 525400123456\nnode_name: 10\nlocal_boot: 404\nuuid: null\n\
                 extra_macs: [525400123457]\nserial: 52e4\nboot_params_override: {name: 10, serial: 5}\n"),
            json!({"mac_address": "525400123456", "node_name": "10", "local_boot": "404",
                   "uuid": null, "extra_macs": ["525400123457"], "serial": "52e4",
                   "boot_params_override": {"name": 10, "serial": 5}})
        );
    }

    #[test]
    fn refusals() {
        refused("a: !!python/object:os.system x\n", "tags");
        refused("a: !!str x\n", "tags");
        refused("!x {a: 1}\n", "tags");
        refused("a: &x 1\nb: *x\n", "anchors");
        refused("a: *x\n", "");
        refused("base: {a: 1}\nc:\n  <<: {b: 2}\n", "merge keys");
        refused("a: 1\nb: 2\na: 3\n", "`a` is there twice");
        refused("{\"a\": 1, \"a\": 1}", "`a` is there twice");
        refused("? [1]\n: x\n", "key");
        refused(": x\n", "key");
        let error = read("a: 1\nb:\n  c: 1\n  c: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (4, 3), "{error}");
        let error = read("a: [1\nb: }").unwrap_err();
        assert_eq!(error.line, 2, "{error}");
        // In quotes it is only a key.
        assert_eq!(one("\"<<\": 1\n"), json!({"<<": 1}));
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_string();
        for n in 1..12 {
            let refs = vec![format!("*a{}", n - 1); 10].join(",");
            bomb.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
        }
        refused(&bomb, "anchors");
        for open in ["[", "{", "- ", "? ", "[{"] {
            assert!(read(&open.repeat(100_000 / open.len())).is_err(), "{open}");
        }
        refused(&"- x\n".repeat(20_000), "more than 10000");
        refused(&format!("a: {}\n", "x".repeat(MAX_DOCUMENT)), "document");
        refused(&"x".repeat(MAX_FILE + 1), "bytes");
        let deep: String = (0..40).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(read(&deep).is_err());
    }

    #[test]
    fn several_documents_know_their_lines() {
        let documents = read("---\na: 1\n---\n---\n# only a remark\nb: 2\n...\n").unwrap();
        assert_eq!(documents.iter().map(|d| d.line).collect::<Vec<_>>(), [2, 6]);
        assert!(read_one("a: 1\n---\nb: 2\n").is_err());
        assert!(read_one("").is_err());
        let half = format!("a: {}\n", "x".repeat(MAX_DOCUMENT - 100));
        assert_eq!(read(&format!("---\n{half}---\n{half}")).unwrap().len(), 2);
    }

    #[test]
    fn what_people_read() {
        let item = json!({
            "kind": "profile", "name": "talos-cp", "boot_params": "talos.platform=metal x={{ y }}",
            "config_template": "version: v1alpha1\nmachine:\n  type: controlplane\n",
            "destructive": false, "extra_initrds": ["a.img"], "kernel_path": "vmlinuz",
            "local_boot": "404", "params": {"on": "no", "port": 8080, "tags": []},
            "description": ""
        });
        assert_eq!(
            write_all([&item]),
            r#"---
kind: profile
name: talos-cp
boot_params: "talos.platform=metal x={{ y }}"
config_template: |
  version: v1alpha1
  machine:
    type: controlplane
description: ""
destructive: false
extra_initrds:
  - a.img
kernel_path: vmlinuz
local_boot: "404"
params:
  "on": "no"
  port: 8080
  tags: []
"#
        );
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zA-Z0-9 :#,_./~\"'{}|>%@&*!?\\[\\]\\\\=+-]{0,24}",
            2 => "(  )?[a-z#:|> \\t-]{0,8}(\n[a-z#:|> \\t.-]{0,8}){1,5}\n{0,3}",
            2 => any::<String>(),
            2 => prop::sample::select(vec![
                "no", "on", "y", "N", "~", "null", "Null", "true", "TRUE", "0644", "1:30", "0x1f", "1e3",
                "-", "--- a", "...", "<<", "=", ".inf", "-.5", "1_0", "_1", "2026-01-31", "", " ", "a: b",
                "a #b", "\u{feff}x", "\u{85}", "x\u{2028}y", "\u{1b}[2J", "a\r\nb", "\n\n", "a\n", "\ta\nb",
            ]).prop_map(str::to_owned),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            text().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(items in prop::collection::vec(value(), 1..4)) {
            // Names in TEXT_FIELDS are typed by name; the API never puts anything else there.
            let items: Vec<Value> = items.into_iter().map(|v| json!({"params": v})).collect();
            let yaml = write_all(&items);
            let back = read(&yaml);
            prop_assert!(back.is_ok(), "{back:?}\n{yaml}");
            let back: Vec<Value> = back.unwrap().into_iter().map(|d| d.value).collect();
            prop_assert_eq!(back, items, "{}", yaml);
        }

        #[test]
        fn other_readers_agree(item in value()) {
            let item = json!({"params": item});
            let yaml = write(&item);
            // A second reader, with YAML 1.1's habits.
            let back: Result<Value, _> = serde_saphyr::from_str(&yaml);
            prop_assert!(back.is_ok(), "{back:?}\n{yaml}");
            prop_assert_eq!(back.unwrap(), item, "{}", yaml);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
