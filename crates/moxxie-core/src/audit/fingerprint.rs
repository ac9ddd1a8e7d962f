//! What stands in the log where a secret was: enough to see that it changed, and nothing else.

use crate::keyed::{self, Mac};
use crate::params::{Params, child};
use crate::secret::{MASK, mask_params, mask_text};
use serde_json::Value;

/// Makes `hmac:XXXXXXXX`, a part of an HMAC-SHA-256 under a key of the site, of an object's id, the
/// field's path in it and the value. Without the key no guess at a value can be confirmed, and two
/// objects, or fields, with the same value do not look alike. After a rotation of the site's key
/// the same value has another one: only `before` and `after` of one record are to be compared.
#[derive(Clone)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// With this key, which is for this use only.
    pub fn new(key: [u8; 32]) -> Fingerprint {
        Fingerprint(key)
    }

    /// Of a value.
    pub fn of(&self, owner: &str, path: &str, value: &str) -> String {
        let mut mac = keyed::hmac(&self.0);
        for part in [owner, path, value] {
            keyed::text(&mut mac, part);
        }
        let [a, b, c, d, ..]: [u8; 32] = mac.finalize().into_bytes().into();
        format!("hmac:{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    /// Params, with the values that `mask_params` would mask replaced.
    pub fn params(&self, owner: &str, path: &str, params: &Params) -> Value {
        self.value(owner, path, Value::Object(mask_params(params)), &Value::Object(params.clone()))
    }

    fn value(&self, owner: &str, path: &str, masked: Value, raw: &Value) -> Value {
        match (masked, raw) {
            (masked, raw) if masked == *raw => masked,
            (Value::Object(map), Value::Object(raw)) => {
                let below = |(key, value): (String, Value)| {
                    let raw = raw.get(&key).unwrap_or(&Value::Null);
                    let shown = self.value(owner, &child(path, &key), value, raw);
                    (key, shown)
                };
                Value::Object(map.into_iter().map(below).collect())
            }
            (Value::Array(list), Value::Array(raw)) => {
                let below = |(index, value): (usize, Value)| {
                    let raw = raw.get(index).unwrap_or(&Value::Null);
                    self.value(owner, &child(path, &index.to_string()), value, raw)
                };
                Value::Array(list.into_iter().enumerate().map(below).collect())
            }
            (_, raw) => Value::String(self.of(owner, path, &raw.to_string())),
        }
    }

    /// A text, with what `mask_text` would mask replaced.
    pub fn text(&self, owner: &str, path: &str, raw: &str) -> String {
        let masked = mask_text(raw);
        if masked == raw {
            return masked;
        }
        let Some(hidden) = hidden(raw, &masked) else { return self.of(owner, path, raw) };
        let mut shown = String::new();
        for (index, piece) in masked.split(MASK).enumerate() {
            if let Some(secret) = index.checked_sub(1).and_then(|index| hidden.get(index)) {
                shown += &self.of(owner, &child(path, &(index - 1).to_string()), secret);
            }
            shown += piece;
        }
        shown
    }
}

/// What stands in the raw text where the masked one has its masks; `None` when they cannot be laid
/// side by side.
fn hidden<'a>(raw: &'a str, masked: &str) -> Option<Vec<&'a str>> {
    let mut pieces = masked.split(MASK);
    let mut rest = raw.strip_prefix(pieces.next()?)?;
    let mut pieces: Vec<&str> = pieces.collect();
    let last = pieces.pop()?;
    let mut hidden = Vec::new();
    for piece in pieces {
        // Two masks side by side: nobody knows where one ends.
        let end = rest.find(piece).filter(|_| !piece.is_empty())?;
        hidden.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    hidden.push(rest.strip_suffix(last)?);
    Some(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prints() -> Fingerprint {
        Fingerprint::new([7; 32])
    }

    #[test]
    fn a_change_of_a_secret_shows_and_the_secret_does_not() {
        let show = |owner: &str, params: Value| {
            prints().params(owner, "/params", params.as_object().unwrap()).to_string()
        };
        let params = json!({"password": "hunter2", "disk": "/dev/sda", "list": [{"token": "hunter2"}, 1]});
        let shown = show("a", params.clone());
        assert!(!shown.contains("hunter2") && shown.contains("/dev/sda"), "{shown}");
        assert_eq!(shown.matches("hmac:").count(), 2);
        assert_eq!(show("a", params.clone()), shown, "the same value looks the same");
        let marks: Vec<&str> = shown.split("hmac:").skip(1).map(|rest| &rest[..8]).collect();
        assert_ne!(marks[0], marks[1], "one value in two fields does not look alike");
        let mut other = params.clone();
        other["password"] = "hunter3".into();
        assert_ne!(show("a", other), shown);
        assert_ne!(show("b", params.clone()), shown, "nor in two objects");
        let foreign = Fingerprint::new([8; 32]).params("a", "/params", params.as_object().unwrap());
        assert_ne!(foreign.to_string(), shown, "nor at two sites");
    }

    #[test]
    fn texts_keep_what_is_no_secret() {
        let show = |text: &str| prints().text("a", "/boot_params", text);
        assert_eq!(show("console=ttyS0 quiet"), "console=ttyS0 quiet");
        let one = show("console=ttyS0 root_password=hunter2 quiet");
        assert!(one.starts_with("console=ttyS0 root_password=hmac:") && one.ends_with(" quiet"), "{one}");
        let moved = show("console=ttyS1 root_password=hunter2 loud");
        assert_eq!(moved.split("hmac:").nth(1).map(|r| &r[..8]), one.split("hmac:").nth(1).map(|r| &r[..8]));
        assert_ne!(show("console=ttyS0 root_password=hunter3 quiet"), one);
        assert!(!show("http://u:hunter2@h/x").contains("hunter2"));
    }

    #[test]
    fn texts_that_cannot_be_laid_side_by_side_are_one_fingerprint() {
        assert_eq!(hidden("a=x b=y", "a=******** b=********"), Some(vec!["x", "y"]));
        assert_eq!(hidden("a=xy", "a=****************"), None);
        assert_eq!(hidden("zzz", "a=********"), None);
    }
}
