//! Documents as a reader sees them that knows no schema: what the product read must be in them.

use serde_json::Value;

/// The document, unless it has one of the keys that `serde_json` keeps for itself.
pub fn value(bytes: &[u8]) -> Option<Value> {
    const RESERVED: &[u8] = b"$serde_json::private::";
    let is_reserved = bytes.windows(RESERVED.len()).any(|part| part == RESERVED);
    (!is_reserved)
        .then(|| serde_json::from_slice(bytes).ok())
        .flatten()
}

/// The elements of a document that is an array.
pub fn elements(bytes: &[u8]) -> Option<Vec<Value>> {
    match value(bytes)? {
        Value::Array(elements) => Some(elements),
        _ => None,
    }
}

/// Whether the object `document` has `key`, and not as `null`.
pub fn has(document: &Value, key: &str) -> bool {
    document.get(key).is_some_and(|value| !value.is_null())
}

/// Known: a list of its fields in their order is taken as an object, where only objects should be.
pub fn is_list_of_fields(value: &Value) -> bool {
    value.is_array()
}
