//! Pages of a sorted list ([listing tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// At most so many entries; all without it.
    pub(super) count: Option<usize>,
    /// Only what comes after this entry, which need not be in the list.
    pub(super) last: Option<String>,
}

impl Page {
    /// This page of `entries`, which are sorted by their bytes, and whether a next one follows.
    ///
    /// A page of no entries has no next one, as the specification says of `n=0`.
    pub(super) fn of<'e, T: AsRef<str>>(&self, entries: &'e [T]) -> (&'e [T], bool) {
        let start = match &self.last {
            Some(last) => entries.partition_point(|entry| entry.as_ref() <= last.as_str()),
            None => 0,
        };
        let rest = &entries[start..];
        let count = self.count.unwrap_or(usize::MAX).min(rest.len());
        (&rest[..count], count > 0 && count < rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let check = |count, last: Option<&str>, expected: &[&str], more| {
            let page = Page {
                count,
                last: last.map(str::to_owned),
            };
            assert_eq!(page.of(&["a", "b", "c", "d"]), (expected, more), "{page:?}");
        };
        check(None, None, &["a", "b", "c", "d"], false);
        check(Some(2), None, &["a", "b"], true);
        check(Some(2), Some("b"), &["c", "d"], false);
        check(Some(4), None, &["a", "b", "c", "d"], false);
        check(Some(0), None, &[], false);
        check(Some(9), Some("bb"), &["c", "d"], false);
        check(None, Some("z"), &[], false);
        check(Some(1), Some("A"), &["a"], true);
    }

    proptest::proptest! {
        #[test]
        fn pages_joined_are_the_list(mut list: Vec<String>, count in 1_usize..5) {
            list.sort();
            list.dedup();
            let (mut joined, mut last) = (Vec::new(), None);
            loop {
                let page = Page { count: Some(count), last };
                let (entries, more) = page.of(&list);
                joined.extend_from_slice(entries);
                last = joined.last().cloned();
                if !more {
                    break;
                }
            }
            // An empty text cannot be told from a missing one, and is no tag.
            proptest::prop_assert_eq!(joined, list);
        }
    }
}
