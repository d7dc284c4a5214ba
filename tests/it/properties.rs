//! Same files, same answers: whatever a folder went through, what is served depends only on what lies in it now.
//!
//! A catalog that has seen every change is compared with one that has seen only the outcome, by all that can be asked.

mod pool;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use packageorigin::catalog::{Catalog, Options, Snapshot, View};
use packageorigin::content::{Content, Part, Root};
use packageorigin::digest::Digest;
use packageorigin::oci::Host;
use proptest::prelude::*;
use proptest::sample::Index as Any;
use proptest::test_runner::TestCaseResult;

use crate::listing::Listing;
use pool::{HOSTS, NAMES, POOL, Shelf};

const OPTIONS: Options = Options {
    auto_latest: true,
    strict_tags: false,
    strict: false,
};

fn catalog(shelf: &Shelf, options: Options) -> Catalog {
    let roots = shelf.roots().into_iter().map(Root::new).collect();
    let catalog = Catalog::new(roots, options, Box::new(|_| ()));
    refresh(&catalog);
    catalog
}

/// Looks twice, so long apart that whatever changed before has come to rest, and hashes what has to be hashed.
fn refresh(catalog: &Catalog) {
    // Of all tests together: it only has to grow.
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    for _ in 0..2 {
        let seconds = CLOCK.fetch_add(10, Ordering::Relaxed);
        catalog.refresh(Instant::now() + Duration::from_secs(seconds));
    }
    catalog.learn();
}

/// All that can be asked of what is served; the folder's path is left out.
fn served(catalog: &Catalog, shelf: &Shelf) -> String {
    let snapshot = catalog.snapshot().expect("a snapshot");
    let mut text = String::new();
    for view in snapshot.repositories() {
        describe(&mut text, view, &snapshot);
    }
    for host in [None].into_iter().chain(HOSTS.map(Some)) {
        let ns: Option<Host> = host.map(|host| host.parse().expect("a host"));
        writeln!(text, "{host:?}: {:?}", snapshot.names(ns.as_ref())).expect("a text");
        for name in NAMES {
            let view = snapshot.repository(&name.parse().expect("a name"), ns.as_ref());
            let key = view.map(|view| format!("{:?} {:?}", view.repository().key, view.tags()));
            writeln!(text, "{host:?} {name}: {key:?}").expect("a text");
        }
    }
    for archive in snapshot.archives() {
        let found = &archive.found;
        let (path, images) = (archive.path(), found.images.len());
        writeln!(
            text,
            "{} {:?} {:?} {images}",
            path.display(),
            found.format,
            found.writer
        )
        .expect("a text");
    }
    for problem in snapshot.problems() {
        writeln!(text, "{problem:?}").expect("a text");
    }
    text.replace(shelf.path().to_str().expect("an ASCII path"), "$P")
}

/// A repository: its names, its tags, and whatever it has under each digest that there is.
fn describe(text: &mut String, view: View<'_>, snapshot: &Snapshot) {
    let key = &view.repository().key;
    writeln!(
        text,
        "{key:?} shown {:?} latest {:?}",
        view.shown(),
        view.automatic()
    )
    .expect("a text");
    for tag in view.tags() {
        let (image, archives) = (view.tagged(&tag).expect("an image"), view.archives_of(&tag));
        let archives: Vec<_> = archives.iter().map(|archive| archive.path()).collect();
        writeln!(text, "  :{tag} {image:?} of {archives:?}").expect("a text");
    }
    for (archive, image) in view.images() {
        writeln!(text, "  {image:?} of {}", archive.path().display()).expect("a text");
    }
    let tagged = view
        .tags()
        .into_iter()
        .filter_map(|tag| view.resolve(&tag).cloned());
    let digests: BTreeSet<Digest> = digests(snapshot).into_iter().chain(tagged).collect();
    for digest in &digests {
        let media_type = view.media_type(digest);
        let manifest = view
            .manifest(digest)
            .map(|manifest| format!("{} {}", manifest.media_type, hash(&manifest.content)));
        let blob = view.blob(digest).map(|content| hash(&content));
        let referrers: Vec<Digest> = view.referrers(digest).map(|about| about.digest).collect();
        if manifest.is_some() || blob.is_some() || media_type.is_some() || !referrers.is_empty() {
            writeln!(
                text,
                "  {digest}: {media_type:?} {manifest:?} {blob:?} {referrers:?}"
            )
            .expect("a text");
        }
    }
}

/// Every digest that an archive holds or refers to.
fn digests(snapshot: &Snapshot) -> BTreeSet<Digest> {
    let archives = snapshot.archives().iter();
    let positions = archives.flat_map(|archive| {
        let found = &archive.found;
        let count = u32::try_from(found.positions()).expect("a small archive");
        (0..count).map(|position| found.digest(position))
    });
    positions.collect()
}

/// The length and the digest of what is sent, or why nothing is.
fn hash(content: &Content) -> String {
    let opened = match content.open() {
        Ok(opened) => opened,
        Err(error) => return error.to_string(),
    };
    let mut all = Vec::new();
    for part in opened.parts {
        match part {
            Part::Memory(bytes) => all.extend(bytes),
            Part::Extent(mut extent) => {
                let (start, rest) = (all.len(), extent.remaining());
                all.resize(start + usize::try_from(rest).expect("a small blob"), 0);
                extent.read(&mut all[start..]).expect("its bytes");
            }
        }
    }
    format!("{} {}", all.len(), Digest::sha256(&all))
}

/// What happens to a folder.
#[derive(Clone, Debug)]
enum Step {
    /// The archive comes, or is replaced by another version of itself.
    Put(Any, bool),
    /// It goes, if it is there.
    Remove(Any),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (any::<Any>(), any::<bool>()).prop_map(|(which, version)| Step::Put(which, version));
    let step = prop_oneof![3 => put, 1 => any::<Any>().prop_map(Step::Remove)];
    prop::collection::vec(step, 1..12)
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(auto_latest, strict_tags, strict)| {
        Options {
            auto_latest,
            strict_tags,
            strict,
        }
    })
}

fn check_same(seen: &Catalog, shelf: &Shelf, options: Options) -> TestCaseResult {
    let fresh = catalog(shelf, options);
    prop_assert_eq!(served(seen, shelf), served(&fresh, shelf));
    Ok(())
}

/// Failures are told with all that is needed to have them again; nothing is written into the repository.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn what_was_there_before_leaves_no_trace(steps in steps(), options in options()) {
        let shelf = Shelf::new();
        let catalog = catalog(&shelf, options);
        for step in steps {
            match step {
                Step::Put(which, version) => shelf.put(which.index(POOL), version),
                Step::Remove(which) => shelf.remove(which.index(POOL)),
            }
            refresh(&catalog);
            check_same(&catalog, &shelf, options)?;
        }
    }

    #[test]
    fn the_order_in_which_archives_come_does_not_matter(
        order in Just((0..POOL).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (one_by_one, at_once) = (Shelf::new(), Shelf::new());
        let seen = catalog(&one_by_one, OPTIONS);
        for which in &order {
            one_by_one.put(*which, false);
            refresh(&seen);
        }
        for which in 0..POOL {
            at_once.put(which, false);
        }
        let unseen = catalog(&at_once, OPTIONS);
        prop_assert_eq!(served(&seen, &one_by_one), served(&unseen, &at_once));
    }
}

#[test]
fn what_goes_and_comes_back_changes_nothing() {
    let shelf = Shelf::new();
    for which in 0..POOL {
        shelf.put(which, false);
    }
    let seen = catalog(&shelf, OPTIONS);
    let first = served(&seen, &shelf);
    for which in 0..POOL {
        shelf.remove(which);
        refresh(&seen);
        let fresh = catalog(&shelf, OPTIONS);
        assert_eq!(served(&seen, &shelf), served(&fresh, &shelf), "{which}");
        shelf.put(which, false);
        refresh(&seen);
        assert_eq!(served(&seen, &shelf), first, "{which}");
    }
}

/// The same for what programs read: files made in another order, at other times.
#[test]
fn a_list_tells_nothing_of_how_the_files_came_there() {
    let listed = |order: &mut dyn Iterator<Item = usize>| {
        let shelf = Shelf::new();
        order.for_each(|which| shelf.put(which, false));
        let listing = Listing::of(shelf.path()).0.to_string();
        listing.replace(shelf.path().to_str().expect("an ASCII path"), "$P")
    };
    let first = listed(&mut (0..POOL));
    assert_eq!(listed(&mut (0..POOL).rev()), first);
    let odd_first = (0..POOL).filter(|which| which % 2 == 1);
    let even_then = (0..POOL).filter(|which| which % 2 == 0);
    assert_eq!(listed(&mut odd_first.chain(even_then)), first);
}
