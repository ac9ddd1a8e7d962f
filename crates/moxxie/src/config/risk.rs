//! Settings that are valid and may still be a mistake.

use super::Config;
use moxxie_core::net::Networks;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

impl Config {
    /// What an operator should know of these settings, a line each.
    pub fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        let mut say = |key: &str, what: &str| risks.push(format!("{key}: {what}"));
        let allow = &self.access.allow;
        if allow.is_empty() {
            say("access.allow", "it is empty: no machine can boot");
        }
        if everybody(allow) {
            say("access.allow", "every address may use the boot routes; name your networks");
        }
        if everybody(&self.access.api) {
            say("access.api", "every address may use the API; name the networks of people and monitoring");
        }
        if everybody(&self.site.provisioning) {
            say(
                "access.provisioning",
                "every address may be given boot tokens; name your provisioning networks",
            );
        }
        let outside = self.site.provisioning.prefixes().iter().filter(|network| !allow.covers(network));
        let outside: Vec<String> = outside.map(ToString::to_string).collect();
        if !outside.is_empty() && !everybody(&self.site.provisioning) && !allow.is_empty() {
            let what =
                format!("not inside access.allow, so no machine there can boot: {}", outside.join(", "));
            say("access.provisioning", &what);
        }
        if self.limits.failures.is_none() {
            say("limits.failures_per_minute", "0 switches it off: tokens can be guessed without end");
        }
        let inside = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 169, 254)];
        if inside.into_iter().any(|ip| self.import_allow.contains(IpAddr::V4(ip))) {
            say("import.allow", "imports may reach this machine itself, or its cloud's metadata");
        }
        if let Some(admin) = self.doors.admin
            && !admin.ip().is_loopback()
            && !self.doors.admin_tls
        {
            say("admin.listen", "tokens cross the network in the clear; set admin.tls");
        }
        if self.doors.files.is_some() && !self.doors.needs_certificate() {
            say("tls.cert", "it is not used: neither tls.listen nor admin.tls is set");
        }
        if self.doors.files.as_ref().is_some_and(|files| open_to_all(&files.key)) {
            say("tls.key", "every user of this machine can read the private key; chmod 600 it");
        }
        if self.doors.tls.is_some() && self.public_url.as_ref().is_some_and(|url| url.starts_with("http:")) {
            say("public_url", "it begins with http: scripts served over TLS lead away from it");
        }
        if self.written.contains_key("database_url") && open_to_all(&self.path()) {
            say("database_url", "every user of this machine can read this file; chmod 600 it");
        }
        risks
    }
}

/// All addresses, or at least half of one kind.
fn everybody(networks: &Networks) -> bool {
    networks.is_any() || networks.prefixes().iter().any(|network| network.prefix_len() <= 1)
}

fn open_to_all(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Overrides};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn risks_are_named_by_their_key() {
        let dir = tempfile::tempdir().unwrap();
        let risks = |toml: &str| {
            std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
            let given = Overrides { data_dir: Some(dir.path().into()), ..Overrides::default() };
            let keys = |risk: String| risk.split(':').next().unwrap().to_owned();
            Config::load(given).unwrap().risks().into_iter().map(keys).collect::<Vec<_>>()
        };
        assert!(risks("").is_empty());
        assert!(risks("[admin]\nlisten = \"127.0.0.1:8081\"").is_empty());
        assert_eq!(risks("[access]\nprovisioning = [\"any\"]"), ["access.provisioning"]);
        assert_eq!(risks("[access]\nallow = []"), ["access.allow"]);
        let narrow = "[access]\nallow = [\"10.10.0.0/24\"]\nprovisioning = ";
        assert!(risks(&format!("{narrow}[\"10.10.0.0/26\"]")).is_empty());
        assert_eq!(risks(&format!("{narrow}[\"10.10.0.0/26\", \"10.11.0.0/24\"]")), ["access.provisioning"]);
        assert_eq!(risks("[limits]\nfailures_per_minute = 0"), ["limits.failures_per_minute"]);
        let key = dir.path().join("key.pem");
        std::fs::write(&key, "").unwrap();
        let tls = format!("[tls]\nlisten = \"127.0.0.1:0\"\ncert = \"c\"\nkey = {key:?}");
        for (mode, told) in [(0o644, &["tls.key"][..]), (0o640, &[])] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(risks(&tls), told);
        }
        assert_eq!(
            risks(
                "[import]\nallow = [\"169.254.0.0/16\"]\n[admin]\nlisten = \"10.0.0.1:8081\"\n[tls]\ncert = \"c\"\nkey = \"k\""
            ),
            ["import.allow", "admin.listen", "tls.cert"]
        );
    }
}
