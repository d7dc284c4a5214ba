//! An archive that may not be read any more, and may again.

use super::*;
use crate::user::{User, close, set_mode};

/// A server of a user who is not root, of an archive that can be closed to him.
struct Closable {
    server: Server,
    user: User,
}

impl Closable {
    fn new(files: &[&str]) -> Option<Self> {
        let user = User::without_rights()?;
        for file in files {
            fs::write(user.folder().join(file), archive(&old())).expect("a file");
        }
        let server = user.setup().args(["--refresh", "20ms"]).start();
        Some(Self { server, user })
    }

    fn path(&self) -> PathBuf {
        self.user.folder().join("app.tar")
    }

    fn pulled(&self) -> Had {
        pull(&self.server, "acme/app", "1")
    }
}

/// What was found in it stays, and nobody is told that it is gone.
#[test]
fn closed_and_opened_again() {
    let Some(shelf) = Closable::new(&["app.tar"]) else {
        return;
    };
    let layer = old().layers[0].blob();
    let begun = Pull::begin(&shelf.server, "acme/app", &layer);
    let seen = meanwhile(
        2,
        || shelf.pulled(),
        || {
            close(&shelf.path());
            let log = shelf.server.wait_for_stderr("it cannot be read");
            assert!(log.contains("app.tar: it cannot be read: "), "{log}");
            eventually("it is refused", || shelf.pulled() == Had::Later);
            assert_eq!(begun.end(), End::Whole);
            set_mode(&shelf.path(), 0o644);
            eventually("it is served again", || shelf.pulled() == whole(&old()));
        },
    );
    assert_eq!(ever(&seen), [whole(&old()), Had::Later].into());
    let log = shelf.server.stderr();
    assert_eq!(log.matches("it cannot be read").count(), 1, "{log}");
}

/// Nobody notices as long as another archive holds the same.
#[test]
fn closed_beside_a_copy() {
    let Some(shelf) = Closable::new(&["app.tar", "copy.tar"]) else {
        return;
    };
    let seen = meanwhile(
        2,
        || shelf.pulled(),
        || {
            close(&shelf.path());
            shelf.server.wait_for_stderr("app.tar: it cannot be read: ");
        },
    );
    assert_eq!(ever(&seen), [whole(&old())].into());
    assert_eq!(shelf.pulled(), whole(&old()));
}

/// Other rights that still let it be read are no change of anything.
#[test]
fn other_rights_change_nothing() {
    let Some(shelf) = Closable::new(&["app.tar"]) else {
        return;
    };
    let layer = old().layers[0].blob();
    let begun = Pull::begin(&shelf.server, "acme/app", &layer);
    let seen = meanwhile(
        2,
        || shelf.pulled(),
        || {
            set_mode(&shelf.path(), 0o444);
            let image = Layout::new().named(&Image::new("other"), OTHER).tar();
            fs::write(shelf.user.folder().join("other.tar"), image).expect("a file");
            shelf.server.wait_for_stderr("Changed: now 2 repositories");
        },
    );
    assert_eq!(ever(&seen), [whole(&old())].into());
    assert_eq!(begun.end(), End::Whole);
}
