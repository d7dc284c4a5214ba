//! Entity tags and conditions on them
//! ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)).

/// Whether one of the tags in `list`, or `*`, is the strong `tag`, given without its quotes.
///
/// `allow_weak` compares weakly, as `If-None-Match` does; `If-Match` compares strongly.
pub fn any_matches(list: &str, tag: &str, allow_weak: bool) -> bool {
    let matches = |entry: &str| {
        let (entry, is_weak) = match entry.strip_prefix("W/") {
            Some(entry) => (entry, true),
            None => (entry, false),
        };
        (allow_weak || !is_weak) && unquote(entry) == Some(tag)
    };
    // A digest, which our tags are, holds no comma, so splitting inside a foreign tag does no harm.
    list.split(',')
        .map(|entry| entry.trim_matches([' ', '\t']))
        .any(|entry| entry == "*" || matches(entry))
}

/// Whether an `If-Range` with this value lets the range stand: only the same strong tag does, and no date.
pub fn range_stands(if_range: &str, tag: &str) -> bool {
    unquote(if_range.trim_matches([' ', '\t'])) == Some(tag)
}

fn unquote(entry: &str) -> Option<&str> {
    entry.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags() {
        let check = |list: &str, weak: bool, strong: bool| {
            assert_eq!(any_matches(list, "a", true), weak, "{list}");
            assert_eq!(any_matches(list, "a", false), strong, "{list}");
        };
        check("\"a\"", true, true);
        check("*", true, true);
        check("\"b\", \"a\"", true, true);
        check("W/\"a\"", true, false);
        check("\"b\"", false, false);
        check("a", false, false);
        check("", false, false);
        check("\"", false, false);
    }

    #[test]
    fn if_range_takes_strong_tags_only() {
        assert!(range_stands("\"a\"", "a"));
        for other in ["W/\"a\"", "\"b\"", "Tue, 15 Nov 1994 12:45:26 GMT", "", "*"] {
            assert!(!range_stands(other, "a"), "{other}");
        }
    }
}
