//! Files that are generated and committed. A test compares; with `UPDATE=1` in the environment it writes instead.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Several tests make parts of one page.
static PAGES: Mutex<()> = Mutex::new(());

/// Compares the file at `path`, seen from the repository, with what is made.
///
/// # Panics
///
/// If they differ, with the first line that does and the `test` that rewrites the file.
pub(crate) fn check(path: &str, made: &[u8], test: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, made).expect("a file");
    }
    let present = fs::read(&file).unwrap_or_default();
    assert!(
        present == made,
        "{path} is not what is made; `UPDATE=1 cargo test {test}` rewrites it\n{}",
        difference(&present, made)
    );
}

/// As [`check`], for a page whose text is written by hand and whose `sections` are made. Each stands between the
/// marks of its name.
pub(crate) fn check_page(path: &str, sections: &[(&str, String)], test: &str) {
    let _only = alone();
    check_sections(path, sections, test);
}

/// As [`check_page`], for a section of which several tests make a part each: `change` makes what it is of what it was.
pub(crate) fn check_section(
    path: &str,
    name: &str,
    change: impl FnOnce(&str) -> String,
    test: &str,
) {
    let _only = alone();
    let made = change(&read_section(path, name));
    check_sections(path, &[(name, made)], test);
}

/// A test that failed with it in its hand has left the page whole.
fn alone() -> MutexGuard<'static, ()> {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_sections(path: &str, sections: &[(&str, String)], test: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let page = fs::read_to_string(&file).expect("a page");
    let made = sections
        .iter()
        .fold(page, |page, (name, section)| put(&page, name, section));
    check(path, made.as_bytes(), test);
}

/// What stands between the marks of that name.
pub(crate) fn section(path: &str, name: &str) -> String {
    let _only = alone();
    read_section(path, name)
}

fn read_section(path: &str, name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let page = fs::read_to_string(file).expect("a page");
    let (_, rest) = page
        .split_once(&format!("<!-- {name} -->\n"))
        .expect("the mark of its begin");
    let (section, _) = rest
        .split_once(&format!("<!-- /{name} -->"))
        .expect("the mark of its end");
    section.trim().to_owned()
}

/// The page with another section between the marks of that name.
fn put(page: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin).expect("the mark of its begin");
    let (_, after) = rest.split_once(&end).expect("the mark of its end");
    format!("{before}{begin}\n{section}\n{end}{after}")
}

/// The first line that differs.
fn difference(present: &[u8], made: &[u8]) -> String {
    let (present, made) = (
        String::from_utf8_lossy(present),
        String::from_utf8_lossy(made),
    );
    let (mut present, mut made) = (present.lines(), made.lines());
    for number in 1.. {
        match (present.next(), made.next()) {
            (None, None) => break,
            (there, here) if there == here => {}
            (there, here) => {
                return format!("line {number} is {there:?} and should be {here:?}");
            }
        }
    }
    "they differ in the ends of lines".to_owned()
}
