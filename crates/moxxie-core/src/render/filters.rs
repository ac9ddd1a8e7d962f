//! Filters for operators: each puts a value into one kind of text so that it stays a value.

use super::error::refuse;
use super::lenient::is_placeholder;
use base64::Engine as _;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, State};
use serde_json::Value as Json;

/// Nesting that the YAML writer follows; parameters nest less.
const DEPTH: usize = 32;

/// Filters that make containers out of containers (see `restrict`), print Rust's view of a value,
/// or escape for HTML.
const REMOVED: [&str; 9] = ["batch", "slice", "zip", "chain", "groupby", "pprint", "escape", "e", "safe"];

/// Filters that [`map`] may apply.
const MAPPED: [&str; 15] = [
    "upper",
    "lower",
    "trim",
    "string",
    "int",
    "float",
    "length",
    "title",
    "capitalize",
    "urlencode",
    "yaml_quote",
    "shell_quote",
    "b64encode",
    "b64decode",
    "tojson",
];

pub(super) fn add(env: &mut Environment<'_>) {
    for name in REMOVED {
        env.remove_filter(name);
    }
    env.add_filter("map", map);
    env.add_filter("tojson", tojson);
    env.add_filter("yaml_quote", yaml_quote);
    env.add_filter("to_yaml", to_yaml);
    env.add_filter("shell_quote", shell_quote);
    env.add_filter("b64encode", b64encode);
    env.add_filter("b64decode", b64decode);
}

/// The text of a scalar. `true` and `null` are written as JSON and YAML write them.
fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Ok(value.to_string()),
        _ if is_placeholder(value) => Ok(value.to_string()),
        ValueKind::Undefined => Err(minijinja::ErrorKind::UndefinedError.into()),
        _ => Err(refuse("this filter takes a text, a number or a boolean")),
    }
}

/// `value` as one YAML (and JSON) scalar, or as flow YAML when it is a list or an object.
fn yaml_quote(value: &Value) -> Result<String, Error> {
    if is_placeholder(value) {
        return Ok(quote(&value.to_string()));
    }
    if let Some(text) = value.as_str() {
        return Ok(quote(text));
    }
    json(value).map(|json| flow(&json))
}

/// `value` as block YAML, for `{{ params.sysctls | to_yaml | indent(4) }}`.
fn to_yaml(value: &Value) -> Result<String, Error> {
    if is_placeholder(value) {
        return Ok(quote(&value.to_string()));
    }
    let mut out = String::new();
    block(&json(value)?, 0, &mut out);
    Ok(out.trim_end_matches('\n').trim_start_matches('\n').to_owned())
}

/// `value` as one word of a POSIX shell.
fn shell_quote(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    if text.contains('\0') {
        return Err(refuse("a shell word cannot hold a NUL byte"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text)
    } else {
        Ok(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// One attribute of every element, or a filter without arguments applied to every element. The
/// engine's own `map` can repeat a default, and with it a container, any number of times.
fn map(
    state: &mut State<'_, '_>,
    value: &Value,
    filter: Option<&str>,
    options: Kwargs,
) -> Result<Vec<Value>, Error> {
    let attribute: Option<&str> = options.get("attribute")?;
    options.assert_all_used().map_err(|_| refuse("map takes the name of a filter, or attribute='…'"))?;
    if let Some(name) = filter
        && !MAPPED.contains(&name)
    {
        return Err(refuse("map cannot apply this filter"));
    }
    let mut mapped = Vec::new();
    for item in value.try_iter()?.checked() {
        state.consume_fuel(1)?;
        let item = item?;
        mapped.push(match (filter, attribute) {
            (Some(name), None) => state.apply_filter(name, &[item])?,
            (None, Some(path)) => {
                let mut at = item;
                for name in path.split('.') {
                    at = at.get_attr(name)?;
                }
                at
            }
            _ => return Err(refuse("map takes the name of a filter, or attribute='…'")),
        });
    }
    Ok(mapped)
}

/// `value` as JSON; `tojson(indent=2)` over several lines.
fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = indent.or(options.get("indent")?);
    options.assert_all_used()?;
    let json = json(value)?;
    let Some(indent) = indent else { return Ok(json.to_string()) };
    let pad = [b' '; 16];
    let mut out = Vec::new();
    let pretty = serde_json::ser::PrettyFormatter::with_indent(&pad[..indent.min(16)]);
    let mut writer = serde_json::Serializer::with_formatter(&mut out, pretty);
    serde::Serialize::serialize(&json, &mut writer)
        .map_err(|_| refuse("this value cannot be written as JSON"))?;
    String::from_utf8(out).map_err(|_| refuse("this value cannot be written as JSON"))
}

/// Standard base64 with padding.
fn b64encode(value: &Value) -> Result<String, Error> {
    Ok(base64::engine::general_purpose::STANDARD.encode(text(value)?))
}

/// The text that a base64 text stands for.
fn b64decode(value: &Value) -> Result<String, Error> {
    if is_placeholder(value) {
        return text(value);
    }
    let compact: String = text(value)?.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(compact)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| refuse("not the base64 form of a text"))
}

/// Values a container may hold in all, counted with repetition.
///
/// Containers are shared, not copied: forty times `{% set a = [a, a] %}` is a small value that
/// takes 2^40 steps to write down, and the engine charges fuel only for what has been written.
const NODES: usize = 50_000;

/// The JSON form of a value, with bounded work.
pub(super) fn json(value: &Value) -> Result<Json, Error> {
    convert(value, 0, &mut NODES.clone())
}

fn convert(value: &Value, depth: usize, left: &mut usize) -> Result<Json, Error> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| refuse("this list or object is far too long to be written down"))?;
    if depth > DEPTH {
        return Err(refuse("this list or object is nested too deeply to be written down"));
    }
    if is_placeholder(value) {
        return Ok(Json::from(value.to_string()));
    }
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(minijinja::ErrorKind::UndefinedError.into()),
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::from(value.is_true()),
        ValueKind::String => Json::from(value.as_str().unwrap_or_default()),
        ValueKind::Number => {
            serde_json::to_value(value).map_err(|_| refuse("this number has no JSON form"))?
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter()?.checked() {
                let key = key?;
                let item = convert(&value.get_item(&key)?, depth + 1, left)?;
                map.insert(text(&key)?, item);
            }
            Json::Object(map)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut list = Vec::new();
            for item in value.try_iter()?.checked() {
                list.push(convert(&item?, depth + 1, left)?);
            }
            Json::Array(list)
        }
        _ => return Err(refuse("this value cannot be written down")),
    })
}

/// A JSON text, with everything escaped that a YAML reader may take as a line break or refuse.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => quote(text),
        Json::Array(list) => {
            format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Json::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", quote(key), flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn block(value: &Json, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let nested = |value: &Json| match value {
        Json::Array(list) => !list.is_empty() && depth < DEPTH,
        Json::Object(map) => !map.is_empty() && depth < DEPTH,
        _ => false,
    };
    match value {
        Json::Object(map) if nested(value) => {
            for (key, value) in map {
                out.push_str(&format!("\n{pad}{}:", plain_key(key)));
                if nested(value) {
                    block(value, depth + 1, out);
                } else {
                    out.push_str(&format!(" {}", flow(value)));
                }
            }
        }
        Json::Array(list) if nested(value) => {
            for value in list {
                out.push_str(&format!("\n{pad}-"));
                if nested(value) {
                    block(value, depth + 1, out);
                } else {
                    out.push_str(&format!(" {}", flow(value)));
                }
            }
        }
        other => out.push_str(&flow(other)),
    }
}

/// A key without quotes where no YAML reader could take it for anything but a text.
fn plain_key(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&key.to_ascii_lowercase().as_str());
    if plain { key.to_owned() } else { quote(key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(json: Json) -> Value {
        Value::from(Serde(json))
    }

    #[test]
    fn yaml() {
        let cases = [
            (json!("a: b #c"), r#""a: b #c""#),
            (json!("no"), r#""no""#),
            (json!("a\"\\\n\u{2028}"), r#""a\"\\\n\u2028""#),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!(1.5), "1.5"),
            (json!([1, "x"]), r#"[1, "x"]"#),
            (json!({"a": {"b": "c"}}), r#"{"a": {"b": "c"}}"#),
        ];
        for (input, output) in cases {
            assert_eq!(yaml_quote(&value(input)).unwrap(), output);
        }
        let nested = json!({"a": 1, "no": {"l": ["x", {"k": "v"}], "e": []}});
        assert_eq!(
            to_yaml(&value(nested)).unwrap(),
            "a: 1\n\"no\":\n  e: []\n  l:\n    - \"x\"\n    -\n      k: \"v\""
        );
        assert_eq!(to_yaml(&value(json!("x"))).unwrap(), "\"x\"");
    }

    #[test]
    fn shell_and_base64() {
        assert_eq!(shell_quote(&Value::from("/dev/sda")).unwrap(), "/dev/sda");
        assert_eq!(shell_quote(&Value::from("a'b; rm $x")).unwrap(), r"'a'\''b; rm $x'");
        assert_eq!(shell_quote(&Value::from("")).unwrap(), "''");
        assert_eq!(shell_quote(&Value::from(true)).unwrap(), "true");
        assert!(shell_quote(&Value::from("a\0")).is_err());
        assert!(shell_quote(&value(json!(["a"]))).is_err());
        assert_eq!(b64encode(&Value::from("h\u{e4}")).unwrap(), "aMOk");
        assert_eq!(b64decode(&Value::from("aMOk")).unwrap(), "h\u{e4}");
        assert!(b64decode(&Value::from("%%")).is_err());
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_that_text_again(text in any::<String>()) {
            let quoted = yaml_quote(&Value::from(text.as_str())).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn a_shell_word_keeps_its_quotes_closed(text in "[^\0]{0,20}") {
            let word = shell_quote(&Value::from(text.as_str())).unwrap();
            // Undo what a shell does with single quotes and \'.
            let mut rest = word.as_str();
            let mut back = String::new();
            while let Some(c) = rest.chars().next() {
                if let Some(inner) = rest.strip_prefix('\'') {
                    let (inside, after) = inner.split_once('\'').unwrap();
                    back.push_str(inside);
                    rest = after;
                } else if let Some(after) = rest.strip_prefix(r"\'") {
                    back.push('\'');
                    rest = after;
                } else {
                    back.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
            prop_assert_eq!(back, text);
        }
    }
}
