//! The cache in folders of its own: lines, the file, and what is remembered of other files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::SystemTime;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::content::{File, Location, Root};

fn verified(number: u128) -> Record {
    Record::Verified(Key(number))
}

fn learned(number: u128) -> Record {
    let digest = Digest::sha256(&number.to_be_bytes());
    Record::Learned(Key(number), digest)
}

/// What is read of these bytes.
fn read_all(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    read(bytes, |record| records.push(record)).unwrap();
    records
}

/// What `store` holds.
fn held(store: &Store) -> Vec<Record> {
    let mut records = Vec::new();
    store.read(|record| records.push(record)).unwrap();
    records
}

/// Whoever changes this has to change the name of the file.
#[test]
fn the_form_is_frozen() {
    let digest = Digest::sha256(b"hello world");
    let records = [verified(0xab), Record::Learned(Key(1 << 127), digest)];
    let text = "
v 000000000000000000000000000000ab b966ee9c
l 80000000000000000000000000000000 sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9 aa38d9a6
";
    assert_eq!(lines(&records), text);
    assert_eq!(read_all(text.as_bytes()), records);
    assert_eq!(
        Store::new("/cache".into()).path(),
        Path::new("/cache/verdicts-v1")
    );
}

#[test]
fn a_write_that_was_torn_costs_what_was_torn() {
    let (first, last) = ([verified(1), learned(2)], [learned(6), verified(7)]);
    let torn = [verified(3), learned(4), verified(5)];
    let whole = lines(&torn);
    let ends: Vec<usize> = whole
        .match_indices('\n')
        .map(|(at, _)| at)
        .skip(1)
        .collect();
    for cut in 0..=whole.len() {
        let text = lines(&first) + &whole[..cut] + &lines(&last);
        let expected = |whole| [&first[..], &torn[..whole], &last].concat();
        let count = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(read_all(text.as_bytes()), expected(count), "{cut}");
        // A disk that lost power may leave zeros instead, also of the end of a line.
        let count = ends.iter().filter(|end| **end < cut).count();
        let zeros = "\0".repeat(whole.len() - cut);
        let text = lines(&first) + &whole[..cut] + &zeros + &lines(&last);
        assert_eq!(read_all(text.as_bytes()), expected(count), "{cut}");
    }
}

#[test]
fn a_flipped_bit_costs_one_line() {
    let records = [verified(1), learned(2), verified(3)];
    let text = lines(&records);
    for place in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[place / 8] ^= 1 << (place % 8);
        let left = read_all(&bytes);
        assert!(left.len() + 2 >= records.len(), "{place}");
        assert!(
            left.iter().all(|record| records.contains(record)),
            "{place}: {left:?}"
        );
    }
}

#[test]
fn what_is_no_record_is_passed_over() {
    let known = lines(&[verified(1)]);
    let sum = |text: &str| {
        format!(
            "{text} {:08x}",
            Digest::sha256(text.as_bytes()).prefix() >> 32
        )
    };
    let key = "0".repeat(32);
    for line in [
        String::new(),
        " ".to_owned(),
        "v".to_owned(),
        sum(""),
        sum("v"),
        sum("v "),
        sum(&format!("v {key} more")),
        sum(&format!("v  {key}")),
        sum(&format!("v {}", "0".repeat(31))),
        sum(&format!("v {}", "0".repeat(33))),
        sum(&format!("v +{}", "0".repeat(31))),
        sum(&format!("v {}", "A".repeat(32))),
        sum(&format!("l {key}")),
        sum(&format!("l {key} sha256:00")),
        sum(&format!("x {key}")),
        sum(&format!("V {key}")),
        sum(&format!("v {key}")).to_uppercase(),
        format!("v {key}"),
        format!("v {key} 00000000"),
        "x".repeat(10_000),
        "\0".repeat(10_000),
    ] {
        assert_eq!(read_all(line.as_bytes()), [], "{line}");
        let between = format!("{known}{line}{known}");
        assert_eq!(
            read_all(between.as_bytes()),
            [verified(1), verified(1)],
            "{line}"
        );
    }
    assert_eq!(read_all(sum(&format!("v {key}")).as_bytes()), [verified(0)]);
}

proptest! {
    #[test]
    fn whatever_is_read_was_written(
        pieces in proptest::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                any::<u128>().prop_map(|number| lines(&[verified(number)]).into_bytes()),
                any::<u128>().prop_map(|number| lines(&[learned(number)]).into_bytes()),
                (any::<u128>(), 0..120_usize).prop_map(|(number, cut)| {
                    let mut torn = lines(&[learned(number)]).into_bytes();
                    torn.truncate(cut);
                    torn
                }),
            ],
            0..20,
        )
    ) {
        let bytes = pieces.concat();
        let text = String::from_utf8_lossy(&bytes);
        let records = read_all(&bytes);
        for record in &records {
            prop_assert!(text.contains(&record.to_string()));
        }
        prop_assert_eq!(read_all(lines(&records).as_bytes()), records);
    }
}

#[test]
fn nobody_else_may_look_into_it() {
    let base = tempfile::tempdir().unwrap();
    let store = Store::new(base.path().join("a/b"));
    store.append(&[]).unwrap();
    assert_eq!(fs::read(store.path()).unwrap(), b"", "nothing to write");
    store.append(&[verified(1), learned(2)]).unwrap();
    store.append(&[verified(3)]).unwrap();
    assert_eq!(held(&store), [verified(1), learned(2), verified(3)]);
    for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/verdicts-v1", 0o600)] {
        let permissions = fs::metadata(base.path().join(path)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{path}");
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn it_grows_no_longer_than_it_may_and_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::bounded(folder.path().to_owned(), 4000);
    let others =
        ["verdicts-v0", "verdicts-v2", "verdicts-v10"].map(|name| folder.path().join(name));
    for other in &others {
        fs::write(other, "of another version").unwrap();
    }
    for number in 0..1000 {
        store
            .append(&[verified(number / 2), learned(number)])
            .unwrap();
        assert!(fs::metadata(store.path()).unwrap().len() <= 4000);
        let held = held(&store);
        assert!(
            held.ends_with(&[verified(number / 2), learned(number)]),
            "{held:?}"
        );
        // Half of it is some twenty pairs of these.
        for recent in number.saturating_sub(8)..number {
            assert!(held.contains(&learned(recent)), "{recent} of {number}");
        }
        let lost = number.saturating_sub(50);
        assert!(
            lost == 0 || !held.contains(&learned(lost)),
            "it is not full yet"
        );
    }
    for other in &others {
        assert_eq!(fs::read(other).unwrap(), b"of another version");
    }
    assert_eq!(names(folder.path()).len(), 1 + others.len());
}

#[test]
fn what_is_written_anew_has_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::bounded(folder.path().to_owned(), 2000);
    let batch: Vec<Record> = [1, 2, 3, 2, 1].map(verified).into();
    store.append(&batch).unwrap();
    store.append(&[learned(1)]).unwrap();
    let mut fill: Vec<Record> = batch.iter().cycle().take(40).cloned().collect();
    fill.push(verified(9));
    store.append(&fill).unwrap();
    assert_eq!(
        held(&store),
        [
            learned(1),
            verified(3),
            verified(2),
            verified(1),
            verified(9)
        ]
    );
}

#[test]
fn a_file_of_any_length_is_read_no_further_than_its_last_part() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().to_owned());
    store.append(&[verified(1)]).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(store.path())
        .unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(held(&store), []);
    store.append(&[verified(2)]).unwrap();
    assert_eq!(held(&store), [verified(2)]);
    assert!(fs::metadata(store.path()).unwrap().len() < 1000);
}

/// As two servers do, each of which may write the file anew at any time.
#[test]
fn many_may_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = |writer: u128| {
        let store = Store::bounded(folder.path().to_owned(), 20_000);
        for round in 0..500 {
            let number = writer << 64 | round;
            store.append(&[verified(number), learned(number)]).unwrap();
            let is_written = |record: &Record| match record {
                Record::Verified(Key(number)) => number & 0xffff_ffff < 500,
                Record::Learned(Key(number), _) => *record == learned(*number),
            };
            assert!(held(&store).iter().all(is_written));
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || rounds(writer));
        }
    });
    assert_eq!(names(folder.path()), ["verdicts-v1"]);
    let store = Store::bounded(folder.path().to_owned(), 20_000);
    // What comes last is lost to nobody.
    let writers: BTreeSet<u128> = held(&store)
        .iter()
        .map(|record| record.key().0 >> 64)
        .collect();
    assert!(!writers.is_empty());
    store.append(&[verified(1)]).unwrap();
    assert_eq!(held(&store).last(), Some(&verified(1)));
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let left = |name: &str, distance: Duration, is_future| {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        let now = SystemTime::now();
        file.set_modified(if is_future {
            now + distance
        } else {
            now - distance
        })
        .unwrap();
    };
    let (long, short) = (Duration::from_secs(3600), Duration::from_secs(5));
    left("verdicts-v1.new-1-1", long, false);
    left("verdicts-v1.new-1-2", long, true);
    left("verdicts-v1.new-1-3", short, false);
    left("verdicts-v1", long, false);
    left("verdicts-v2.new-1-1", long, false);
    left("other", long, false);
    let cache = Cache::new(folder.path().to_owned());
    assert!(cache.prepare().is_none());
    let left = [
        "other",
        "verdicts-v1",
        "verdicts-v1.new-1-3",
        "verdicts-v2.new-1-1",
    ];
    assert_eq!(names(folder.path()), left);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let base = tempfile::tempdir().unwrap();
    let elsewhere = base.path().join("elsewhere");
    fs::write(&elsewhere, "something else").unwrap();
    let in_the_way = ["folder", "link", "pipe"].map(|name| {
        let store = Store::new(base.path().join(name));
        fs::create_dir(base.path().join(name)).unwrap();
        store
    });
    let [folder, link, pipe] = &in_the_way;
    fs::create_dir(folder.path()).unwrap();
    symlink(&elsewhere, link.path()).unwrap();
    let (kind, mode) = (FileType::Fifo, Mode::from_raw_mode(0o600));
    mknodat(CWD, pipe.path(), kind, mode, 0).unwrap();
    for store in in_the_way {
        store.append(&[verified(1)]).unwrap_err();
        store.read(|record| panic!("{record}")).unwrap_err();
    }
    assert_eq!(fs::read(elsewhere).unwrap(), b"something else");
}

/// A source with a file of `text` in `folder`, all of which is claimed to be `digest`.
fn source(folder: &Path, name: &str, text: &str, digest: Digest) -> Arc<Source> {
    fs::write(folder.join(name), text).unwrap();
    let location = Location::new(Root::new(folder), Path::new(name));
    let identity = *File::open(&location).unwrap().identity();
    let (offset, length) = (0, text.len() as u64);
    let place = Place::Extent { offset, length };
    Arc::new(Source::new(
        location,
        identity,
        vec![Claim { digest, place }],
    ))
}

/// The same, read again.
fn again(source: &Source) -> Arc<Source> {
    let (location, identity) = (source.location().clone(), *source.identity());
    Arc::new(Source::new(location, identity, source.claims().collect()))
}

/// A moment at which the files of a test would show that they are changed.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(10)
}

fn is_known(cache: &Cache, source: &Source) -> bool {
    let source = again(source);
    cache.hints().recall(&source);
    source.verdict(0) == Verdict::Verified
}

#[test]
fn a_verdict_is_remembered_of_the_very_file() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::sha256(b"text");
    let source = |name, digest: &Digest| source(folder.path(), name, "text", digest.clone());
    let (file, other) = (source("file", &digest), source("other", &digest));
    let lie = source("lie", &Digest::sha256(b"lie"));
    let open = || Cache::new(folder.path().join("cache"));
    let cache = open();
    for source in [&file, &other] {
        assert!(!is_known(&cache, source));
    }
    cache.verified(&Copy::new(Arc::clone(&file), 0), later());
    assert!(!is_known(&cache, &file), "it is written later");
    assert!(cache.write().is_none());
    for cache in [cache, open()] {
        assert!(is_known(&cache, &file));
        assert!(!is_known(&cache, &other));
        assert!(!is_known(&cache, &lie));
    }
    // The same bytes, written again.
    let file = source("file", &digest);
    assert!(!is_known(&open(), &file));
}

#[test]
fn what_may_change_without_a_trace_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let file = source(folder.path(), "file", "text", Digest::sha256(b"text"));
    let cache = Cache::new(folder.path().join("cache"));
    cache.verified(&Copy::new(Arc::clone(&file), 0), SystemTime::now());
    cache.learned(layer(&file), Digest::sha256(b"text"), SystemTime::now());
    assert!(cache.write().is_none());
    assert!(!cache.store.path().exists());
}

/// The text of `source` as a layer that is something else once it is decompressed.
fn layer(source: &Source) -> Layer {
    Layer {
        location: source.location().clone(),
        identity: *source.identity(),
        offset: 0,
        length: 4,
        diff_id: Digest::sha256(b"decompressed"),
    }
}

#[test]
fn a_digest_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::sha256(b"text");
    let file = source(folder.path(), "file", "text", digest.clone());
    let cache = Cache::new(folder.path().join("cache"));
    let layer = layer(&file);
    assert_eq!(cache.hints().digest(&layer), None);
    cache.learned(layer.clone(), digest.clone(), later());
    assert!(cache.write().is_none());
    assert_eq!(cache.hints().digest(&layer), Some(&digest));
    let diff_id = Digest::sha256(b"something else");
    assert_eq!(cache.hints().digest(&Layer { diff_id, ..layer }), None);
    assert!(!is_known(&cache, &file), "that is another question");
}

#[test]
fn files_that_are_gone_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a", "b"].map(|name| source(folder.path(), name, "text", Digest::sha256(b"text")));
    let cache = Cache::new(folder.path().join("cache"));
    let [gone, there] = &files;
    fs::remove_file(gone.location().path()).unwrap();
    for file in [gone, there] {
        cache.verified(&Copy::new(Arc::clone(file), 0), later());
    }
    assert!(cache.write().is_none());
    assert!(is_known(&cache, there));
}

#[test]
fn no_more_waits_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = source(folder.path(), "file", "text", Digest::sha256(b"text"));
    let cache = Cache::new(folder.path().join("cache"));
    for _ in 0..=MAX_WAITING {
        cache.verified(&Copy::new(Arc::clone(&file), 0), later());
    }
    assert_eq!(lock(&cache.waiting).len(), MAX_WAITING);
    assert!(size_of::<Note>() <= 24);
}

#[test]
fn trouble_is_told_once_and_tried_again_rarely() {
    let folder = tempfile::tempdir().unwrap();
    let file = source(folder.path(), "file", "text", Digest::sha256(b"text"));
    let cache = folder.path().join("cache");
    fs::write(&cache, "a file").unwrap();
    let mut cache = Cache::new(cache);
    let note = |cache: &Cache| cache.verified(&Copy::new(Arc::clone(&file), 0), later());
    let told = cache.prepare().expect("a file is in the way").to_string();
    let path = cache.store.path();
    assert_eq!(
        told,
        format!("cannot write to `{}` (not a directory)", path.display())
    );
    note(&cache);
    assert!(cache.write().is_none(), "it was told");
    fs::remove_file(folder.path().join("cache")).unwrap();
    note(&cache);
    assert!(cache.write().is_none());
    assert!(!path.exists(), "it rests");
    cache.rest = Duration::ZERO;
    note(&cache);
    assert!(cache.write().is_none());
    assert!(is_known(&cache, &file));
    // What goes wrong later is told again.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    note(&cache);
    assert!(cache.write().is_some());
    note(&cache);
    assert!(cache.write().is_none());
}
