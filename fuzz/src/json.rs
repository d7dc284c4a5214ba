//! Documents as a reader sees them that knows no schema: what the product read must be in them.

use serde_json::Value;

/// The document, unless it has one of the keys that `serde_json` keeps for itself.
pub fn value(bytes: &[u8]) -> Option<Value> {
    const RESERVED: &str = "$serde_json::private::";
    // As the product does: what is no UTF-8 is replaced.
    let text = String::from_utf8_lossy(bytes);
    (!text.contains(RESERVED))
        .then(|| serde_json::from_str(&text).ok())
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
