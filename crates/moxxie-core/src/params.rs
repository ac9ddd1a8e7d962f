//! Parameters: the values that templates see.

/// A JSON object of values, by name.
pub type Params = serde_json::Map<String, serde_json::Value>;
