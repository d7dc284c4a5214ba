//! What a folder that changes looks like: what is published at which look, and what has to come to rest first.

use super::*;

/// The names of what `catalog` serves, each with its tags.
fn served(catalog: &Catalog) -> Vec<String> {
    let snapshot = catalog.snapshot().unwrap();
    let names = snapshot.names(None);
    let tags = names.iter().map(|name| tags(&snapshot, name, None));
    names
        .iter()
        .zip(tags)
        .map(|(name, tags)| format!("{name}: {}", tags.unwrap_or_default().join(" ")))
        .collect()
}

fn lost(catalog: &Catalog) -> Vec<PathBuf> {
    catalog.snapshot().unwrap().lost().to_vec()
}

fn put(folder: &Path, image: &str) {
    Layout::at(folder).image(Some(image), "", &json!({}));
}

fn kinds(catalog: &Catalog) -> Vec<&'static str> {
    let snapshot = catalog.snapshot().unwrap();
    snapshot
        .problems()
        .iter()
        .map(|problem| problem.kind)
        .collect()
}

#[test]
fn what_is_new_is_published_at_the_second_look() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    let catalog = catalog(folder.path(), OPTIONS);
    assert_eq!(
        served(&catalog),
        ["a: 1 latest"],
        "of the first look all is taken"
    );
    put(&folder.path().join("b"), "b:1");
    assert!(
        look(&catalog).again.is_some(),
        "another look is worth while"
    );
    assert_eq!(served(&catalog), ["a: 1 latest"]);
    assert_eq!(look(&catalog).again, None);
    assert_eq!(served(&catalog), ["a: 1 latest", "b: 1 latest"]);
}

#[test]
fn what_has_changed_stays_as_it_was_until_the_second_look() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    put(&folder.path().join("b"), "b:1");
    let catalog = catalog(folder.path(), OPTIONS);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    put(&folder.path().join("b"), "b:2");
    look(&catalog);
    let before = ["a: 1 latest", "b: 1 latest"];
    assert_eq!(
        served(&catalog),
        before,
        "all that changes at once is published at once"
    );
    look(&catalog);
    assert_eq!(served(&catalog), ["b: 2 latest"]);
}

#[test]
fn what_goes_is_gone_when_two_looks_have_missed_it() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    put(&folder.path().join("b"), "b:1");
    let catalog = catalog(folder.path(), OPTIONS);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    let again = look(&catalog).again.unwrap();
    assert!(
        again < Duration::from_millis(100),
        "at once after the other"
    );
    assert_eq!(served(&catalog), ["a: 1 latest", "b: 1 latest"]);
    assert_eq!(look(&catalog).again, None);
    assert_eq!(served(&catalog), ["b: 1 latest"]);
}

#[test]
fn what_is_only_moved_is_known_at_once() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    let catalog = catalog(folder.path(), OPTIONS);
    let moved = folder.path().join("moved");
    fs::rename(folder.path().join("a"), &moved).unwrap();
    assert_eq!(look(&catalog).again, None);
    let snapshot = catalog.snapshot().unwrap();
    let paths: Vec<_> = snapshot
        .archives()
        .iter()
        .map(|archive| archive.path())
        .collect();
    assert_eq!(paths, [moved]);
}

#[test]
fn what_was_there_before_it_came_to_rest_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    let catalog = catalog(folder.path(), OPTIONS);
    let before = catalog.snapshot().unwrap();
    put(&folder.path().join("b"), "b:1");
    look(&catalog);
    fs::remove_dir_all(folder.path().join("b")).unwrap();
    look(&catalog);
    look(&catalog);
    assert!(Arc::ptr_eq(&before, &catalog.snapshot().unwrap()));
}

#[test]
fn a_root_that_goes_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    put(&one.join("a"), "a:1");
    put(&two.join("b"), "b:1");
    let returned = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&returned);
    let listener: Listener = Box::new(move |Event::Published { returned, .. }: &Event<'_>| {
        heard.lock().unwrap().extend(returned.iter().cloned());
    });
    let roots = [&one, &two].map(|root| Root::new(root.clone()));
    let catalog = Catalog::new(roots.into(), OPTIONS, listener);
    look(&catalog);
    let all = served(&catalog);
    fs::rename(&one, folder.path().join("elsewhere")).unwrap();
    put(&two.join("c"), "c:1");
    for _ in 0..4 {
        look(&catalog);
        assert!(served(&catalog).starts_with(&all));
    }
    assert_eq!(
        served(&catalog),
        ["a: 1 latest", "b: 1 latest", "c: 1 latest"],
        "others go on"
    );
    assert_eq!(lost(&catalog), [&*one]);
    assert_eq!(kinds(&catalog), ["lost"]);
    fs::rename(folder.path().join("elsewhere"), &one).unwrap();
    look(&catalog);
    assert!(lost(&catalog).is_empty());
    assert_eq!(kinds(&catalog), [""; 0]);
    assert_eq!(*returned.lock().unwrap(), [one]);
}

#[test]
fn a_root_is_empty_when_two_looks_have_found_it_so() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a"), "a:1");
    let catalog = catalog(folder.path(), OPTIONS);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    assert!(look(&catalog).again.is_some());
    assert_eq!(served(&catalog), ["a: 1 latest"]);
    look(&catalog);
    assert_eq!(served(&catalog), [""; 0]);
    assert!(lost(&catalog).is_empty());
}

#[test]
fn a_root_that_was_never_there_is_lost_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let catalog = catalog(&root, OPTIONS);
    assert_eq!(lost(&catalog), [&*root]);
    put(&root.join("a"), "a:1");
    refresh(&catalog);
    assert_eq!(served(&catalog), ["a: 1 latest"]);
    assert!(lost(&catalog).is_empty());
}

/// A link loop is a folder that cannot be listed, also by root.
#[test]
fn what_cannot_be_looked_at_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    put(&shelf.join("a"), "a:1");
    put(&folder.path().join("b"), "b:1");
    let catalog = catalog(folder.path(), OPTIONS);
    let blobs = shelf.join("a/blobs");
    fs::rename(&blobs, shelf.join("a/.away")).unwrap();
    std::os::unix::fs::symlink("blobs", &blobs).unwrap();
    refresh(&catalog);
    assert_eq!(served(&catalog), ["a: 1 latest", "b: 1 latest"]);
    fs::remove_file(&blobs).unwrap();
    fs::rename(shelf.join("a/.away"), &blobs).unwrap();
    refresh(&catalog);
    assert_eq!(served(&catalog), ["a: 1 latest", "b: 1 latest"]);
    assert_eq!(kinds(&catalog), [""; 0]);
}
