//! How each act is done, and what the place is taken for afterwards.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Act, Folder, PIECE, Place, State, release_path};
use crate::model::history::Change;
use crate::model::pool::{Id, Kind};

impl Folder {
    /// Does it.
    pub(in crate::model) fn perform(&mut self, place: usize, act: &Act) {
        match act {
            Act::Begin(version) => self.write(place, *version, 0),
            Act::Piece(version, piece) => self.write(place, *version, *piece),
            Act::End(version) => self.write(place, *version, usize::MAX),
            Act::Upload(version) => self.upload(place, *version),
            Act::Finish(version) => self.finish(place, *version),
            Act::Replace(version) => self.replace(place, *version),
            Act::Truncate => self.truncate(place),
            Act::Append => self.append(place),
            Act::Damage(layer) => self.damage(place, *layer),
            Act::Rewrite(layer) => self.rewrite(place, *layer),
            Act::Touch => self.touch(place),
            Act::Lock => self.lock(place),
            Act::Unlock => self.unlock(place),
            Act::Remove => self.remove(place),
            Act::RemoveSlowly => self.remove_slowly(place),
            Act::Lose(layer) => self.lose(place, *layer),
            Act::Complete(version) => self.complete(place, *version),
            Act::Describe(version) => self.describe(place, *version),
            Act::Move(folder) => self.move_to(place, *folder),
            Act::Exchange(other) => self.exchange(place, *other),
            Act::Over(other) => self.move_over(place, *other),
            Act::Give(other) => self.replace(*other, self.places[place].version),
            Act::Wait => {}
        }
    }

    fn write(&mut self, place: usize, version: usize, piece: usize) {
        let path = self.path(place);
        let pool = Arc::clone(&self.pool);
        let version_of = &pool.plans[place].versions[version];
        let bytes = version_of.bytes();
        let cuts = version_of.cuts();
        let start = piece
            .min(cuts.len())
            .checked_sub(1)
            .map_or(0, |before| cuts[before]);
        let start = if piece == usize::MAX {
            length(&path)
        } else {
            start
        };
        let end = cuts.get(piece).copied().unwrap_or(bytes.len());
        let is_all = end == bytes.len();
        self.set(
            place,
            if is_all { State::Whole } else { State::Broken },
            version,
        );
        self.places[place].offers = if is_all {
            version_of.offers()
        } else {
            vec![Arc::default()]
        };
        let what = format!("bytes {start}..{end} of version {version} written");
        self.change_one(place, &what, Change::Written, || {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true);
            let options = if start == 0 {
                options.truncate(true)
            } else {
                options.truncate(false)
            };
            let file = options.open(&path).expect("a file");
            file.write_all_at(&bytes[start..end], start as u64)
                .expect("bytes written");
        });
    }

    fn upload(&mut self, place: usize, version: usize) {
        let bytes = self.pool.plans[place].versions[version].bytes();
        fs::write(unfinished(&self.path(place)), bytes).expect("a file");
    }

    fn finish(&mut self, place: usize, version: usize) {
        let path = self.path(place);
        self.become_whole(place, version);
        let what = format!("version {version} has been copied and gets its name");
        self.change_one(place, &what, Change::Written, || {
            fs::rename(unfinished(&path), &path).expect("a new name");
        });
    }

    /// Every kind is replaced at once, in its own way.
    pub(super) fn replace(&mut self, place: usize, version: usize) {
        let path = self.path(place);
        let staged = self.staged();
        let kind = self.pool.plans[place].kind;
        let is_there = fs::symlink_metadata(&path).is_ok();
        match kind {
            Kind::Link => symlink(release_path(version), &staged).expect("a link"),
            _ => self.pool.plans[place].versions[version].write_to(&staged),
        }
        self.become_whole(place, version);
        let what = format!("replaced by version {version}");
        let change = if kind == Kind::Link {
            Change::Linked
        } else {
            Change::Written
        };
        self.change_one(place, &what, change, || {
            let is_folder = matches!(kind, Kind::Layout | Kind::Shelf);
            let flags = if is_folder && is_there {
                RenameFlags::EXCHANGE
            } else {
                RenameFlags::empty()
            };
            renameat_with(CWD, &staged, CWD, &path, flags).expect("it takes the place");
        });
        discard(&staged);
    }

    fn truncate(&mut self, place: usize) {
        let path = self.path(place);
        let cut = self.pool.plans[place].versions[self.places[place].version].cuts()[0];
        self.places[place].state = State::Broken;
        self.places[place].offers = vec![Arc::default()];
        self.change_one(
            place,
            &format!("cut after {cut} bytes"),
            Change::Written,
            || {
                let file = OpenOptions::new().write(true).open(&path).expect("a file");
                file.set_len(cut as u64).expect("a shorter file");
            },
        );
    }

    /// Whatever follows the end of a tar is none of it.
    fn append(&mut self, place: usize) {
        let path = self.path(place);
        self.change_one(
            place,
            "something is added to its end",
            Change::Written,
            || {
                let file = OpenOptions::new().append(true).open(&path);
                file.expect("a file")
                    .write_all(&[0; 2048])
                    .expect("bytes written");
            },
        );
    }

    fn damage(&mut self, place: usize, layer: usize) {
        let (id, path, start) = self.layer(place, layer);
        let mut damaged = self.pool.blobs[id].bytes.clone();
        let piece = piece(damaged.len());
        damaged[piece.clone()].fill(0xdb);
        let bytes = damaged[piece.clone()].to_vec();
        let offers = self.places[place].offers.iter().map(|offer| {
            let mut offer = (**offer).clone();
            offer.holds.remove(&id);
            offer.damaged.insert(id, damaged.clone().into());
            Arc::new(offer)
        });
        self.places[place].offers = offers.collect();
        self.places[place].state = State::Damaged;
        let what = format!("bytes of layer {id} overwritten with others");
        self.change_one(place, &what, Change::Written, || {
            overwrite(&path, start + piece.start, &bytes);
        });
    }

    fn rewrite(&mut self, place: usize, layer: usize) {
        let (id, path, start) = self.layer(place, layer);
        let bytes = &Arc::clone(&self.pool).blobs[id].bytes;
        let piece = piece(bytes.len());
        let what = format!("bytes of layer {id} overwritten with the same");
        self.change_one(place, &what, Change::Written, || {
            overwrite(&path, start + piece.start, &bytes[piece]);
        });
    }

    fn touch(&mut self, place: usize) {
        let path = self.representative(place);
        self.change_one(place, "touched", Change::Written, || {
            let file = OpenOptions::new().write(true).open(&path).expect("a file");
            file.set_modified(SystemTime::now()).expect("another time");
        });
    }

    /// What was read before is kept; what was not, cannot be.
    fn lock(&mut self, place: usize) {
        let path = self.representative(place);
        let is_known = self.lock_history().is_proved(place);
        let locked: Vec<Id> = match self.pool.plans[place].kind {
            Kind::File => self.places[place].offers[0].holds.iter().copied().collect(),
            _ => vec![self.layer(place, 0).0],
        };
        let mut offer = (*self.places[place].offers[0]).clone();
        offer.holds.retain(|id| !locked.contains(id));
        let mut without = offer.clone();
        if self.pool.plans[place].kind == Kind::File {
            without.entries.clear();
        }
        offer.locked.extend(locked);
        let mut offers = vec![Arc::new(offer)];
        if !is_known {
            offers.extend(self.places[place].offers[1..].iter().cloned());
            offers.push(Arc::new(without));
        }
        let Place {
            offers: now,
            unlocked,
            state,
            is_uncertain,
            ..
        } = &mut self.places[place];
        *is_uncertain = !is_known;
        *unlocked = std::mem::replace(now, offers);
        *state = State::Locked;
        self.change_one(place, "nobody may read it", Change::Written, || {
            set_mode(&path, 0);
        });
    }

    fn unlock(&mut self, place: usize) {
        let path = self.representative(place);
        let Place {
            offers,
            unlocked,
            state,
            is_uncertain,
            ..
        } = &mut self.places[place];
        *offers = std::mem::take(unlocked);
        *is_uncertain = false;
        *state = State::Whole;
        self.change_one(place, "everybody may read it", Change::Written, || {
            set_mode(&path, 0o644);
        });
    }

    fn remove(&mut self, place: usize) {
        let path = self.path(place);
        let staged = self.staged();
        self.become_absent(place);
        let is_folder = path.is_dir() && !path.is_symlink();
        self.change_one(place, "removed", Change::Removed, || {
            if is_folder {
                fs::rename(&path, &staged).expect("another place");
            } else {
                fs::remove_file(&path).expect("it was there");
            }
        });
        discard(&staged);
    }

    /// What is left without its index is no layout any more.
    fn remove_slowly(&mut self, place: usize) {
        let path = self.path(place);
        self.become_absent(place);
        self.change_one(place, "its index is removed", Change::Removed, || {
            fs::remove_file(path.join("index.json")).expect("it was there");
        });
        self.change_one(place, "its files are removed", Change::Removed, || {
            fs::remove_dir_all(&path).expect("it was there");
        });
    }

    fn lose(&mut self, place: usize, layer: usize) {
        let (id, path, _) = self.layer(place, layer);
        let mut offer = (*self.places[place].offers[0]).clone();
        offer.holds.remove(&id);
        self.places[place].offers = vec![Arc::new(offer)];
        self.places[place].state = State::Damaged;
        self.change_one(
            place,
            &format!("layer {id} is removed"),
            Change::Written,
            || {
                fs::remove_file(path).expect("it was there");
            },
        );
    }

    /// Nothing describes what comes in addition, but other archives may lack it.
    fn complete(&mut self, place: usize, version: usize) {
        let path = self.path(place);
        let pool = Arc::clone(&self.pool);
        let added = &pool.plans[place].versions[version];
        let mut offer = (*self.places[place].offers[0]).clone();
        offer.holds.extend(&added.offer.holds);
        self.places[place].offers = vec![Arc::new(offer)];
        let what = format!("the blobs of version {version} are added");
        self.change_one(place, &what, Change::Written, || {
            let tree = added.tree();
            let names = tree.names().into_iter();
            for name in names.filter(|name| name.starts_with("blobs/") && !path.join(name).exists())
            {
                fs::write(path.join(name), tree.content(name)).expect("a file");
            }
        });
    }

    fn describe(&mut self, place: usize, version: usize) {
        let path = self.path(place);
        let pool = Arc::clone(&self.pool);
        let described = &pool.plans[place].versions[version];
        let mut offer = (*self.places[place].offers[0]).clone();
        offer.entries.clone_from(&described.offer.entries);
        self.places[place].offers = vec![Arc::new(offer)];
        self.places[place].version = version;
        self.change_one(
            place,
            &format!("described as version {version}"),
            Change::Written,
            || {
                let unfinished = path.join("index.json.tmp");
                fs::write(&unfinished, described.tree().content("index.json")).expect("a file");
                fs::rename(unfinished, path.join("index.json")).expect("a new name");
            },
        );
    }

    fn move_to(&mut self, place: usize, folder: usize) {
        let before = self.path(place);
        let Place {
            folder: at, name, ..
        } = &mut self.places[place];
        *at = folder;
        *name = if name.starts_with("a-") {
            name.replacen("a-", "", 1)
        } else {
            format!("a-{name}")
        };
        let after = self.path(place);
        let what = format!(
            "moved to {}",
            after.strip_prefix(&self.root).expect("in it").display()
        );
        self.change_one(place, &what, Change::Moved, || {
            fs::rename(before, after).expect("another place");
        });
    }

    fn exchange(&mut self, place: usize, other: usize) {
        let (one, two) = (self.path(place), self.path(other));
        let (first, second) = (self.location(place), self.location(other));
        self.locate(place, second);
        self.locate(other, first);
        let shown = [place, other]
            .map(|place| (place, self.shown_as(place, "changes places", Change::Moved)));
        self.change(shown.into(), || {
            renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).expect("other places");
        });
    }

    fn move_over(&mut self, place: usize, other: usize) {
        let (one, two) = (self.path(place), self.path(other));
        let (first, second) = (self.location(place), self.location(other));
        self.locate(place, second);
        self.locate(other, first);
        self.become_absent(other);
        let shown = vec![
            (
                place,
                self.shown_as(place, "moved over another", Change::Moved),
            ),
            (
                other,
                self.shown_as(other, "another is moved over it", Change::Removed),
            ),
        ];
        self.change(shown, || fs::rename(one, two).expect("another place"));
    }
}

/// From here on it ends in what says that it is not complete.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tar.part")
}

/// The bytes of a blob that are overwritten.
fn piece(length: usize) -> Range<usize> {
    length / 2..length / 2 + PIECE.min(length / 4)
}

fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.write_all_at(bytes, offset as u64)
        .expect("bytes written");
}

fn length(path: &Path) -> usize {
    let length = fs::metadata(path).expect("a file").len();
    usize::try_from(length).expect("a small file")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("other rights");
}

/// Removes what has been put beside the folder, if it is there.
fn discard(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).expect("a folder");
    } else {
        let _ = fs::remove_file(path);
    }
}
