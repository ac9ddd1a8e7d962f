//! What a secret looks like when no name tells.

use super::MASK;
use base64::Engine as _;

/// The shortest run of characters that is taken for a secret by its looks.
const BLOB: usize = 32;

/// Masks crypt hashes, user names and passwords in URLs, tokens in queries, and long random text.
pub(super) fn mask_shapes(line: &str) -> String {
    let line = mask_crypt(line);
    let line = mask_userinfo(&line);
    let line = mask_query_token(&line);
    mask_blobs(&line)
}

/// One line of an OpenSSH public key, which is meant to be seen.
pub(super) fn is_public_key(text: &str) -> bool {
    let text = text.trim_start_matches(['"', '\'', '-', ' ']);
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|kind| text.starts_with(kind))
        && text.split_whitespace().nth(1).is_some_and(|blob| blob.starts_with("AAAA"))
}

/// `$6$salt$hash`, `$y$…`, `$2b$…`, `$argon2id$…`
fn mask_crypt(line: &str) -> String {
    let in_hash = |c: char| c.is_ascii_alphanumeric() || "./$,=+-_".contains(c);
    let mut out = String::new();
    let mut rest = line;
    // Every dollar sign of a run shares its end, which is looked for once.
    let mut run_end = 0;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let begin = line.len() - from.len();
        if run_end <= begin {
            run_end = begin + from.find(|c: char| !in_hash(c)).unwrap_or(from.len());
        }
        let end = run_end - begin;
        let id = from[1..end].split('$').next().unwrap_or_default();
        let known = (1..=12).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && from[1..end].contains('$')
            && end > id.len() + 9;
        if known {
            out.push_str(MASK);
            rest = &from[end..];
        } else {
            out.push('$');
            rest = &from[1..];
        }
    }
    out + rest
}

/// `scheme://user:password@host`
fn mask_userinfo(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    // The end of the word and its last `@`, which are looked for once a word.
    let (mut word_end, mut last_at) = (0, None);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>`".contains(c)).unwrap_or(after.len());
        // A password may hold what ends an authority; then the last `@` of the word is the one.
        let begin = line.len() - after.len();
        if word_end <= begin {
            let word = after.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(after.len());
            word_end = begin + word;
            last_at = after[..word].rfind('@').map(|at| begin + at);
        }
        let at_sign = after[..end].rfind('@').or_else(|| {
            let late = last_at.filter(|at| *at >= begin)? - begin;
            after[..end].contains(':').then_some(late).filter(|_| !is_host(&after[..end]))
        });
        match at_sign {
            Some(at) if at > 0 => {
                out.push_str(MASK);
                rest = &after[at..];
            }
            _ => rest = after,
        }
    }
    out + rest
}

/// Whether an authority is `host` or `host:port`, so that an `@` later on belongs to the path.
fn is_host(authority: &str) -> bool {
    let (_, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// `?t=…` and `&t=…`, the boot tokens of this service.
fn mask_query_token(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['?', '&']) {
        let mark = ["?t=", "&t=", "&amp;t="].iter().find(|mark| rest[at..].starts_with(**mark));
        let value = at + mark.map_or(1, |mark| mark.len());
        out.push_str(&rest[..value]);
        let after = &rest[value..];
        // A template's own tag is no secret and says more than a mask.
        if mark.is_none() || after.starts_with("{{") {
            rest = after;
            continue;
        }
        let end = after.find(|c: char| c.is_whitespace() || "&\"'<>`)}]".contains(c)).unwrap_or(after.len());
        if end > 0 {
            out.push_str(MASK);
            rest = &after[end..];
        } else {
            rest = after;
        }
    }
    out + rest
}

/// Long runs of base64 or hexadecimal digits.
fn mask_blobs(line: &str) -> String {
    let in_run = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut out = String::new();
    let mut rest = line;
    // Whether the word up to here has a dot. Runs have none.
    let mut dotted = false;
    while let Some(start) = rest.find(in_run) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        dotted = before.chars().fold(dotted, |dotted, c| !c.is_whitespace() && (dotted || c == '.'));
        let end = from.find(|c: char| !in_run(c)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        if is_public_run(&out, dotted, run) {
            out.push_str(run);
        } else {
            out.push_str(&mask_run(run));
        }
        rest = after;
    }
    out + rest
}

/// Runs whose neighbourhood says that they are public: image digests, the schematic in the path of
/// a Talos image, an SSH public key, a certificate in base64.
fn is_public_run(before: &str, dotted: bool, run: &str) -> bool {
    if before.ends_with("sha256:") || before.ends_with("sha512:") {
        return true;
    }
    let image = ["installer/", "installer-secureboot/", "image/", "pxe/"];
    let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some((path, last)) = run.rsplit_once('/')
        && (hex(last) && image.iter().any(|i| format!("{path}/").ends_with(i)))
    {
        return true;
    }
    if run
        .split('/')
        .zip(run.split('/').skip(1))
        .any(|(dir, id)| hex(id) && image.contains(&format!("{dir}/").as_str()))
        && dotted
    {
        return true;
    }
    if run.starts_with("AAAA") && before.trim_end().ends_with(|c: char| c.is_ascii_alphanumeric()) {
        let kind = before.split_whitespace().next_back().unwrap_or_default();
        let kind = kind.trim_start_matches(['"', '\'', '-', '[']);
        if ["ssh-", "ecdsa-", "sk-"].iter().any(|k| kind.starts_with(k)) {
            return true;
        }
    }
    is_certificate(run)
}

/// Base64 of a PEM certificate or public key, as in Talos' and Kubernetes' configs.
fn is_certificate(run: &str) -> bool {
    if !run.starts_with("LS0tLS1CRUdJTi") {
        return false;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(run)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let begins = decoded.starts_with("-----BEGIN CERTIFICATE-----")
        || decoded.starts_with("-----BEGIN PUBLIC KEY-----");
    begins && !decoded.contains("PRIVATE")
}

/// Masks the segments of a run that look random. Segments end at `/`, so that of an address only
/// the token goes; a random text with slashes in it goes as a whole.
fn mask_run(run: &str) -> String {
    if run.len() < BLOB || !is_random_somewhere(run.as_bytes()) {
        return run.to_owned();
    }
    let segments: Vec<&str> = run.split('/').collect();
    let random = |segment: &&str| is_random_somewhere(segment.as_bytes());
    if !segments.iter().any(random) {
        return MASK.to_owned();
    }
    // A random segment beside one of letters in both cases is base64 that happens to hold a slash.
    let plain = |segment: &str| {
        random(&segment)
            || segment.len() < 4 && segments.len() > 3
            || !(segment.bytes().any(|b| b.is_ascii_lowercase())
                && segment.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
            || segment.contains('-')
    };
    if segments.iter().all(|segment| plain(segment)) {
        let masked = segments.iter().map(|s| if random(s) { MASK } else { s });
        masked.collect::<Vec<_>>().join("/")
    } else {
        MASK.to_owned()
    }
}

/// Whether a stretch of [`BLOB`] characters changes between capitals, small letters and digits as
/// often as chance does, or is a long hexadecimal number. The counts move along with the stretch.
fn is_random_somewhere(bytes: &[u8]) -> bool {
    let mut window = Window::default();
    bytes.iter().enumerate().any(|(at, byte)| {
        window.count(*byte, at.checked_sub(1).map(|before| bytes[before]), 1);
        if let Some(gone) = at.checked_sub(BLOB) {
            window.count(bytes[gone], None, -1);
            window.changes -= i32::from(is_change(bytes[gone], bytes[gone + 1]));
        }
        at + 1 >= BLOB && window.is_random()
    })
}

/// What a stretch of characters consists of.
#[derive(Default)]
struct Window {
    /// Others, digits, small letters, capitals.
    classes: [i32; 4],
    hex: i32,
    changes: i32,
}

/// Others, digits, small letters, capitals.
fn class(byte: u8) -> usize {
    match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    }
}

fn is_change(a: u8, b: u8) -> bool {
    let (a, b) = (class(a), class(b));
    a != 0 && b != 0 && a != b
}

impl Window {
    fn count(&mut self, byte: u8, before: Option<u8>, by: i32) {
        self.classes[class(byte)] += by;
        self.hex += by * i32::from(byte.is_ascii_hexdigit());
        self.changes += by * i32::from(before.is_some_and(|before| is_change(before, byte)));
    }

    fn is_random(&self) -> bool {
        let [other, digits, small, capital] = self.classes;
        if other == 0 && self.hex == BLOB as i32 {
            return digits >= 4 && (small >= 4 || capital >= 4);
        }
        if small >= 4 && capital >= 4 {
            return self.changes >= 13 && (digits >= 2 || self.changes >= 17);
        }
        // One case and digits, as many generators write them. Words and serial numbers change less.
        other <= 1 && digits >= 5 && small + capital >= 8 && self.changes >= 9
    }
}
