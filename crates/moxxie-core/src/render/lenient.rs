//! Parameters of machines that do not exist yet.
//!
//! When a profile is saved, its values may still be to come with the assignments. A missing one
//! then gives a placeholder instead of an error, so that everything else in the template can be
//! checked all the same.

use crate::params::Params;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value, ValueKind};
use std::fmt;
use std::sync::Arc;

/// How deep placeholders inside placeholders still have an element to iterate over: a template
/// that recurses over its parameters must come to an end.
const DEPTH: u8 = 4;

/// `params`, where a missing name gives a placeholder.
#[derive(Debug)]
pub(super) struct LenientParams {
    values: Params,
    truthy: bool,
}

impl LenientParams {
    pub(super) fn value(values: &Params, truthy: bool) -> Value {
        Value::from_object(LenientParams { values: values.clone(), truthy })
    }
}

impl Object for LenientParams {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let Some(found) = key.as_str().and_then(|key| self.values.get(key)) else {
            return Some(Placeholder::value(self.truthy, DEPTH));
        };
        Some(match found {
            // What an object of the profile lacks, the machine's part of it may still bring.
            serde_json::Value::Object(map) => LenientParams::value(map, self.truthy),
            other => Value::from(Serde(other)),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.values.keys().map(|key| Value::from(key.as_str())).collect())
    }
}

/// Stands for a value that nobody has written yet: prints `sample`, its attributes are
/// placeholders again, and it iterates over one placeholder or over none.
///
/// A template is tried with both kinds, true ones and false ones, so that both sides of its
/// conditions are.
struct Placeholder {
    truthy: bool,
    depth: u8,
}

impl Placeholder {
    fn value(truthy: bool, depth: u8) -> Value {
        Value::from_object(Placeholder { truthy, depth })
    }
}

impl fmt::Debug for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sample")
    }
}

impl Object for Placeholder {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Placeholder::value(self.truthy, self.depth.saturating_sub(1)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.truthy && self.depth > 0 {
            Enumerator::Values(vec![Placeholder::value(true, self.depth - 1)])
        } else {
            Enumerator::Empty
        }
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.truthy
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sample")
    }
}

/// Whether the value is one of ours.
pub(super) fn is_placeholder(value: &Value) -> bool {
    value.kind() == ValueKind::Iterable && value.downcast_object_ref::<Placeholder>().is_some()
}
