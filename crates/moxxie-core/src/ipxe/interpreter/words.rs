//! Words, operators and `${…}`, as `src/core/exec.c` and `expand_settings` in
//! `src/core/settings.c` treat them.

use super::lines::is_blank;
use std::collections::BTreeMap;

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    AfterSuccess,
    AfterFailure,
}

/// A line's commands, not yet expanded, each with the condition it runs under. The first always
/// runs; an operator at the end makes a last, empty command.
pub(super) fn commands(line: &[u8]) -> Vec<(When, Vec<Vec<u8>>)> {
    let mut found = vec![(When::Always, Vec::new())];
    for word in line.split(|b| is_blank(*b)).filter(|w| !w.is_empty()) {
        let when = match word {
            [b'#', ..] => break,
            b"||" => When::AfterFailure,
            b"&&" => When::AfterSuccess,
            b";" => When::Always,
            _ => {
                if let Some((_, words)) = found.last_mut() {
                    words.push(word.to_vec());
                }
                continue;
            }
        };
        found.push((when, Vec::new()));
    }
    found
}

/// Replaces `${name}` until none is left, the innermost of the first closing brace first. What is
/// put in is looked at again. `None` when it does not end.
pub(super) fn expand(word: &[u8], settings: &BTreeMap<String, String>) -> Option<String> {
    let mut text = String::from_utf8_lossy(word).into_owned();
    // A real machine would run out of memory over a setting that contains itself.
    for _ in 0..1000 {
        let bytes = text.as_bytes();
        let mut start = None;
        let mut end = None;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'$' && bytes.get(at + 1) == Some(&b'{') {
                start = Some(at);
            }
            if start.is_some() && *byte == b'}' {
                end = Some(at);
                break;
            }
        }
        let (Some(start), Some(end)) = (start, end) else { return Some(text) };
        let value = value(&text[start + 2..end], settings);
        text = format!("{}{value}{}", &text[..start], &text[end + 1..]);
    }
    None
}

/// A setting as text; empty when unknown.
fn value(name: &str, settings: &BTreeMap<String, String>) -> String {
    if let Some(value) = settings.get(name) {
        return value.clone();
    }
    let Some((plain, kind)) = name.rsplit_once(':') else { return String::new() };
    let Some(value) = settings.get(plain) else { return String::new() };
    // The raw bytes of a MAC address are not its text.
    let pairs: Vec<&str> = value.split(':').collect();
    let mac = pairs.len() == 6 && pairs.iter().all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok());
    let hex: Vec<String> = match mac {
        true => pairs.iter().map(|p| p.to_string()).collect(),
        false => value.bytes().map(|b| format!("{b:02x}")).collect(),
    };
    match kind {
        "string" => value.clone(),
        "hex" => hex.join(":"),
        "hexhyp" => hex.join("-"),
        "hexraw" => hex.concat(),
        "uristring" => value
            .bytes()
            .map(|b| match b {
                b'/' | b'#' | b':' | b'@' | b'?' | b'=' | b'&' | b'+' | b'%' => format!("%{b:02X}"),
                b if !b.is_ascii_graphic() => format!("%{b:02X}"),
                b => char::from(b).to_string(),
            })
            .collect(),
        // A type iPXE does not know makes the whole name invalid, hence empty.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<(When, String)> {
        let join = |words: Vec<Vec<u8>>| String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        commands(line.as_bytes()).into_iter().map(|(when, words)| (when, join(words))).collect()
    }

    #[test]
    fn operators_are_whole_words() {
        assert_eq!(split("a&&b x||y c;d e#f"), [(When::Always, "a&&b x||y c;d e#f".into())]);
        assert_eq!(
            split("a  b || c && d ; e #f || g"),
            [
                (When::Always, "a b".into()),
                (When::AfterFailure, "c".into()),
                (When::AfterSuccess, "d".into()),
                (When::Always, "e".into())
            ]
        );
        assert_eq!(split("a ||").len(), 2);
        assert_eq!(split("# a"), [(When::Always, String::new())]);
    }

    #[test]
    fn expansion_repeats_innermost_first() {
        let settings: BTreeMap<String, String> =
            [("a", "1"), ("b", "${a}${a}"), ("n1", "x y"), ("mac", "52:54:00:12:34:56"), ("s", "A&")]
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .into();
        let get = |t: &str| expand(t.as_bytes(), &settings).unwrap();
        assert_eq!(get("${b}"), "11");
        assert_eq!(get("${n${a}}"), "x y");
        assert_eq!(get("$${a}"), "$1");
        assert_eq!(get("${nothing}-${a:what}."), "-.");
        assert_eq!(get("${a"), "${a");
        assert_eq!(get("}{${a}}"), "}{1}");
        assert_eq!(
            get("${mac:hexhyp} ${mac:hexraw} ${s:hexraw} ${s:uristring}"),
            "52-54-00-12-34-56 525400123456 4126 A%26"
        );
        let endless = [("x".to_string(), "${x}".to_string())].into();
        assert_eq!(expand(b"${x}", &endless), None);
    }
}
