//! Links to the next page
//! ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288), which replaced RFC 5988).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a query value as it is; `+` may not, because form decoders read a blank there.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/');

/// The value of a `Link` header that leads to `path` with the query `parameters` as the next page.
pub fn next(path: &str, parameters: &[(&str, &str)]) -> String {
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE)))
        .collect();
    format!("<{path}?{}>; rel=\"next\"", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        let link = next("/v2/a/tags/list", &[("n", "2"), ("last", "1.1.0+oci&x")]);
        assert_eq!(
            link,
            "</v2/a/tags/list?n=2&last=1.1.0%2Boci%26x>; rel=\"next\""
        );
    }
}
