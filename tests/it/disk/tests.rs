//! The file system shows what it should, and fails as it is told.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Disk, Errno, Fault, WHOLE};

const BYTES: [u8; 10_000] = [7; 10_000];

/// A folder with one file `a` in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), BYTES).unwrap();
    folder
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// When a file says it was written, and when that was said.
fn times(path: &Path) -> [i64; 4] {
    let file = fs::metadata(path).unwrap();
    [
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ]
}

#[test]
fn it_shows_a_folder_and_counts() {
    let folder = folder();
    let Some(disk) = Disk::of(folder.path()) else {
        return;
    };
    let path = disk.path().join("a");
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    assert_eq!(times(&path), times(&folder.path().join("a")));
    assert_eq!((disk.opened("a"), disk.read("a")), (1, 10_000));
    // What is open is what it was, whatever takes its name.
    let file = File::open(&path).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/b"), "b").unwrap();
    fs::rename(folder.path().join("sub/b"), folder.path().join("a")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"b");
    assert_eq!(file.metadata().unwrap().len(), 10_000);
    let mut one = [0];
    file.read_exact_at(&mut one, 9_999).unwrap();
    assert_eq!(one, [7]);
    let mut names: Vec<_> = fs::read_dir(disk.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "sub"]);
    fs::remove_file(folder.path().join("a")).unwrap();
    assert_eq!(errno(fs::read(&path)), Some(Errno::ENOENT.code()));
}

#[test]
fn it_fails_as_it_is_told() {
    let folder = folder();
    let Some(disk) = Disk::of(folder.path()) else {
        return;
    };
    let path = disk.path().join("a");
    let file = File::open(&path).unwrap();
    let mut bytes = [0; 100];
    disk.fail(
        "a",
        Fault::Reads {
            from: 50,
            errno: Errno::ESTALE,
        },
    );
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 50);
    assert_eq!(
        errno(file.read_at(&mut bytes, 50)),
        Some(Errno::ESTALE.code())
    );
    disk.fail("a", Fault::Opens(Errno::EIO));
    assert_eq!(errno(File::open(&path)), Some(Errno::EIO.code()));
    assert_eq!(file.read_at(&mut bytes, 50).unwrap(), 100);
    disk.fail(WHOLE, Fault::Opens(Errno::ENODEV));
    let gone = Some(Errno::ENODEV.code());
    assert_eq!(
        errno(fs::read_dir(disk.path()).and_then(Iterator::collect::<io::Result<Vec<_>>>)),
        gone
    );
    assert_eq!(errno(fs::metadata(disk.path())), gone);
    assert_eq!(errno(file.read_at(&mut bytes, 0)), gone);
    disk.recover();
    assert_eq!(fs::read(&path).unwrap(), BYTES);
}

#[test]
fn it_is_silent_until_it_recovers() {
    let folder = folder();
    let Some(disk) = Disk::of(folder.path()) else {
        return;
    };
    let path = disk.path().join("a");
    disk.fail("a", Fault::Silent);
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(&path));
        while disk.opened("a") == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        fs::metadata(&path).expect("it answers others");
        assert!(!reader.is_finished());
        disk.recover();
        assert_eq!(reader.join().unwrap().unwrap(), BYTES);
    });
}

#[test]
fn its_numbers_do_not_last() {
    let folder = folder();
    let Some(mut disk) = Disk::of(folder.path()) else {
        return;
    };
    let path = disk.path().join("a");
    let number = || fs::metadata(&path).unwrap().ino();
    let first = number();
    assert_eq!(number(), first);
    disk.unmount();
    assert_eq!(errno(fs::metadata(&path)), Some(Errno::ENOENT.code()));
    disk.mount();
    assert_ne!(number(), first);
    disk.renumber();
    assert_ne!(number(), number());
}

#[test]
fn it_ends_also_when_it_is_used() {
    let folder = folder();
    let Some(disk) = Disk::of(folder.path()) else {
        return;
    };
    let place = disk.path().to_owned();
    let file = File::open(place.join("a")).unwrap();
    drop(disk);
    assert!(
        !fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .contains(place.to_str().unwrap())
    );
    assert!(!place.exists());
    drop(file);
}
