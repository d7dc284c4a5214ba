//! Range requests ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

use std::ops::Range;

/// A request with more ranges than this gets the whole: joining them would cost more than it saves.
const MAX_RANGES: usize = 1024;

/// What a `Range` header asks for, of a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: the header is absent, of another unit, or not understood.
    Whole,
    /// These parts, in the order asked for; overlapping and adjacent ones are joined. Never empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// One range as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `first-last`, or `first-`.
    From { first: u64, last: u64 },
    /// `-length`
    Suffix { length: u64 },
    /// Its last byte comes before its first.
    Reversed,
}

/// What the value of a `Range` header selects of `length` bytes.
///
/// A set that cannot be parsed is ignored, as the RFC allows; one with a reversed range is
/// well-formed but invalid and is refused.
pub fn select(value: &str, length: u64) -> Selection {
    let Some(specs) = parse(value) else {
        return Selection::Whole;
    };
    if specs.contains(&Spec::Reversed) {
        return Selection::Unsatisfiable;
    }
    let parts: Vec<Range<u64>> = specs
        .iter()
        .filter_map(|spec| spec.within(length))
        .collect();
    if parts.is_empty() {
        Selection::Unsatisfiable
    } else {
        Selection::Parts(join(&parts))
    }
}

fn parse(value: &str) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // The grammar of lists allows empty elements, but not only those.
    let specs = || {
        set.split(',')
            .map(|spec| spec.trim_matches([' ', '\t']))
            .filter(|spec| !spec.is_empty())
    };
    let count = specs().count();
    if count == 0 || count > MAX_RANGES {
        return None;
    }
    specs().map(Spec::parse).collect()
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first, last) {
            ("", length) => Some(Self::Suffix {
                length: number(length)?,
            }),
            (first, "") => Some(Self::From {
                first: number(first)?,
                last: u64::MAX,
            }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                Some(if last < first {
                    Self::Reversed
                } else {
                    Self::From { first, last }
                })
            }
        }
    }

    /// The bytes that this selects of `length`, if there are any.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => first..last.saturating_add(1).min(length),
            Self::Suffix { length: suffix } => length.saturating_sub(suffix)..length,
            Self::Reversed => return None,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Digits only; a number too large to hold is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Joins ranges that touch, each at the place of the first of them, so that no byte is sent twice.
fn join(parts: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|number| parts[*number].start);
    // Each with the earliest place in the request that it came from.
    let mut joined: Vec<(usize, Range<u64>)> = Vec::new();
    for number in order {
        let part = &parts[number];
        match joined.last_mut() {
            Some((place, last)) if part.start <= last.end => {
                last.end = last.end.max(part.end);
                *place = (*place).min(number);
            }
            _ => joined.push((number, part.clone())),
        }
    }
    joined.sort_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_as_the_rfc_says() {
        let parts =
            |parts: &[(u64, u64)]| Selection::Parts(parts.iter().map(|(a, b)| *a..*b).collect());
        let check =
            |value: &str, length, expected| assert_eq!(select(value, length), expected, "{value}");
        check("bytes=500-1499", 2048, parts(&[(500, 1500)]));
        check("bytes=500-", 2048, parts(&[(500, 2048)]));
        check("bytes=-500", 2048, parts(&[(1548, 2048)]));
        check("bytes=-5000", 2048, parts(&[(0, 2048)]));
        check("bytes=2000-5000", 2048, parts(&[(2000, 2048)]));
        check("bytes=0-0", 2048, parts(&[(0, 1)]));
        check("Bytes = 0-0", 2048, parts(&[(0, 1)]));
        check("bytes=0-18446744073709551615", 2048, parts(&[(0, 2048)]));
        check("bytes=0-99999999999999999999999", 2048, parts(&[(0, 2048)]));
        check("bytes=2048-", 2048, Selection::Unsatisfiable);
        check("bytes=5000-10000", 2048, Selection::Unsatisfiable);
        check("bytes=500-0", 2048, Selection::Unsatisfiable);
        check("bytes=0-1,500-0", 2048, Selection::Unsatisfiable);
        check("bytes=-0", 2048, Selection::Unsatisfiable);
        check("bytes=0-", 0, Selection::Unsatisfiable);
        check("bytes=-1", 0, Selection::Unsatisfiable);
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=1",
            "bytes=-",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "lines=0-1",
            "bytes=0-1,x",
        ] {
            check(ignored, 2048, Selection::Whole);
        }
    }

    #[test]
    fn joins_what_touches() {
        let check = |value: &str, expected: &[(u64, u64)]| {
            let expected = expected.iter().map(|(a, b)| *a..*b).collect();
            assert_eq!(select(value, 100), Selection::Parts(expected), "{value}");
        };
        check("bytes=0-1,4-5", &[(0, 2), (4, 6)]);
        check("bytes=4-5,0-1", &[(4, 6), (0, 2)]);
        check("bytes=0-1,2-3", &[(0, 4)]);
        check("bytes=0-50,10-20,,-60", &[(0, 100)]);
        check("bytes=50-60,0-10,55-70,5-6,200-", &[(50, 71), (0, 11)]);
        check("bytes=0-9,20-29,5-25", &[(0, 30)]);
    }

    #[test]
    fn a_thousand_ranges_are_taken_and_many_more_ignored() {
        let ranges = |count: u64| {
            let specs: Vec<String> = (0..count)
                .map(|number| format!("{0}-{0}", number * 2))
                .collect();
            select(&format!("bytes={}", specs.join(",")), u64::MAX)
        };
        assert!(matches!(ranges(1000), Selection::Parts(parts) if parts.len() == 1000));
        assert_eq!(ranges(2000), Selection::Whole);
    }

    proptest::proptest! {
        #[test]
        fn parts_lie_within_and_apart(value in "bytes=[0-9,-]{0,24}", length in 0_u64..200) {
            if let Selection::Parts(parts) = select(&value, length) {
                proptest::prop_assert!(!parts.is_empty());
                proptest::prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                let mut sorted = parts.clone();
                sorted.sort_by_key(|part| part.start);
                proptest::prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }

        #[test]
        fn any_value_is_taken(value: String, length: u64) {
            select(&value, length);
        }
    }
}
