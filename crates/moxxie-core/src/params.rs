//! Parameters: the values that templates see, merged from four layers.

use serde_json::Value;

/// A JSON object of values, by name.
pub type Params = serde_json::Map<String, Value>;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 16;

/// How many bytes one layer may have, written as JSON.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why parameters were refused. The pointer is an RFC 6901 JSON pointer into them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A name that a template could not spell as `params.NAME`.
    #[error(
        "the name of a parameter begins with a letter or '_' and has at most 64 letters, digits, '_' and '-'"
    )]
    Name {
        /// Where.
        pointer: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("parameters nest at most {MAX_DEPTH} levels")]
    Depth {
        /// Where the first level too many begins.
        pointer: String,
    },
    /// Larger than [`MAX_BYTES`].
    #[error("parameters have at most {MAX_BYTES} bytes written as JSON; these have {0}")]
    Size(usize),
}

impl ParamsError {
    /// A JSON pointer to the offending value; empty for the whole.
    pub fn pointer(&self) -> &str {
        match self {
            ParamsError::Name { pointer } | ParamsError::Depth { pointer } => pointer,
            ParamsError::Size(_) => "",
        }
    }
}

/// Merges layers, weakest first: site, profile, selector rule, machine.
///
/// Objects merge key by key at every depth. Everything else, arrays and null included, is
/// replaced by the later layer: a list that grew by itself could not be shortened again.
pub fn merge(layers: &[&Params]) -> Params {
    let mut merged = Params::new();
    for layer in layers {
        merge_into(&mut merged, layer);
    }
    merged
}

fn merge_into(below: &mut Params, above: &Params) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_into(old, new),
            _ => {
                below.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Checks one layer as people wrote it.
pub fn check(params: &Params) -> Result<(), ParamsError> {
    // Depth first: only then is it safe to walk and to write them without a thought for the stack.
    for (name, value) in params {
        let pointer = child("", name);
        if !is_name(name) {
            return Err(ParamsError::Name { pointer });
        }
        check_depth(value, 2, &pointer)?;
    }
    let size = serde_json::to_vec(params).map_or(usize::MAX, |json| json.len());
    if size > MAX_BYTES { Err(ParamsError::Size(size)) } else { Ok(()) }
}

fn check_depth(value: &Value, depth: usize, pointer: &str) -> Result<(), ParamsError> {
    let visit = |key: &str, value: &Value| {
        if depth > MAX_DEPTH {
            return Err(ParamsError::Depth { pointer: pointer.to_owned() });
        }
        check_depth(value, depth + 1, &child(pointer, key))
    };
    match value {
        Value::Object(map) => map.iter().try_for_each(|(key, value)| visit(key, value)),
        Value::Array(list) => list.iter().enumerate().try_for_each(|(i, value)| visit(&i.to_string(), value)),
        _ => Ok(()),
    }
}

/// Whether a template can write `params.NAME` (or, with hyphens, `params["NAME"]`).
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The JSON pointer of a member.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_machine_has_the_last_word_at_every_depth() {
        let site = params(json!({"ntp": ["a"], "net": {"dns": "site", "mtu": 1500}, "gone": 1}));
        let profile = params(json!({"net": {"mtu": 9000, "vlan": {"id": 3}}, "x": "profile"}));
        let rule = params(json!({"ntp": ["b", "c"], "x": "rule", "net": {"vlan": {"name": "v"}}}));
        let machine = params(json!({"x": "machine", "gone": null}));
        assert_eq!(
            Value::Object(merge(&[&site, &profile, &rule, &machine])),
            json!({
                "ntp": ["b", "c"],
                "net": {"dns": "site", "mtu": 9000, "vlan": {"id": 3, "name": "v"}},
                "gone": null, "x": "machine",
            })
        );
        let replaced = merge(&[&params(json!({"a": {"b": 1}})), &params(json!({"a": 2}))]);
        assert_eq!(Value::Object(replaced), json!({"a": 2}));
    }

    #[test]
    fn names_depth_and_size_are_bounded() {
        for good in ["a", "_x", "install_disk", "A-b9", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "9a", "-a", "a.b", "a b", "\u{e4}", "a\n", &"x".repeat(65)] {
            let one = params(json!({bad: 1}));
            assert!(matches!(check(&one), Err(ParamsError::Name { .. })), "{bad:?}");
        }
        // Names further down are free: they are often not identifiers (labels, sysctls).
        assert_eq!(check(&params(json!({"labels": {"node.example/x y": ""}}))), Ok(()));

        let nested = |levels: usize| {
            let mut value = json!(1);
            for _ in 1..levels {
                value = json!([value]);
            }
            params(json!({"a": value}))
        };
        assert_eq!(check(&nested(16)), Ok(()));
        let error = check(&nested(17)).unwrap_err();
        assert_eq!(error.pointer(), format!("/a{}", "/0".repeat(15)));

        let big = params(json!({"a": "x".repeat(MAX_BYTES)}));
        assert!(matches!(check(&big), Err(ParamsError::Size(_))));
    }

    proptest! {
        #[test]
        fn merging_is_stable(a in any_params(), b in any_params(), c in any_params()) {
            prop_assert_eq!(merge(&[&a]), a.clone());
            prop_assert_eq!(merge(&[&a, &a]), a.clone());
            prop_assert_eq!(merge(&[&merge(&[&a, &b]), &b]), merge(&[&a, &b]));
            // Every name of the strongest layer is there.
            let all = merge(&[&a, &b, &c]);
            prop_assert!(c.keys().all(|key| all.contains_key(key)));
        }
    }

    fn any_params() -> impl Strategy<Value = Params> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|m| m.into_iter().collect())
    }
}
