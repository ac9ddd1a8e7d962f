//! The config file: TOML, unknown keys refused with file, line and the nearest known key.

use moxxie_core::params::Params;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML, or has a key or a type that Moxxie does not know.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the nearest known key.
        message: String,
    },
    /// A value that cannot be used.
    #[error("{key}: {why} (from {}, a flag or the environment)", path.display())]
    Value {
        /// The file that was read, if any.
        path: PathBuf,
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
}

/// The file as written. Every key is optional.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "every key is explained in TEMPLATE below")]
pub struct FileConfig {
    pub listen: Option<String>,
    pub database_url: Option<String>,
    pub assets_url: Option<String>,
    pub public_url: Option<String>,
    pub params: Option<Params>,
    #[serde(default)]
    pub tls: Tls,
    #[serde(default)]
    pub admin: Admin,
    #[serde(default)]
    pub tftp: Tftp,
    #[serde(default)]
    pub access: Access,
    #[serde(default)]
    pub assets: Assets,
    #[serde(default)]
    pub boot: Boot,
    #[serde(default)]
    pub import: Import,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub shutdown: Shutdown,
    #[serde(default)]
    pub log: Log,
    #[serde(default)]
    pub audit: Audit,
}

macro_rules! sections {
    ($($name:ident { $($key:ident: $type:ty,)* })*) => {$(
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "every key is explained in TEMPLATE below")]
        pub struct $name { $(pub $key: Option<$type>,)* }
    )*};
}

sections! {
    Access {
        allow: Vec<String>, provisioning: Vec<String>, api: Vec<String>,
        trusted_proxies: Vec<String>, proxy_protocol: bool,
    }
    Tls { listen: String, cert: String, key: String, }
    Admin { listen: String, tls: bool, }
    Tftp { listen: String, max_block_size: i64, }
    Assets { watch: String, cache_mib: i64, redirect: bool, scrub_mib_per_second: i64, }
    Boot {
        local_boot: String, arm_hours: i64, window_minutes: i64, settle_minutes: i64,
        token_prefix_v4: i64, token_prefix_v6: i64,
    }
    Import { allow: Vec<String>, }
    Limits {
        event_days: i64, event_rows: i64, unknown_machines: i64, asset_mib: i64,
        asset_bytes_in_flight: i64, boots_in_flight: i64,
        boot_per_second: i64, boot_burst: i64, machine_per_minute: i64, failures_per_minute: i64,
        api_per_second: i64, api_burst: i64, requests_in_flight: i64, api_requests_in_flight: i64,
        connections: i64, connections_per_address: i64,
    }
    Shutdown { grace_seconds: i64, drain_seconds: i64, }
    Log { level: String, format: String, }
    Audit { days: i64, syslog: String, }
}

impl FileConfig {
    /// Reads the file. A missing one is empty unless it was asked for by name.
    pub fn read(path: &Path, required: bool) -> Result<FileConfig, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => FileConfig::parse(path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => Ok(FileConfig::default()),
            Err(error) => Err(ConfigError::Read { path: path.to_owned(), error }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<FileConfig, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or("").matches('\n').count() + 1;
            let message = match error.message() {
                "duplicate key" => twice(text, line),
                message => with_key(text, with_nearest(&without_value(message))),
            };
            ConfigError::Syntax { path: path.to_owned(), line, message }
        })
    }
}

/// What stands twice. Only a section's head and a key are repeated, never a value.
fn twice(text: &str, line: usize) -> String {
    let written = text.lines().nth(line - 1).unwrap_or("").trim();
    if let Some(section) = written.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        let head = format!("[{section}]");
        let first = text.lines().position(|other| other.trim().starts_with(&head)).map_or(0, |at| at + 1);
        if first > 0 && first < line {
            return format!("the section {head} stands in this file already, at line {first}: edit it there");
        }
        return format!("the section {head} stands in this file already: edit it there");
    }
    match written.split_once('=') {
        Some((key, _)) => format!("the key `{}` stands in its section already: edit it there", key.trim()),
        None => "a key stands here twice".into(),
    }
}

/// Puts the key before what serde says of its value.
fn with_key(text: &str, message: String) -> String {
    if !message.starts_with("invalid ") {
        return message;
    }
    // Read again, this time with a record of the way to the value; only an error pays for it.
    let path = toml::Deserializer::parse(text)
        .ok()
        .and_then(|toml| serde_path_to_error::deserialize::<_, FileConfig>(toml).err())
        .map(|error| error.path().to_string());
    let message = message.replace("expected a sequence", "expected a list in [ ]");
    match path.as_deref() {
        None | Some("." | "") => message,
        Some(key) => format!("{key}: {message}"),
    }
}

/// Takes the value out of serde's "invalid type: string "x", expected y": it may be a secret.
fn without_value(message: &str) -> String {
    let kept = ["invalid type: ", "invalid value: "].iter().find_map(|start| {
        let (given, wanted) = message.strip_prefix(start)?.rsplit_once(", expected ")?;
        let kind = given.split(['"', '`']).next()?.trim_end();
        Some(format!("{start}{kind}, expected {wanted}"))
    });
    kept.unwrap_or_else(|| message.to_owned())
}

/// Adds the nearest known key to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_nearest(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [unknown, known @ ..] = quoted.as_slice() else { return message.to_owned() };
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    match known.iter().min_by_key(|k| distance(unknown, k)) {
        Some(nearest) if distance(unknown, nearest) <= 3.max(unknown.len() / 2) => {
            format!("unknown key `{unknown}`; did you mean `{nearest}`?")
        }
        _ => format!("unknown key `{unknown}`; known here: {}", known.join(", ")),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let cost = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// What the first start leaves in the data folder: every key, its default and its risk.
pub const TEMPLATE: &str = r#"# Moxxie settings. Every line shows the default; remove the '#' to change it.
# A flag or an environment variable wins over this file. `moxxie config check` reads it without
# applying it; SIGHUP or `moxxie config reload` applies it to what begins from then on, and names
# what needs a restart. Params of the site that change also change for boots that are under way.

# Where to listen. Port 0 picks a free one.
#listen = "0.0.0.0:8080"

# The database: SQLite in this folder, or PostgreSQL for several replicas.
# Do not put SQLite on NFS.
#database_url = "sqlite://moxxie-data/moxxie.db"
#database_url = "postgres://moxxie:PASSWORD@db.example/moxxie"

# Where kernels, initrds and other assets are: a folder, or a bucket for several replicas. For S3
# set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and for other stores AWS_ENDPOINT_URL
# in the environment.
#assets_url = "file://moxxie-data/assets"
#assets_url = "s3://bucket/prefix"

# The address that machines reach Moxxie at. Unset: the Host header of each request.
# Set it when a proxy or NAT stands between.
#public_url = "http://10.0.0.5:8080"

# Values that every template sees as params.NAME; profiles and machines override them.
# No secrets here: this file is not encrypted.
#[params]
#dns = "10.0.0.1"

[tls]
# Where machines and people are served over TLS 1.2 and 1.3, beside the address above. Unset: not.
# iPXE must be built with HTTPS and with ECDHE key exchange; the links in its scripts are then https.
#listen = "0.0.0.0:8443"
# The certificate chain and its private key, PEM; read again when the files change, on SIGHUP and
# on reload. What cannot be used is refused, and the certificate before stays. Unset: no TLS.
#cert = "/etc/moxxie/cert.pem"
# Its private key. Unset: no TLS.
#key = "/etc/moxxie/key.pem"

[admin]
# Serves the API, /metrics and /api/docs on this address and nowhere else: the others are left with
# /boot, /livez and /readyz. Unset: every listener serves everything.
#listen = "127.0.0.1:8081"
# Speak TLS there, with the certificate above. Tokens cross the network in the clear without it.
#tls = false

[tftp]
# Serves the loaders by TFTP, read-only, to networks in access.allow. For sites whose switch has no
# TFTP server. Port 69 where none is given; a service without root needs CAP_NET_BIND_SERVICE for it.
# Unset: no TFTP.
#listen = "0.0.0.0:69"
# Largest block that a client gets, in bytes. Larger ones than this come in fragments on Ethernet,
# which some PXE ROMs lose (PXE-E35).
#max_block_size = 1428

[access]
# Networks that may use the boot routes (/boot/...). Every address: ["any"].
#allow = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "198.18.0.0/15", "fc00::/7", "fe80::/10", "::1/128"]
# Networks that a machine must ask from to be given a boot token. Unset: the same as allow.
# Narrow it to your provisioning VLAN: hosts elsewhere can then never fetch a config.
#provisioning = ["10.10.0.0/24"]
# Networks that may use everything else: the API, /metrics, /api/docs. This machine itself always
# may; /livez and /readyz are open to all.
#api = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "198.18.0.0/15", "fc00::/7", "fe80::/10", "::1/128"]
# Proxies and load balancers in front of Moxxie, as networks. Only their X-Forwarded-For,
# Forwarded and X-Real-IP headers are believed, so whoever listens there can pass for anybody.
# List also one on this machine (127.0.0.1): unlisted, all of its clients count as this machine.
#trusted_proxies = []
# The listed proxies begin each connection with a PROXY protocol header (HAProxy's send-proxy or
# send-proxy-v2). Then only they, and this machine itself, can connect.
#proxy_protocol = false

[assets]
# A folder to fill shelves from: WATCH/PROFILE/FILE is put on that profile's shelf once it is
# complete. Whoever may write there decides what machines boot. Nothing is deleted. Unset: off.
#watch = "/srv/incoming"
# S3 only: most MiB of copies kept in the data folder (asset-cache). What was used last stays.
#cache_mib = 20480
# S3 only: send machines to S3 by a signed URL instead of passing the bytes on. They must reach S3
# by the address in AWS_ENDPOINT_URL, and their firmware must follow redirects.
#redirect = false
# Stored files are read anew about once a week, at most this fast, to find what the disk lost.
# 0 switches it off: damage is then found at the first read after a start.
#scrub_mib_per_second = 20

[boot]
# How machines that nobody assigned reach their disk: auto, exit, sanboot or 404.
#local_boot = "auto"
# How long an armed machine may wait for its first boot.
#arm_hours = 168
# How long a started boot may take to fetch its config. Talos retries for 3 hours.
#window_minutes = 240
# A machine that fetched its config and reports nothing for this long counts as installed.
#settle_minutes = 30
# A boot token works within this prefix of the address it was made for.
#token_prefix_v4 = 24
#token_prefix_v6 = 64

[import]
# Private networks that assets may be imported from by URL. Public addresses are always
# allowed, loopback and link-local never unless listed.
#allow = []

[limits]
# Days that boot events are kept.
#event_days = 90
# Boot events that are kept; the oldest are deleted first.
#event_rows = 200000
# Machines that nobody assigned which are remembered; the oldest are forgotten first.
#unknown_machines = 10000
# Largest asset, in MiB.
#asset_mib = 16384
# Waves: machines beyond these limits are told their place in the line and come back by
# themselves; control planes first, then first come. A machine counts from its boot script until
# it has its files, or its config, or was silent for 5 minutes. 0: no limit. Each replica counts
# for itself: with two behind a load balancer, give each half.
# Bytes of kernels and initrds that may be under way at once.
#asset_bytes_in_flight = 0
# For a link of 1 Gbit/s, about 25 seconds of it:
#asset_bytes_in_flight = 3000000000
# Machines that may fetch theirs at once.
#boots_in_flight = 0
# Who asks too often is told to wait (429 with Retry-After, which iPXE obeys); 0: no limit. Each
# replica counts for itself. The defaults let 200 machines behind one address boot together.
# Requests on boot routes from one address (IPv6: one /64), a second and at once.
#boot_per_second = 100
#boot_burst = 2000
# Menus for one MAC address from one address. SeaBIOS in a boot loop asks 4 times a minute.
#machine_per_minute = 60
# Refused tokens from one address, on the API as on boot routes. Tokens that are known to be good
# still pass after that.
#failures_per_minute = 10
# API requests with one token, a second and at once.
#api_per_second = 100
#api_burst = 1000
# Requests on boot routes that are worked on at once; downloads do not count. The last quarter is
# kept for machines that are armed or booting. For the API: all of its requests.
#requests_in_flight = 1024
#api_requests_in_flight = 256
# Open connections in all. 0: as many as the limit on open files allows, 8192 at most. Read at start.
#connections = 0
# Open connections of one address; further ones are closed at once. 0: half of all.
#connections_per_address = 512

[shutdown]
# After SIGTERM: seconds that /readyz says 503 before the listener closes (load balancers).
#grace_seconds = 1
# Then: seconds that running downloads may go on.
#drain_seconds = 300

[log]
# Filter: error, warn, info, debug, or per module such as "moxxie=debug".
#level = "info"
# text or json, on standard error.
#format = "text"

[audit]
# Days that audit records are kept; 0 keeps them for ever. Deleting old ones leaves a record.
#days = 400
# Send every record to a syslog receiver as well (RFC 5424, facility 13): udp://HOST[:PORT],
# tcp://HOST[:PORT] or unix:///PATH. Begins with the next record; what a receiver that is away
# misses is sent when it is back. A network in between can read it. Unset: off.
#syslog = "tcp://10.0.0.9:514"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_and_its_examples_are_valid() {
        assert!(FileConfig::parse(Path::new("t"), TEMPLATE).is_ok());
        // With every example switched on (one database_url only).
        let mut seen = std::collections::HashSet::new();
        let all: Vec<String> = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(example)
                    if !example.starts_with(' ')
                        && seen.insert(example.split(' ').next().unwrap_or("").to_owned()) =>
                {
                    example.to_owned()
                }
                _ if line.starts_with('#') => String::new(),
                _ => line.to_owned(),
            })
            .collect();
        let parsed = FileConfig::parse(Path::new("t"), &all.join("\n"));
        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn unknown_keys_name_the_line_and_the_nearest() {
        let error = FileConfig::parse(Path::new("m.toml"), "\n[access]\nalow = []\n").unwrap_err();
        assert_eq!(error.to_string(), "m.toml:3: unknown key `alow`; did you mean `allow`?");
        let error = FileConfig::parse(Path::new("m.toml"), "listen = 5\n").unwrap_err();
        assert_eq!(error.to_string(), "m.toml:1: listen: invalid type: integer, expected a string");
    }

    #[test]
    fn what_stands_twice_or_is_of_a_wrong_type_is_named() {
        for (toml, says) in [
            (
                "[access]\n#x\n[tls]\n[access]\napi = [\"canary\"]\n",
                "m.toml:4: the section [access] stands in this file already, at line 1: edit it there",
            ),
            (
                "[tls]\ncert = \"a\"\ncert = \"canary\"\n",
                "m.toml:3: the key `cert` stands in its section already: edit it there",
            ),
            (
                "[access]\nallow = \"canary\"\n",
                "m.toml:2: access.allow: invalid type: string, expected a list in [ ]",
            ),
            (
                "[access]\nallow = [1]\n",
                "m.toml:2: access.allow[0]: invalid type: integer, expected a string",
            ),
        ] {
            let error = FileConfig::parse(Path::new("m.toml"), toml).unwrap_err().to_string();
            assert_eq!(error, says);
        }
    }

    #[test]
    fn values_of_a_wrong_type_are_not_repeated() {
        for bad in [
            "[access]\nallow = \"canary\"",
            "[access]\nallow = \"canary, expected `a` \\\" canary\"",
            "[limits]\nevent_days = \"canary\"",
            "[limits]\nevent_days = 99999999999999999999990",
            "params = \"canary\"",
            "boot = \"canary\"",
            "listen = [\"canary\"]",
            "public_url = \"http://u:canary",
        ] {
            let error = FileConfig::parse(Path::new("m.toml"), bad).unwrap_err().to_string();
            assert!(!error.contains("canary") && !error.contains("9999"), "{error}");
        }
    }
}
