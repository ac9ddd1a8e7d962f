//! The settings in force, as people may see them.

use super::{Config, TEMPLATE};
use moxxie_core::params::Params;
use moxxie_core::secret::{MASK, mask_params, mask_text};
use serde_json::Value;

/// One setting, with passwords masked.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Setting {
    /// `section.key`, as in the file.
    pub key: String,
    /// Its value; null where nothing is set and nothing is the default.
    pub value: Value,
    /// `default`, `file`, `flag or environment` or `unset`.
    pub from: &'static str,
}

impl Config {
    /// Every setting in the order of the template.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<Setting> =
            defaults().into_iter().map(|(key, default)| self.setting(key, default)).collect();
        if let Some(Value::Object(params)) = self.written.get("params") {
            let value = Value::Object(mask_params(params));
            settings.push(Setting { key: "params".into(), value, from: "file" });
        }
        settings
    }

    fn setting(&self, key: String, default: Value) -> Setting {
        let (value, from) = match (self.given.value(&key), self.written.get(&key)) {
            (Some(given), _) => (Value::from(given), "flag or environment"),
            (None, Some(value)) => (value.clone(), "file"),
            _ if key == "database_url" => (Value::from(self.database_url.as_str()), "default"),
            _ if key == "assets_url" => {
                (Value::from(format!("file://{}", self.assets_dir.display())), "default")
            }
            _ if default.is_null() => (default, "unset"),
            _ => (default, "default"),
        };
        Setting { value: masked(value), key, from }
    }
}

/// Keys and defaults, from the explained file. A key whose explanation says what `Unset:` means has
/// none: what stands there is an example.
fn defaults() -> Vec<(String, Value)> {
    let mut section = String::new();
    let mut explanation = String::new();
    let mut found: Vec<(String, Value)> = Vec::new();
    for line in TEMPLATE.lines() {
        let example = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = example.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = example.split_once(" = ").filter(|_| !example.starts_with(' ')) {
            let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            if section != "params" && found.iter().all(|(known, _)| *known != full) {
                let unset = explanation.contains("Unset:");
                // A test reads every example.
                let mut table: Params = toml::from_str(example).unwrap_or_default();
                let value = table.remove(key).filter(|_| !unset).unwrap_or_default();
                found.push((full, value));
            }
            explanation.clear();
        } else {
            explanation.push_str(line);
        }
    }
    found
}

fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => Value::from(match url::Url::parse(&text) {
            Ok(mut url) if url.password().is_some() => match url.set_password(Some(MASK)) {
                Ok(()) => url.to_string(),
                Err(()) => MASK.to_owned(),
            },
            _ => mask_text(&text),
        }),
        Value::Array(values) => values.into_iter().map(masked).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn every_setting_is_shown_and_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let toml = "database_url = \"postgres://moxxie:canary@db/moxxie\"\n[params]\ndns = \"10.0.0.1\"\n\
                    token = \"canary-7Gh3kPq9\"\n[limits]\nevent_days = 3\n";
        std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
        let public_url = Some("http://flag".to_owned());
        let config =
            Config::load(Overrides { data_dir: Some(dir.path().into()), public_url, ..Overrides::default() })
                .unwrap();
        let settings = config.settings();
        let one = |key: &str| {
            let found: Vec<_> = settings.iter().filter(|s| s.key == key).collect();
            assert_eq!(found.len(), 1, "{key}");
            (found[0].value.to_string(), found[0].from)
        };
        assert_eq!(one("listen"), ("\"0.0.0.0:8080\"".into(), "default"));
        assert_eq!(one("limits.event_days"), ("3".into(), "file"));
        assert_eq!(one("limits.event_rows"), ("200000".into(), "default"));
        assert_eq!(one("public_url"), ("\"http://flag\"".into(), "flag or environment"));
        assert_eq!(one("shutdown.grace_seconds"), ("1".into(), "default"));
        for unset in [
            "access.provisioning",
            "assets.watch",
            "tls.listen",
            "tls.cert",
            "tls.key",
            "admin.listen",
            "tftp.listen",
        ] {
            assert_eq!(one(unset), ("null".into(), "unset"), "{unset}");
        }
        assert!(one("database_url").0.contains("postgres://moxxie:"));
        assert!(one("params").0.contains("10.0.0.1"));
        let all = serde_json::to_string(&settings).unwrap();
        assert!(!all.contains("canary"), "{all}");
    }
}
