//! Tags read as versions: how people sort them, and what `latest` means.

use std::cmp::Ordering;

/// A version: an optional `v`, one to three numbers, optional `-pre` and `+build`.
///
/// Ordered as [semantic versions](https://semver.org/#spec-item-11): a pre-release is
/// older than its release. The build part does not count, so versions that differ
/// only there are equal.
#[derive(Clone, Debug)]
pub struct Version<'t> {
    /// Major, minor, patch; a missing one counts as zero. Decimal text of any length, without leading zeros.
    numbers: [&'t str; 3],
    pre_release: Option<&'t str>,
}

impl<'t> Version<'t> {
    /// Reads a tag; `None` for a tag that is no version, such as `latest`.
    pub fn parse(tag: &'t str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let (text, build) = split_suffix(text, '+');
        let (text, pre_release) = split_suffix(text, '-');
        let mut numbers = ["0"; 3];
        let mut parts = text.split('.');
        for (slot, part) in numbers.iter_mut().zip(&mut parts) {
            *slot = number(part)?;
        }
        let complete = parts.next().is_none()
            && [build, pre_release]
                .iter()
                .flatten()
                .all(|suffix| is_dotted(suffix));
        complete.then_some(Self {
            numbers,
            pre_release,
        })
    }

    /// Whether this is a release, not a pre-release.
    pub fn is_stable(&self) -> bool {
        self.pre_release.is_none()
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = || {
            let pairs = self.numbers.iter().zip(other.numbers);
            pairs
                .map(|(a, b)| compare_numbers(a, b))
                .find(|o| o.is_ne())
        };
        numbers().unwrap_or_else(|| match (self.pre_release, other.pre_release) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_pre_releases(a, b),
        })
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}

/// The order in which people see tags: versions first, the newest on top, then the rest by bytes.
pub fn newest_first(a: &str, b: &str) -> Ordering {
    match (Version::parse(a), Version::parse(b)) {
        (Some(left), Some(right)) => right.cmp(&left).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The order of file names in which `app-1.10.tar` comes after `app-1.9.tar`.
///
/// Runs of digits compare as numbers, everything else by bytes; names that differ
/// only in leading zeros are told apart by their bytes.
pub fn compare_file_names(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (a_run, a_rest) = split_run(left);
        let (b_run, b_rest) = split_run(right);
        let both_numbers = [a_run, b_run]
            .iter()
            .all(|run| run.as_bytes()[0].is_ascii_digit());
        let order = if both_numbers {
            compare_numbers(a_run.trim_start_matches('0'), b_run.trim_start_matches('0'))
        } else {
            a_run.cmp(b_run)
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (a_rest, b_rest);
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Splits a leading run of digits, or of anything but digits, from the rest.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.as_bytes()[0].is_ascii_digit();
    let end = text.bytes().position(|b| b.is_ascii_digit() != digits);
    text.split_at(end.unwrap_or(text.len()))
}

fn split_suffix(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((text, suffix)) => (text, Some(suffix)),
        None => (text, None),
    }
}

fn number(part: &str) -> Option<&str> {
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = part.trim_start_matches('0');
    Some(if significant.is_empty() {
        "0"
    } else {
        significant
    })
}

fn is_dotted(suffix: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    suffix.split('.').all(identifier)
}

/// Compares decimal texts without leading zeros: no number is too long for this.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn compare_pre_releases(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => compare_numbers(a, b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_only() {
        for good in [
            "1",
            "v1",
            "1.2",
            "1.2.3",
            "1.2.3-rc.1",
            "1.1.0+oci",
            "v2-beta+x.y",
            "01.2",
        ] {
            assert!(Version::parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "v", "latest", "1.2.3.4", "1.", ".1", "1.x", "1-", "1+", "1-a..b", "vv1", "1_2",
        ] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn orders_as_semantic_versions() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
            "99999999999999999999999",
        ];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                assert!(Version::parse(low) < Version::parse(high), "{low} {high}");
            }
        }
        assert_eq!(Version::parse("1.0+a"), Version::parse("v1.0.0+b"));
    }

    #[test]
    fn people_see_the_newest_first() {
        let mut tags = ["latest", "1.9", "edge", "2.0-rc.1", "1.10"];
        tags.sort_by(|a, b| newest_first(a, b));
        assert_eq!(tags, ["2.0-rc.1", "1.10", "1.9", "edge", "latest"]);
    }

    #[test]
    fn file_names_compare_by_number() {
        let mut names = [
            "app-1.10.tar",
            "app-1.9.tar",
            "app.tar",
            "app-1.9.tar.old",
            "app-01.9.tar",
        ];
        names.sort_by(|a, b| compare_file_names(a, b));
        assert_eq!(
            names,
            [
                "app-01.9.tar",
                "app-1.9.tar",
                "app-1.9.tar.old",
                "app-1.10.tar",
                "app.tar"
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn file_name_order_is_total(a in "[a-b0-2.]{0,6}", b in "[a-b0-2.]{0,6}", c in "[a-b0-2.]{0,6}") {
            let order = compare_file_names;
            proptest::prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            proptest::prop_assert_eq!(order(&a, &b).is_eq(), a == b);
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                proptest::prop_assert!(order(&a, &c).is_le());
            }
        }
    }
}
