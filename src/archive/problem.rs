//! What is wrong with a file: a value, told to people once, that never stops anything else.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::digest::{Digest, DigestError};
use crate::oci::manifest::ManifestError;
use crate::oci::reference::ReferenceError;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumIter)]
pub enum Severity {
    /// Nothing is wrong: a file was passed over, and this is why.
    Note,
    /// It is served, and may not be what was meant.
    Warning,
    /// Something that was meant to be served is not.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is wrong with one file.
///
/// `Display` gives one line: file, member, what was found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// The member of the archive, where one is at fault.
    pub member: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, for programs, as `digest-mismatch`.
    pub kind: &'static str,
    /// What was expected and what was found.
    pub what: String,
    /// What the user can do about it.
    pub fix: &'static str,
    /// The digest that the bytes at fault should have, where that is known.
    pub blob: Option<Digest>,
}

impl Problem {
    /// The problem that `fault` is for `file`.
    pub fn new(file: impl Into<PathBuf>, fault: &Fault) -> Self {
        Self {
            file: file.into(),
            member: None,
            severity: fault.severity(),
            kind: fault.into(),
            what: cut(fault.to_string()),
            fix: fault.fix(),
            blob: fault.blob().cloned(),
        }
    }

    /// The same problem, with the member that is at fault. One that is called by a digest is a blob.
    #[must_use]
    pub fn in_member(self, member: impl Into<String>) -> Self {
        let member = member.into();
        Self {
            blob: self.blob.or_else(|| member.parse().ok()),
            member: Some(cut(member)),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: ",
            self.severity,
            Printable(&self.file.to_string_lossy())
        )?;
        if let Some(member) = &self.member {
            write!(f, "{}: ", Printable(member))?;
        }
        write!(f, "{}; {}", Printable(&self.what), self.fix)
    }
}

/// A text of foreign origin, with control characters escaped: it must not drive a terminal.
pub struct Printable<'t>(pub &'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            // Marks that reorder text are no control characters, and deceive as well.
            let is_plain = !character.is_control()
                && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
            if is_plain {
                write!(f, "{character}")?;
            } else {
                write!(f, "{}", character.escape_default())?;
            }
        }
        Ok(())
    }
}

/// What is told of a root that has gone, with that many archives.
fn lost(error: Option<&io::Error>, archives: usize) -> String {
    match (error, archives) {
        (Some(error), _) => format!("it cannot be looked at: {error}"),
        (None, 1) => {
            "the only archive that was in it has gone, and it lies on another device".to_owned()
        }
        (None, _) => format!(
            "all {archives} archives that were in it have gone at once, and it lies on another device"
        ),
    }
}

/// Whether the disk is at fault, or the way to it.
fn is_of_disk(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let is_broken = matches!(
        Errno::from_io_error(error),
        Some(Errno::IO | Errno::NODEV | Errno::NXIO)
    );
    is_broken
        || matches!(
            error.kind(),
            Kind::StaleNetworkFileHandle
                | Kind::TimedOut
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
                | Kind::NotConnected
        )
}

/// Everything that can be wrong with a file, an archive, or what several of them say together.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Fault {
    /// The system refuses to read it.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A root that was there before, or what it held.
    #[error("{}", lost(.0.as_ref(), *.1))]
    Lost(Option<io::Error>, usize),
    /// A root in which something new takes long to be read.
    #[error("what is new in it takes long to be read, and no change in it is served before that")]
    Slow,
    /// A link whose target lies outside the packages folder.
    #[error("it is a link that leaves the folder, to {}", .0.display())]
    LeavesRoot(PathBuf),
    /// A link whose target is not there.
    #[error("it is a link that leads nowhere")]
    DanglingLink,
    /// A link that leads to a folder it lies in.
    #[error("it is a link to a folder that contains it")]
    Loop,
    /// The file has no bytes.
    #[error("the file is empty")]
    EmptyFile,
    /// The file is called an archive and is none.
    #[error("it is not a tar archive")]
    NotAnArchive,
    /// The file is not called an archive and is none.
    #[error("it is not an archive of images")]
    Ignored,
    /// The whole archive is compressed.
    #[error("the archive is compressed with {0}")]
    Compressed(&'static str),
    /// A tar that is neither an OCI layout nor a Docker archive.
    #[error("the archive holds no images: neither `index.json` nor `manifest.json` is in it")]
    NoLayout,
    /// A layout that lists nothing.
    #[error("the archive holds no images")]
    NoImages,
    /// The file ends before its last member does.
    #[error(
        "the archive is incomplete: a member ends at byte {expected}, the file at byte {found}"
    )]
    Truncated {
        /// Where the member ends.
        expected: u64,
        /// Where the file ends.
        found: u64,
    },
    /// A header that readers would read differently, or that is damaged.
    #[error("the tar header at byte {offset} is not valid: {what}")]
    BadHeader {
        /// Where the header begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The reader failed: an error of this program.
    #[error("reading it failed because of an error in this program")]
    Internal,
    /// The file was written to while it was read.
    #[error("the file changed while it was read")]
    Changing,
    /// A member name that points out of the archive.
    #[error("the member's name leaves the archive")]
    EscapingMember,
    /// Two members of one name differ.
    #[error("two different members have this name")]
    Duplicate,
    /// A sparse member: its bytes are a map and fragments.
    #[error("the member is stored sparsely")]
    SparseMember,
    /// A member that another one names is not there.
    #[error("`{0}` is not in the archive")]
    MissingMember(String),
    /// A document above the cap.
    #[error("it is too large: {size} bytes, at most {limit} are read")]
    TooLarge {
        /// Its length.
        size: u64,
        /// The cap.
        limit: u64,
    },
    /// Too many of something.
    #[error("there are too many {what}: at most {limit} are read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The cap.
        limit: usize,
    },
    /// JSON that cannot be read.
    #[error("it cannot be parsed: {0}")]
    Json(#[source] serde_json::Error),
    /// A manifest that cannot be taken.
    #[error("the manifest is not usable: {0}")]
    Manifest(#[source] ManifestError),
    /// A digest that cannot be used.
    #[error("`{digest}` is {error}")]
    BadDigest {
        /// The digest as written.
        digest: String,
        /// Why it cannot be used.
        error: DigestError,
    },
    /// Bytes that do not hash to the name they have.
    #[error("{}damaged: expected the digest {expected}, found {found}", beginning(*offset))]
    DigestMismatch {
        /// The name.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
        /// Where they begin in the file; `None` if they are no part of it.
        offset: Option<u64>,
    },
    /// A blob that is not what its digest says, found when all of it was read.
    #[error("{} is damaged: its bytes are not those of {digest}", blob_at(*offset))]
    Corrupt {
        /// What they should be.
        digest: Digest,
        /// Where they begin in the file.
        offset: u64,
    },
    /// A blob that the disk does not give.
    #[error("{} cannot be read: {digest}", blob_at(*offset))]
    UnreadableBlob {
        /// What they should be.
        digest: Digest,
        /// Where they begin in the file.
        offset: u64,
    },
    /// A length that differs from the descriptor's.
    #[error("expected {expected} bytes, found {found}")]
    SizeMismatch {
        /// What the descriptor says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Indexes in indexes, too many of them.
    #[error("indexes are nested more than {0} deep")]
    TooDeep(usize),
    /// A manifest lists layers that its configuration does not know.
    #[error("the image has {layers} layers but its config has {diff_ids} diff IDs")]
    LayerCount {
        /// How many layers are listed.
        layers: usize,
        /// How many the configuration lists.
        diff_ids: usize,
    },
    /// Embedded data that is no base64.
    #[error("embedded data cannot be decoded")]
    BadData,
    /// Several members of one name, one of which is what the name says.
    #[error("several members have this name; the one whose digest is its name is served")]
    PickedDuplicate,
    /// A cache of a builder.
    #[error("it is a build cache, which nobody can run")]
    BuildCache,
    /// An archive of a Docker that wrote no `manifest.json`.
    #[error(
        "the archive has `repositories` and no `manifest.json`: it was saved by Docker before 1.10, whose format nothing reads any more"
    )]
    OldDocker,
    /// A layer whose digest is known only after reading all of it.
    #[error("the digest of this layer is known only after reading all of it, which is being done")]
    PendingLayer,
    /// A layer packed in a way that has no media type.
    #[error("the layer is compressed with {0}, for which there is no media type")]
    LayerPacking(&'static str),
    /// A stored manifest that does not fit the image, in an archive that describes it a second time.
    #[error(
        "the stored manifest {0} does not fit the image; one made from `manifest.json` is served instead"
    )]
    RejectedManifest(Digest),
    /// A name that no client can ask for.
    #[error("the image name `{name}` cannot be served: {error}")]
    BadName {
        /// The name as written.
        name: String,
        /// Why not.
        error: ReferenceError,
    },
    /// An image without a name, in a file that none can be made of.
    #[error("the image {0} has no name, and none can be made of the file's name")]
    Nameless(Digest),
    /// A name whose digest is another image's.
    #[error("the image name `{name}` has a digest, but the image is {found}")]
    NameMismatch {
        /// The name as written.
        name: String,
        /// What the image is.
        found: Digest,
    },
    /// A tag that v1.1 forbids, and is served all the same.
    #[error("the tag `{0}` has a `+`, which clients such as docker and podman refuse")]
    LooseTag(String),
    /// A tag that v1.1 forbids, left out because the user wants it so.
    #[error("the tag `{0}` has a `+` and is left out")]
    LeftOutTag(String),
    /// Blobs that no archive holds.
    #[error("{image}: {}", missing(*.manifests, *.blobs))]
    Incomplete {
        /// The image, by name or digest.
        image: String,
        /// How many manifests are absent.
        manifests: usize,
        /// How many configs and layers are absent.
        blobs: usize,
    },
    /// One name, two images, one of which is served.
    #[error("`{}` is {} here, but {} in {}, which counts (the newer image, or else the greater file name)", .0.name, .0.loser, .0.winner, .0.elsewhere.display())]
    Conflict(Box<Rivals>),
    /// One name, two images, and the user wants neither then.
    #[error("`{}` is {} here, but {} in {}, so it is not served", .0.name, .0.loser, .0.winner, .0.elsewhere.display())]
    Refused(Box<Rivals>),
    /// One name, an image for one platform and an index that has the platform, too.
    #[error("`{}` is {} here, but the index {} in {} has that platform, too, and counts", .0.name, .0.loser, .0.winner, .0.elsewhere.display())]
    ShadowedPlatform(Box<Rivals>),
    /// A bare name that means two repositories.
    #[error("`{bare}` can mean {shadowed}, but {chosen} is served under it")]
    Ambiguous {
        /// The bare name.
        bare: String,
        /// The repository that the bare name does not reach.
        shadowed: String,
        /// The repository that it does.
        chosen: String,
    },
}

/// Two images that claim one name.
#[derive(Debug)]
pub struct Rivals {
    /// The name that both claim.
    pub name: String,
    /// The image of this file.
    pub loser: Digest,
    /// The image that goes before it.
    pub winner: Digest,
    /// The file of that.
    pub elsewhere: PathBuf,
}

/// What lies at `offset` of a file: all of it where it is the blob itself, as in a folder.
fn blob_at(offset: u64) -> String {
    match offset {
        0 => "the file".to_owned(),
        _ => format!("the blob that begins at byte {offset} of the file"),
    }
}

/// How it is said of a member where it lies, before what it is.
fn beginning(offset: Option<u64>) -> String {
    match offset {
        None | Some(0) => "it is ".to_owned(),
        Some(offset) => format!("it begins at byte {offset} of the file and is "),
    }
}

fn missing(manifests: usize, blobs: usize) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what} is"),
        _ => format!("{count} {what}s are"),
    };
    match (manifests, blobs) {
        (0, blobs) => format!("{} missing", count(blobs, "blob")),
        (manifests, 0) => format!("{} missing", count(manifests, "manifest")),
        (manifests, blobs) => {
            format!(
                "{} missing, and {} missing",
                count(manifests, "manifest"),
                count(blobs, "blob")
            )
        }
    }
}

impl Fault {
    /// How much this matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Ignored | Self::LeftOutTag(_) | Self::BuildCache => Severity::Note,
            Self::Slow
            | Self::Loop
            | Self::Manifest(ManifestError::Unsupported(_))
            | Self::EmptyFile
            | Self::NotAnArchive
            | Self::NoImages
            | Self::NoLayout
            | Self::EscapingMember
            | Self::RejectedManifest(_)
            | Self::LooseTag(_)
            | Self::Conflict(_)
            | Self::ShadowedPlatform(_)
            | Self::OldDocker
            | Self::PendingLayer
            | Self::PickedDuplicate
            | Self::Ambiguous { .. }
            | Self::Incomplete { blobs: 0, .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Whether it may pass without a change of the file: the system or this program was at fault.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Changing | Self::Internal)
    }

    /// The digest that the bytes at fault should have.
    fn blob(&self) -> Option<&Digest> {
        match self {
            Self::DigestMismatch {
                expected: digest, ..
            }
            | Self::Corrupt { digest, .. }
            | Self::UnreadableBlob { digest, .. } => Some(digest),
            _ => None,
        }
    }

    /// What the user can do.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Unreadable(error) if is_of_disk(error) => {
                "check the disk, or the connection to it"
            }
            Self::Unreadable(_) => "check that the server's user may read it",
            Self::Lost(Some(error), _) if is_of_disk(error) => {
                "check the disk, or the connection to it; what it held is listed still, and is served when it is back"
            }
            Self::Lost(..) => {
                "mount or restore it; what it held is listed still, and is served when it is back"
            }
            Self::Slow => "wait, or check the disk, or the connection to it",
            Self::UnreadableBlob { .. } => "check the disk, or copy the archive again",
            Self::LeavesRoot(_) => {
                "name its target with another `--packages`, or put the file here"
            }
            Self::Loop | Self::DanglingLink => "remove the link",
            Self::EmptyFile => "remove it, or save the image again",
            Self::Internal => "please report it, with the file if possible",
            Self::NotAnArchive => {
                "remove it, or save the image again, as with `docker save -o FILE IMAGE`"
            }
            Self::Ignored | Self::LeftOutTag(_) | Self::BuildCache => "nothing to do",
            Self::Compressed(_) => "decompress it, as with `gzip -d`, `zstd -d` or `xz -d`",
            Self::NoImages | Self::NoLayout => {
                "save an image, as with `docker save -o FILE IMAGE`; `docker export` does not make one"
            }
            Self::Truncated { .. } | Self::Changing => {
                "wait until it has been copied, or copy it again; it is read again when it changes"
            }
            Self::BadHeader { .. } | Self::Duplicate | Self::PickedDuplicate | Self::BadData => {
                "save the image again"
            }
            Self::EscapingMember => "the member is left out; save the image again if it is missed",
            Self::SparseMember => {
                "pack the archive again without sparse files, as with `bsdtar --no-read-sparse`"
            }
            Self::MissingMember(_)
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::Corrupt { .. } => "copy the archive again, or save the image again",
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::TooDeep(_) => {
                "this is no image that clients could pull; save it in another way"
            }
            Self::Json(_) | Self::Manifest(_) | Self::LayerCount { .. } => {
                "save the image again with a current version of its tool"
            }
            Self::BadDigest { .. } => "save the image with sha256 or sha512 digests",
            Self::PendingLayer => "nothing to do: its image is served after that",
            Self::LayerPacking(_) => {
                "save it as an OCI archive, as with `skopeo copy docker-archive:FILE oci-archive:NEW`"
            }
            Self::RejectedManifest(_) | Self::OldDocker => {
                "save the image again with a current version of Docker"
            }
            Self::Nameless(_) => {
                "rename the file, using letters and digits, or save the image with a name"
            }
            Self::BadName { .. } | Self::NameMismatch { .. } => {
                "tag the image with another name and save it again"
            }
            Self::LooseTag(_) => "use a tag without `+`, or hide such tags with `--strict-tags`",
            Self::Incomplete { blobs: 0, .. } => {
                "platforms that are there can be pulled; for all of them save the image with all platforms"
            }
            Self::Incomplete { .. } => {
                "add an archive that holds what is missing, or save the image again"
            }
            Self::Conflict(_) | Self::Refused(_) | Self::ShadowedPlatform(_) => {
                "remove one of the two archives, or give its image another tag"
            }
            Self::Ambiguous { .. } => {
                "ask for it with its host, or give one of the two another name"
            }
        }
    }
}

/// The kind of what is told in any case.
const TOO_MANY: &str = "too-many";
/// Texts of foreign origin are cut to so many bytes.
const MAX_TEXT: usize = 500;

/// The beginning of a text that may be as long as its writer liked.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let boundary = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or_default());
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Of one file at most this many are told: a broken one can have very many.
const MAX_PROBLEMS: usize = 100;

/// Collects the problems of one file.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
    are_passing: bool,
    are_of_change: bool,
}

impl Problems {
    /// No problems of `file` yet.
    pub fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
            are_passing: false,
            are_of_change: false,
        }
    }

    /// Notes a fault of the file as a whole.
    pub fn add(&mut self, fault: &Fault) {
        self.note(fault);
        self.push(Problem::new(&self.file, fault));
    }

    /// Notes a fault of one member.
    pub fn add_in(&mut self, member: &str, fault: &Fault) {
        self.note(fault);
        self.push(Problem::new(&self.file, fault).in_member(member));
    }

    fn note(&mut self, fault: &Fault) {
        self.are_passing |= fault.is_passing();
        self.are_of_change |= matches!(fault, Fault::Changing);
    }

    /// The first ones tell enough; that there is too much of something must be told in any case.
    fn push(&mut self, problem: Problem) {
        let limit = if problem.kind == TOO_MANY {
            2 * MAX_PROBLEMS
        } else {
            MAX_PROBLEMS
        };
        if self.list.len() < limit {
            self.list.push(problem);
        }
    }

    /// Whether the file may be better the next time without having changed.
    pub fn are_passing(&self) -> bool {
        self.are_passing
    }

    /// Whether the file was written to while it was read.
    pub fn are_of_change(&self) -> bool {
        self.are_of_change
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All that were noted, once each.
    pub fn into_vec(mut self) -> Vec<Problem> {
        self.list.sort();
        self.list.dedup();
        self.list
    }
}
