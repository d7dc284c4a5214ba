//! The folder, and what can be done to it.

mod acts;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::history::{Change, History, Shown};
use super::pool::{Id, Kind, Offer, Pool, Stored, Version};
use crate::fixture::{Tree, blob_path};

/// So many bytes are overwritten at once.
const PIECE: usize = 4 << 10;
/// The folders that archives lie in, beneath the one that is served.
const FOLDERS: [&str; 3] = ["", "team", "deep/er"];
/// What the second of them is called from time to time.
const RENAMED: &str = "crew";
/// Where the folders lie that links lead to: nobody looks there.
const RELEASES: &str = ".releases";

/// One thing to do at a place. Versions and layers are told by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Writes the first piece of a version over what is there.
    Begin(usize),
    /// Writes the piece of this number of the version.
    Piece(usize, usize),
    /// Writes all that is left of the version.
    End(usize),
    /// Writes a version under a name that says that it is not complete.
    Upload(usize),
    /// Gives that its name.
    Finish(usize),
    /// Puts a version there at once, in place of what is there.
    Replace(usize),
    /// Cuts the end off.
    Truncate,
    /// Adds to the end.
    Append,
    /// Overwrites some bytes of a layer with others.
    Damage(usize),
    /// Overwrites some bytes of a layer with the same.
    Rewrite(usize),
    /// Sets the time of modification.
    Touch,
    /// Takes away the right to read it.
    Lock,
    /// Gives the right back.
    Unlock,
    /// Removes it at once.
    Remove,
    /// Removes a folder file by file.
    RemoveSlowly,
    /// Removes a layer from a folder.
    Lose(usize),
    /// Puts into a layout what another version has.
    Complete(usize),
    /// Has a layout describe the version.
    Describe(usize),
    /// Moves it to the folder of this number.
    Move(usize),
    /// Has it change places with another file.
    Exchange(usize),
    /// Moves it over another file.
    Over(usize),
    /// Puts the version that is there at another place as well.
    Give(usize),
    /// Nothing.
    Wait,
}

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Whole,
    /// It is being written, or is cut off.
    Broken,
    /// Some of its bytes are others, or are not there.
    Damaged,
    Locked,
}

/// A place in the folder, wherever that is.
struct Place {
    folder: usize,
    name: String,
    state: State,
    version: usize,
    /// What it is taken for.
    offers: Vec<Arc<Offer>>,
    /// It may or may not have been read before it became unreadable.
    is_uncertain: bool,
    /// What it was taken for when everybody might read it.
    unlocked: Vec<Arc<Offer>>,
}

/// The folder that is served, and one beside it.
pub(super) struct Folder {
    root: PathBuf,
    stage: PathBuf,
    pool: Arc<Pool>,
    history: Arc<Mutex<History>>,
    places: Vec<Place>,
    is_renamed: bool,
    /// Of names that were used beside the folder.
    staged: usize,
}

impl Folder {
    /// A folder with the first version of everything in it, and its history, which begins when the server is ready.
    pub(super) fn new(base: &Path, pool: &Arc<Pool>) -> Self {
        let mut folder = Self {
            root: base.join("packages"),
            stage: base.join("stage"),
            pool: Arc::clone(pool),
            history: Arc::default(),
            places: Vec::new(),
            is_renamed: false,
            staged: 0,
        };
        for path in [
            &folder.stage,
            &folder.root.join(FOLDERS[1]),
            &folder.root.join(FOLDERS[2]),
        ] {
            fs::create_dir_all(path).expect("a folder");
        }
        for number in 0..pool.plans.len() {
            folder.add(number);
        }
        folder
    }

    fn add(&mut self, number: usize) {
        let plan = &self.pool.plans[number];
        let is_file = plan.kind == Kind::File;
        let ending = if is_file { ".tar" } else { "" };
        self.places.push(Place {
            folder: if is_file { number % FOLDERS.len() } else { 0 },
            name: format!("{}{ending}", plan.name),
            state: State::Whole,
            version: 0,
            offers: plan.versions[0].offers(),
            is_uncertain: false,
            unlocked: Vec::new(),
        });
        let path = self.path(number);
        match plan.kind {
            Kind::Link => {
                for (release, version) in plan.versions.iter().enumerate() {
                    let folder = self.root.join(release_path(release));
                    fs::create_dir_all(&folder).expect("a folder");
                    version.write_to(&folder);
                }
                symlink(release_path(0), path).expect("a link");
            }
            _ => plan.versions[0].write_to(&path),
        }
    }

    /// Where the history is written.
    pub(super) fn history(&self) -> Arc<Mutex<History>> {
        Arc::clone(&self.history)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn state(&self, place: usize) -> State {
        self.places[place].state
    }

    pub(super) fn version(&self, place: usize) -> usize {
        self.places[place].version
    }

    /// What all places are.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let places = 0..self.places.len();
        places
            .map(|place| self.shown_as(place, "as it was at the start", Change::Written))
            .collect()
    }

    /// Gives the folder that several files lie in another name.
    pub(super) fn rename_folder(&mut self) {
        let before = self.folder(1);
        self.is_renamed = !self.is_renamed;
        let after = self.folder(1);
        let in_it = |place: &usize| {
            self.places[*place].folder == 1 && self.places[*place].state != State::Absent
        };
        let moved: Vec<usize> = (0..self.places.len()).filter(in_it).collect();
        let shown = moved.iter().map(|place| {
            (
                *place,
                self.shown_as(*place, "moves with its folder", Change::Moved),
            )
        });
        let shown = shown.collect();
        self.change(shown, || fs::rename(before, after).expect("another name"));
    }

    /// Makes everything whole and readable, and complete with what the first place has.
    pub(super) fn heal(&mut self) {
        for place in 0..self.places.len() {
            if place == 0 || self.places[place].state != State::Whole {
                self.replace(place, 0);
            }
        }
    }

    /// Where a layer lies: which, the file, and where it begins in it.
    fn layer(&self, place: usize, layer: usize) -> (Id, PathBuf, usize) {
        let version = &self.pool.plans[place].versions[self.places[place].version];
        if let Stored::File(_) = version.stored {
            let (id, range) = &version.layers[layer % version.layers.len()];
            return (*id, self.path(place), range.start);
        }
        let blobs = &self.pool.blobs;
        let mut layers: Vec<Id> = version.offer.holds.iter().copied().collect();
        layers.retain(|id| blobs[*id].bytes.len() > PIECE);
        let id = layers[layer % layers.len()];
        (id, self.path(place).join(blob_path(&blobs[id].digest)), 0)
    }

    /// A file of what lies at a place.
    fn representative(&self, place: usize) -> PathBuf {
        match self.pool.plans[place].kind {
            Kind::File => self.path(place),
            Kind::Layout => self.layer(place, 0).1,
            Kind::Shelf | Kind::Link => self.path(place).join("left.tar"),
        }
    }

    fn folder(&self, number: usize) -> PathBuf {
        let name = if number == 1 && self.is_renamed {
            RENAMED
        } else {
            FOLDERS[number]
        };
        self.root.join(name)
    }

    fn path(&self, place: usize) -> PathBuf {
        let Place { folder, name, .. } = &self.places[place];
        self.folder(*folder).join(name)
    }

    fn location(&self, place: usize) -> (usize, String) {
        (self.places[place].folder, self.places[place].name.clone())
    }

    fn locate(&mut self, place: usize, (folder, name): (usize, String)) {
        self.places[place].folder = folder;
        self.places[place].name = name;
    }

    fn staged(&mut self) -> PathBuf {
        self.staged += 1;
        self.stage.join(self.staged.to_string())
    }

    fn set(&mut self, place: usize, state: State, version: usize) {
        self.places[place].is_uncertain = false;
        self.places[place].state = state;
        self.places[place].version = version;
    }

    fn become_whole(&mut self, place: usize, version: usize) {
        self.set(place, State::Whole, version);
        self.places[place].offers = self.pool.plans[place].versions[version].offers();
    }

    fn become_absent(&mut self, place: usize) {
        self.set(place, State::Absent, 0);
        self.places[place].offers = vec![Arc::default()];
    }

    fn shown_as(&self, place: usize, what: &str, change: Change) -> Shown {
        Shown {
            what: format!("{}: {what}", self.pool.plans[place].name),
            offers: self.places[place].offers.clone(),
            is_uncertain: self.places[place].is_uncertain,
            change,
        }
    }

    fn change_one(&mut self, place: usize, what: &str, change: Change, act: impl FnOnce()) {
        let shown = self.shown_as(place, what, change);
        self.change(vec![(place, shown)], act);
    }

    /// Does it, and has the history tell it.
    fn change(&self, shown: Vec<(usize, Shown)>, act: impl FnOnce()) {
        let places: Vec<usize> = shown.iter().map(|(place, _)| *place).collect();
        self.lock_history().begin(shown);
        act();
        self.lock_history().done(&places);
    }

    fn lock_history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    /// What it may be taken for.
    fn offers(&self) -> Vec<Arc<Offer>> {
        [&self.offer]
            .into_iter()
            .chain(&self.pending)
            .cloned()
            .collect()
    }

    fn bytes(&self) -> &[u8] {
        match &self.stored {
            Stored::File(bytes) => bytes,
            _ => panic!("no file"),
        }
    }

    fn tree(&self) -> &Tree {
        match &self.stored {
            Stored::Layout(tree) => tree,
            _ => panic!("no layout"),
        }
    }

    /// Where it may be cut so that it cannot be taken for complete: within layers.
    fn cuts(&self) -> Vec<usize> {
        let layers = self.layers.iter().map(|(_, range)| range);
        let cuts = layers.flat_map(|range| {
            let quarter = range.len() / 4;
            [range.start + quarter, range.end - quarter]
        });
        cuts.collect()
    }

    fn write_to(&self, path: &Path) {
        match &self.stored {
            Stored::File(bytes) => fs::write(path, bytes).expect("a file"),
            Stored::Layout(tree) => tree.write_to(path),
            Stored::Shelf(files) => {
                fs::create_dir_all(path).expect("a folder");
                for (name, bytes) in files {
                    fs::write(path.join(name), bytes).expect("a file");
                }
            }
        }
    }
}

fn release_path(version: usize) -> PathBuf {
    Path::new(RELEASES).join(version.to_string())
}
