//! Secrets: how they are kept out of logs and answers.
//!
//! Masking goes by names and by shapes. It rather hides too much than too little, but what an
//! operator needs to read in `explain` (disks, names, versions, addresses, images) stays.

mod name;
mod shape;
mod text;

pub use name::is_secret_name;
pub use text::mask_text;

use crate::params::{Params, child};
use serde_json::Value;
use std::fmt;

/// What stands where a secret was. In an update it means "unchanged".
pub const MASK: &str = "********";

/// A value that does not print itself and cannot be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value. Every use is a place to look at in a review.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, unwrapped.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A copy without secrets. A value is masked as a whole: by its name, or because it looks like a
/// secret. Booleans, null and empty values stay.
pub fn mask_params(params: &Params) -> Params {
    params.iter().map(|(key, value)| (key.clone(), mask_member(key, value))).collect()
}

fn mask_member(key: &str, value: &Value) -> Value {
    if is_secret_name(key) && hides(value) { Value::from(MASK) } else { mask_value(value) }
}

/// Whether there is anything to hide below a secret name.
fn hides(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => true,
        Value::String(text) => !name::is_harmless(text),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn mask_value(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(mask_params(map)),
        Value::Array(list) => Value::Array(list.iter().map(mask_value).collect()),
        Value::String(text) if text != MASK && mask_text(text) != *text => Value::from(MASK),
        other => other.clone(),
    }
}

/// Puts back what was masked: every [`MASK`] in `new` is replaced by what `old` has in its place.
/// Fails with a JSON pointer where `old` has nothing there, or where an array changed so that its
/// elements cannot be told apart.
pub fn unmask(new: &Params, old: &Params) -> Result<Params, String> {
    unmask_object(new, Some(old), "")
}

fn unmask_object(new: &Params, old: Option<&Params>, pointer: &str) -> Result<Params, String> {
    new.iter()
        .map(|(key, value)| {
            let below = old.and_then(|old| old.get(key));
            Ok((key.clone(), unmask_value(value, below, &child(pointer, key))?))
        })
        .collect()
}

fn unmask_value(new: &Value, old: Option<&Value>, pointer: &str) -> Result<Value, String> {
    match new {
        Value::String(text) if text == MASK => match old {
            Some(Value::String(old)) if old == MASK => Err(pointer.to_owned()),
            Some(old) => Ok(old.clone()),
            None => Err(pointer.to_owned()),
        },
        Value::Object(map) => unmask_object(map, old.and_then(Value::as_object), pointer).map(Value::Object),
        Value::Array(list) => unmask_list(list, old.and_then(Value::as_array), pointer),
        other => Ok(other.clone()),
    }
}

/// Elements have no names, so one is only put back where it is beyond doubt which it was: at its
/// own place in an array of the same masked form there, or at the one place that had this form.
fn unmask_list(new: &[Value], old: Option<&Vec<Value>>, pointer: &str) -> Result<Value, String> {
    let none = Vec::new();
    let old = old.unwrap_or(&none);
    let masked: Vec<Value> = old.iter().map(mask_value).collect();
    let same = new.len() == old.len();
    let restored = new.iter().enumerate().map(|(index, value)| {
        if !has_mask(value) {
            return Ok(value.clone());
        }
        if same && masked.get(index) == Some(value) {
            return Ok(old[index].clone());
        }
        let mut alike = masked.iter().enumerate().filter(|(_, form)| *form == value);
        match (alike.next(), alike.next()) {
            (Some((at, _)), None) => Ok(old[at].clone()),
            _ => Err(child(pointer, &index.to_string())),
        }
    });
    restored.collect::<Result<_, _>>().map(Value::Array)
}

fn has_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Array(list) => list.iter().any(has_mask),
        Value::Object(map) => map.values().any(has_mask),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
