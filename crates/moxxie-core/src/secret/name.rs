//! Which names stand for secrets.

/// Parts that make a name secret wherever they stand in one of its words.
const PARTS: [&str; 7] = ["secret", "token", "password", "passwd", "passphrase", "credential", "psk"];

/// Whole words that make a name secret.
const WORDS: [&str; 17] = [
    "authorization",
    "private",
    "pass",
    "pwd",
    "pw",
    "pin",
    "auth",
    "bearer",
    "wep",
    "wpa",
    "otp",
    "cookie",
    "dsn",
    "community",
    "hmac",
    "keytab",
    "mnemonic",
];

/// Words that do so only at the end of a name: `luks`, but not `luks-version`.
const LAST: [&str; 5] = ["luks", "cookies", "enrollment", "webhook", "webhooks"];

/// Last two words that do so.
const PAIRS: [(&str, &str); 11] = [
    ("connection", "string"),
    ("connection", "strings"),
    ("webhook", "url"),
    ("webhook", "uri"),
    ("webhook", "urls"),
    ("join", "code"),
    ("enrollment", "code"),
    ("access", "code"),
    ("pairing", "code"),
    ("recovery", "code"),
    ("recovery", "codes"),
];

/// Names that are secret when they are all there is.
const WHOLE: [&str; 3] = ["key", "session", "connectionstring"];

/// How words end that make a name secret: `bindpw`, `dbpwd`, `rootpass`, `authkey`.
const ENDS: [&str; 8] = ["pw", "pwd", "pass", "passwd", "cred", "creds", "key", "keys"];

/// Ordinary words that end so.
const ORDINARY: [&str; 17] = [
    "compass",
    "encompass",
    "bypass",
    "trespass",
    "surpass",
    "overpass",
    "underpass",
    "sacred",
    "monkey",
    "monkeys",
    "turkey",
    "donkey",
    "hockey",
    "jockey",
    "lackey",
    "whiskey",
    "keys",
];

/// Words before `key` that make it a public or an ordinary one.
const PUBLIC: [&str; 13] = [
    "public",
    "pub",
    "authorized",
    "ssh",
    "known",
    "primary",
    "foreign",
    "sort",
    "partition",
    "keyboard",
    "topology",
    "hot",
    "no",
];

/// Whether values of this name are to be masked. Reads `snake_case`, `kebab-case`, `camelCase`,
/// dots and slashes; of a path only the last part counts.
pub fn is_secret_name(name: &str) -> bool {
    let last = name.rsplit(['/', '.']).next().unwrap_or(name);
    let words = words(last);
    if words.iter().any(|word| PARTS.iter().any(|part| word.contains(part)) || WORDS.contains(&word.as_str()))
    {
        return true;
    }
    match words.as_slice() {
        [] => false,
        [word] if WHOLE.contains(&word.as_str()) => true,
        [.., before, key] if key == "key" || key == "keys" => !PUBLIC.contains(&before.as_str()),
        [.., before, last] if PAIRS.contains(&(before.as_str(), last.as_str())) => true,
        [.., last] => LAST.contains(&last.as_str()) || ends_secret(last),
    }
}

/// Whether a word ends as those of secrets do and is no ordinary one.
fn ends_secret(word: &str) -> bool {
    ENDS.iter().any(|end| word.strip_suffix(end).is_some_and(|stem| !PUBLIC.contains(&stem) || stem == "ssh"))
        && !ORDINARY.contains(&word)
}

/// Lower-case words of a name. `secretKey`, `secret_key` and `SECRET-KEY` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() {
            previous = ' ';
            continue;
        }
        if previous == ' ' || (c.is_uppercase() && !previous.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    words
}

/// A value that hides nothing whatever its name is.
pub(super) fn is_harmless(value: &str) -> bool {
    let value = value.trim();
    let words = ["true", "false", "yes", "no", "on", "off", "null", "none", "~", "{}", "[]"];
    value.is_empty()
        || value.bytes().all(|b| b == b'*')
        || words.contains(&value.to_ascii_lowercase().as_str())
        || super::shape::is_public_key(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for secret in [
            "secret",
            "token",
            "password",
            "root_password",
            "rootPassword",
            "passwd",
            "chpasswd",
            "luks-passphrase",
            "private_key",
            "privateKey",
            "credential",
            "credentials",
            "key",
            "api_key",
            "apiKey",
            "APIKEY",
            "API_KEY",
            "tls.key",
            "ca_key",
            "bootstraptoken",
            "clientSecret",
            "aescbcEncryptionSecret",
            "passwd/root-password-crypted",
            "talos.config.oauth.client_secret",
            "machine_token",
            "wifi_psk",
            "secret_keys",
            "passwordHash",
            "encryption_keys",
            "auth",
            "luks",
            "bindpw",
            "dbpwd",
            "mysqlpwd",
            "rootpw",
            "rootpass",
            "userpass",
            "cred",
            "creds",
            "cookie",
            "session_cookie",
            "otp",
            "session",
            "dsn",
            "connection_string",
            "connectionString",
            "community",
            "snmp_community",
            "hmac",
            "accesskey",
            "authkey",
            "preauthkey",
            "tskey",
            "join_code",
            "enrollment",
            "keytab",
            "mnemonic",
            "webhook_url",
            "config_key",
            "group_key",
            "map_key",
            "apikeys",
            "sshkey",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for plain in [
            "keyboard",
            "keyboard-configuration/xkb-keymap",
            "xkb-keymap",
            "ssh_authorized_keys",
            "sshAuthorizedKeys",
            "ssh_key",
            "public_key",
            "pubKey",
            "crt",
            "ca",
            "cert",
            "install_disk",
            "node_name",
            "hostname",
            "version",
            "image",
            "keymap",
            "monkey",
            "passwd/make-user",
            "keys",
            "topologyKey",
            "partition_key",
            "author",
            "pinned",
            "compass",
            "bypass",
            "license",
            "luks-version",
            "key_id",
            "keymap_toggle",
            "hotkey",
            "pubkey",
            "publickey",
            "authorizedkeys",
            "status_code",
            "session_timeout",
            "connection_limit",
            "",
        ] {
            assert!(!is_secret_name(plain), "{plain}");
        }
    }
}
