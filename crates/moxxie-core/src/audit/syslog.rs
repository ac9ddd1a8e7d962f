//! Audit records as syslog messages (RFC 5424), one line of ASCII text each.

use super::Chained;
use std::fmt::Write;

/// Facility 13, "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// This machine's name.
    pub host: String,
    /// This process's number.
    pub process: u32,
}

/// A record as one message, without a frame: what fits in `most` bytes. The fields that tell who
/// did what come first, so that only what changed is ever cut.
///
/// The structured data's name ends with 32473, the enterprise number that IANA keeps for
/// documentation (RFC 5612): Moxxie has none of its own. Receivers take it as a name.
pub fn line(record: &Chained, origin: &Origin, most: usize) -> String {
    let refused = record.action.starts_with("access.");
    let priority = FACILITY * 8 + if refused { WARNING } else { INFO };
    let (host, action) = (name(&origin.host, 255), name(&record.action, 32));
    let mut out =
        format!("<{priority}>1 {} {host} moxxie {} {action} [moxxie@32473", record.at, origin.process);
    let fields = [
        ("seq", record.seq.to_string()),
        ("actor", record.actor.clone()),
        ("target", record.target.clone()),
        ("peer", record.peer.clone().unwrap_or_default()),
        ("hash", record.hash.to_string()),
    ];
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!(" {key}=\"{}\"", quoted(value)));
    }
    out.push(']');
    for (key, text) in [("before", &record.before), ("after", &record.after)] {
        if let Some(text) = text {
            out.push_str(&format!(" {key}="));
            ascii(&mut out, text);
        }
    }
    // All of it is ASCII, so any cut is between characters.
    out.truncate(most);
    out
}

/// HOSTNAME and MSGID: printable ASCII without spaces, `-` for nothing.
fn name(text: &str, most: usize) -> String {
    match text.chars().filter(char::is_ascii_graphic).take(most).collect::<String>() {
        empty if empty.is_empty() => "-".to_owned(),
        name => name,
    }
}

/// A PARAM-VALUE: `"`, `\` and `]` escaped; nothing that could end the line.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(1024) {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // Neither controls nor a byte order mark: a reader shows them as they are meant.
            _ => out.push('?'),
        }
    }
    out
}

/// JSON text with everything beyond ASCII as `\uXXXX`, which means the same in JSON. So the
/// message needs no byte order mark (RFC 5424, section 6.4), which few receivers take away.
fn ascii(out: &mut String, json: &str) {
    let mut units = [0; 2];
    for c in json.chars() {
        match c {
            ' '..='~' => out.push(c),
            // Not in what serde_json wrote, which escapes them in texts and has none between.
            _ if c.is_ascii() => out.push(' '),
            _ => {
                for unit in c.encode_utf16(&mut units) {
                    // Writing into a text does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Digest;
    use crate::time::Timestamp;

    fn record() -> Chained {
        Chained {
            seq: 7,
            at: Timestamp(1_767_225_600_123),
            actor: "a\"b]c\\d".into(),
            action: "profile.update".into(),
            target: "profile x\n<13>1 - forged".into(),
            peer: None,
            before: Some(r#"{"d":"ü\n😀"}"#.into()),
            after: None,
            prev: Digest([0; 32]),
            hash: Digest([0xab; 32]),
        }
    }

    #[test]
    fn one_line_of_ascii_whatever_is_in_it() {
        let origin = Origin { host: "boot 1".into(), process: 42 };
        let text = line(&record(), &origin, 8192);
        let hash = "ab".repeat(32);
        assert_eq!(
            text,
            format!(
                "<110>1 2026-01-01T00:00:00.123Z boot1 moxxie 42 profile.update [moxxie@32473 seq=\"7\" \
                 actor=\"a\\\"b\\]c\\\\d\" target=\"profile x?<13>1 - forged\" hash=\"{hash}\"] \
                 before={{\"d\":\"\\u00fc\\n\\ud83d\\ude00\"}}"
            )
        );
        assert_eq!(line(&record(), &origin, 100).len(), 100);
        let refused = Chained { action: "access.refused".into(), ..record() };
        assert!(line(&refused, &Origin { host: String::new(), process: 1 }, 90).starts_with("<108>1 2026"));
    }
}
