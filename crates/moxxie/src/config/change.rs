//! What is different between two readings of the settings, and what a running server keeps.

use super::{Config, Overrides};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Keys that are read at the start only: they name what is open by then.
pub const RESTART: &[&str] = &[
    "listen",
    "database_url",
    "assets_url",
    "assets.watch",
    "assets.cache_mib",
    "assets.redirect",
    "tls.listen",
    "admin.listen",
    "admin.tls",
    "tftp.listen",
    "limits.connections",
    "log.format",
];

/// The keys of a file with their values, `section.key`; only those that are written there. The
/// params of the site are one key.
pub(super) fn keys(file: &impl serde::Serialize) -> Map<String, Value> {
    let mut keys = Map::new();
    // A file that was read can be written; should it not, nothing is known of its keys.
    let Ok(Value::Object(sections)) = serde_json::to_value(file) else { return keys };
    for (name, value) in sections {
        match value {
            Value::Object(section) if name != "params" => {
                for (key, value) in section.into_iter().filter(|(_, value)| !value.is_null()) {
                    keys.insert(format!("{name}.{key}"), value);
                }
            }
            Value::Null => {}
            value => drop(keys.insert(name, value)),
        }
    }
    keys
}

impl Overrides {
    /// What a flag or the environment says of this key, whatever the file does.
    pub fn value(&self, key: &str) -> Option<String> {
        let address = |given: Option<SocketAddr>| given.map(|address| address.to_string());
        let path = |given: &Option<PathBuf>| given.as_ref().map(|path| path.display().to_string());
        match key {
            "listen" => address(self.listen),
            "database_url" => self.database_url.clone(),
            "assets_url" => self.assets_url.clone(),
            "public_url" => self.public_url.clone(),
            "tls.listen" => address(self.tls_listen),
            "tls.cert" => path(&self.tls_cert),
            "tls.key" => path(&self.tls_key),
            "admin.listen" => address(self.admin_listen),
            "tftp.listen" => address(self.tftp),
            _ => None,
        }
    }
}

impl Config {
    /// The keys that `next` has other values for, sorted: those that can take effect now, and
    /// those that need a restart. Names only: a value may be a secret.
    pub fn changes(&self, next: &Config) -> (Vec<String>, Vec<String>) {
        let mut keys: Vec<&String> = self.written.keys().chain(next.written.keys()).collect();
        keys.sort();
        keys.dedup();
        let changed = |key: &&String| {
            self.given.value(key).is_none()
                && self.written.get(key.as_str()) != next.written.get(key.as_str())
        };
        let changed = keys.into_iter().filter(changed).cloned();
        let (restart, now) = changed.partition(|key| RESTART.contains(&key.as_str()));
        (now, restart)
    }

    /// These settings, but what was opened at the start stays as it runs.
    pub fn keeping(mut self, running: &Config) -> Config {
        for key in RESTART {
            match running.written.get(*key) {
                Some(value) => drop(self.written.insert((*key).to_owned(), value.clone())),
                None => drop(self.written.remove(*key)),
            }
        }
        self.listen = running.listen;
        self.data_dir = running.data_dir.clone();
        self.database_url = running.database_url.clone();
        self.assets = running.assets.clone();
        self.assets_dir = running.assets_dir.clone();
        self.watch = running.watch.clone();
        self.limits.connections = running.limits.connections;
        self.log_json = running.log_json;
        self.tftp.listen = running.tftp.listen;
        // The files may move while the listeners stay.
        let files = self.doors.files.take().or_else(|| running.doors.files.clone());
        self.doors = super::Listen { files, ..running.doors.clone() };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileConfig;

    fn load(dir: &std::path::Path, toml: &str, public_url: Option<&str>) -> Config {
        std::fs::write(dir.join("moxxie.toml"), toml).unwrap();
        let public_url = public_url.map(str::to_owned);
        Config::load(Overrides { data_dir: Some(dir.into()), public_url, ..Overrides::default() }).unwrap()
    }

    #[test]
    fn changes_are_named_by_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let before = load(dir.path(), "", None);
        let toml = "listen = \"127.0.0.1:9\"\ndatabase_url = \"postgres://u:canary@h/d\"\n\
                    [params]\na = \"1\"\n[limits]\nevent_days = 3\nconnections = 99\n[access]\nallow = [\"10.0.0.0/8\"]\n";
        let after = load(dir.path(), toml, None);
        let (now, restart) = before.changes(&after);
        assert_eq!(now, ["access.allow", "limits.event_days", "params"]);
        assert_eq!(restart, ["database_url", "limits.connections", "listen"]);
        // What was not applied is named again.
        let kept = after.keeping(&before);
        assert_eq!((kept.listen, kept.limits.connections, kept.event_days), (before.listen, 0, 3));
        assert_eq!(kept.database_url, before.database_url);
        let again = load(dir.path(), toml, None);
        assert_eq!(kept.changes(&again), (vec![], restart));
    }

    #[test]
    fn what_a_flag_decides_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let before = load(dir.path(), "", Some("http://flag"));
        let after = load(dir.path(), "public_url = \"http://file\"", Some("http://flag"));
        assert_eq!(before.changes(&after), (vec![], vec![]));
        assert_eq!(after.public_url.as_deref(), Some("http://flag"));
    }

    #[test]
    fn what_needs_a_restart_is_a_key() {
        let section = |key: &str| match key.split_once('.') {
            Some((section, key)) => format!("[{section}]\n{key} = 0\n"),
            None => format!("{key} = 0\n"),
        };
        for key in RESTART {
            let error = toml::from_str::<FileConfig>(&section(key)).map(drop);
            let known = error.is_ok() || !error.unwrap_err().message().contains("unknown field");
            assert!(known, "{key}");
        }
    }
}
