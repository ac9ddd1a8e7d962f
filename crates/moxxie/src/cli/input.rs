//! What commands take from flags and files: texts, parameters, merge patches.

use crate::cli::yaml;
use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Reads a text file, or standard input for `-`, up to what YAML may have.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let limit = yaml::MAX_FILE as u64 + 1;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() as u64 == limit {
        bail!("{}: larger than {} bytes", path.display(), yaml::MAX_FILE);
    }
    Ok(text)
}

/// Reads a file of one YAML or JSON object.
pub fn read_object(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = read(path)?;
    let value = yaml::read_one(&text).map_err(|e| anyhow::anyhow!("{}, {e}", path.display()))?;
    match value {
        Value::Object(map) => Ok(map),
        _ => bail!("{}: an object is expected, such as `name: value`", path.display()),
    }
}

/// A text given as such, or as `@FILE` (`@-` for standard input).
pub fn text_or_file(text: &str) -> anyhow::Result<String> {
    match text.strip_prefix('@') {
        Some(path) => read(Path::new(path)),
        None => Ok(text.to_owned()),
    }
}

/// A parameter `key=value` of the command line. The value is JSON where it is JSON, else text.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub key: String,
    /// What it says.
    pub value: Value,
}

impl std::str::FromStr for Param {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Param {
                key: key.to_owned(),
                value: serde_json::from_str(value).unwrap_or_else(|_| value.into()),
            }),
            _ => Err("write key=value, such as install_disk=/dev/sda"),
        }
    }
}

/// Parameters as they shall be: `file` instead of what there is, then each `key=value`, where
/// null removes the key.
pub fn params(current: Option<&Value>, file: Option<&str>, given: &[Param]) -> anyhow::Result<Option<Value>> {
    if file.is_none() && given.is_empty() {
        return Ok(None);
    }
    let mut params = match file {
        Some(path) => read_object(Path::new(path.strip_prefix('@').unwrap_or(path)))?,
        None => current.and_then(Value::as_object).cloned().unwrap_or_default(),
    };
    for Param { key, value } in given {
        match value {
            Value::Null => params.remove(key),
            value => params.insert(key.clone(), value.clone()),
        };
    }
    Ok(Some(Value::Object(params)))
}

/// The merge patch (RFC 7396) that turns one object into another: keys that are gone become
/// null, keys that stay the same are left out.
pub fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in to {
        match from.get(key) {
            Some(old) if old == new => {}
            Some(old) => {
                patch.insert(key.clone(), merge_patch(old, new));
            }
            None => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    Value::Object(patch)
}

/// The merge patch that sets these fields of an object and leaves its others alone.
pub fn patch_fields(current: &Value, fields: Map<String, Value>) -> Value {
    let patch = fields
        .into_iter()
        .filter(|(key, new)| current.get(key) != Some(new))
        .map(|(key, new)| {
            let patch = current.get(&key).map_or(new.clone(), |old| merge_patch(old, &new));
            (key, patch)
        })
        .collect();
    Value::Object(patch)
}

/// The networks of repeated flags: `none` alone is an empty list, an empty text no list. `None` when
/// no flag was given.
pub fn networks(given: Vec<String>) -> Option<Value> {
    match given.as_slice() {
        [] => None,
        [only] if only.is_empty() => Some(Value::Null),
        [only] if only == "none" => Some(Value::Array(vec![])),
        _ => Some(given.into_iter().map(Value::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_of_the_command_line() {
        let read = |text: &str| text.parse::<Param>().map(|p| (p.key, p.value));
        assert_eq!(read("disk=/dev/sda"), Ok(("disk".into(), json!("/dev/sda"))));
        assert_eq!(read("port=8080"), Ok(("port".into(), json!(8080))));
        assert_eq!(read("a={\"b\": [1]}"), Ok(("a".into(), json!({"b": [1]}))));
        assert_eq!(read("x=a=b"), Ok(("x".into(), json!("a=b"))));
        assert_eq!(read("id=0123"), Ok(("id".into(), json!("0123"))));
        assert!(read("novalue").is_err() && read("=x").is_err());
    }

    #[test]
    fn patches_say_only_what_changes() {
        let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 1});
        let to = json!({"a": 1, "b": {"c": 1, "x": 3}, "e": [2], "g": 1});
        assert_eq!(merge_patch(&from, &to), json!({"b": {"d": null, "x": 3}, "e": [2], "f": null, "g": 1}));
        let given: Vec<Param> = ["c=null", "n=5"].iter().map(|p| p.parse().unwrap()).collect();
        let params = params(from.get("b"), None, &given).unwrap().unwrap();
        assert_eq!(params, json!({"d": 2, "n": 5}));
        let fields = [("b".to_owned(), params), ("a".to_owned(), json!(1))].into_iter().collect();
        assert_eq!(patch_fields(&from, fields), json!({"b": {"c": null, "n": 5}}));
    }
}
