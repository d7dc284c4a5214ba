//! Archives drawn from bytes: tars whose members have the names that readers look for, and whose
//! documents refer to each other by their true digests, or nearly.
//!
//! No mutation of a finished archive finds the digest of a changed document, so without this
//! little but refusals would be tested.

mod documents;
mod text;

use arbitrary::{Result, Unstructured};
use packageorigin::digest::{Algorithm, Digest};

use crate::blocks::{self, BLOCK};

/// Bytes that already are a tar are taken as they are.
pub fn is_tar(bytes: &[u8]) -> bool {
    packageorigin::archive::tar::is_header(bytes)
}

/// The archive that `bytes` are, or that is drawn from them.
pub fn of(bytes: &[u8]) -> Vec<u8> {
    if is_tar(bytes) {
        return bytes.to_vec();
    }
    let mut draft = Draft {
        input: Unstructured::new(bytes),
        tar: Vec::new(),
        blobs: Vec::new(),
        names: Vec::new(),
    };
    // Whatever cannot be drawn any more is left out.
    let _ = draft.draw();
    draft.tar
}

/// At most so many members are drawn.
const MAX_MEMBERS: usize = 48;
/// No member is added behind so many bytes.
const MAX_LENGTH: usize = 4 << 20;
/// The folders that hold a layout.
const FOLDERS: [&str; 6] = ["", "./", "image/", "a/b/", "blobs/", "../"];

/// A blob that was drawn: what documents say of it when they refer to it.
struct Blob {
    digest: Digest,
    size: usize,
}

/// An archive that is being drawn.
struct Draft<'b> {
    input: Unstructured<'b>,
    tar: Vec<u8>,
    blobs: Vec<Blob>,
    /// The names of all members, for links and for `manifest.json`.
    names: Vec<String>,
}

impl Draft<'_> {
    fn draw(&mut self) -> Result<()> {
        for _ in 0..MAX_MEMBERS {
            if self.input.is_empty() || self.tar.len() > MAX_LENGTH {
                break;
            }
            self.member()?;
        }
        self.end()
    }

    fn member(&mut self) -> Result<()> {
        match self.below(25)? {
            0..=7 => self.blob(),
            8..=10 => self.index(),
            11..=12 => self.docker_manifest(),
            13 => self.layout_marker(),
            14..=17 => self.docker_file(),
            18 => self.misnamed_blob(),
            19 => self.link(),
            20 => self.extension(),
            21 => self.repeated(),
            22 => self.large(),
            23 => self.linked_folders(),
            _ => self.any(),
        }
    }

    fn blob(&mut self) -> Result<()> {
        let bytes = self.document()?;
        let algorithm = if self.one_in(16)? {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        let digest = Digest::of(algorithm, &bytes);
        let name = format!(
            "{}blobs/{}",
            self.folder()?,
            digest.to_string().replace(':', "/")
        );
        self.remember(digest, bytes.len());
        self.file(name, &bytes);
        Ok(())
    }

    /// A blob whose bytes are not what its name says.
    fn misnamed_blob(&mut self) -> Result<()> {
        let bytes = self.document()?;
        let digest = self.digest()?;
        let name = format!("{}blobs/{}", self.folder()?, digest.replace(':', "/"));
        self.file(name, &bytes);
        Ok(())
    }

    fn index(&mut self) -> Result<()> {
        let bytes = self.index_document()?;
        let name = format!("{}index.json", self.folder()?);
        self.file(name, &bytes);
        Ok(())
    }

    fn docker_manifest(&mut self) -> Result<()> {
        let bytes = self.docker_document()?;
        let name = format!("{}manifest.json", self.folder()?);
        self.file(name, &bytes);
        Ok(())
    }

    fn layout_marker(&mut self) -> Result<()> {
        let name = format!("{}oci-layout", self.folder()?);
        self.file(name, br#"{"imageLayoutVersion":"1.0.0"}"#);
        Ok(())
    }

    /// A layer or a configuration under one of the names that writers of Docker archives use.
    fn docker_file(&mut self) -> Result<()> {
        let bytes = self.document()?;
        let digest = Digest::sha256(&bytes);
        let text = digest.to_string();
        let hex = text.trim_start_matches("sha256:");
        let name = match self.below(10)? {
            0 => format!("{hex}.json"),
            1 => format!("{hex}.tar"),
            2 => format!("{hex}.tar.gz"),
            3 => format!("{hex}/layer.tar"),
            4 => format!("a{}/layer.tar", &hex[1..]),
            5 => text.clone(),
            6 => "config.json".to_owned(),
            7 => format!("a{}.tar", &hex[1..]),
            8 => "layer.tar".to_owned(),
            _ => format!("sub\\{hex}.json"),
        };
        let folder = self.folder()?;
        self.remember(digest, bytes.len());
        self.file(format!("{folder}{name}"), &bytes);
        Ok(())
    }

    fn link(&mut self) -> Result<()> {
        let kind = if self.input.arbitrary()? { b'1' } else { b'2' };
        let (name, target) = (self.name()?, self.name()?);
        let up = if self.one_in(4)? { "../" } else { "" };
        self.link_to(name, kind, &format!("{up}{target}"));
        Ok(())
    }

    /// Folders that all describe what the root describes.
    fn linked_folders(&mut self) -> Result<()> {
        for number in 0..self.below(32)? {
            for marker in ["index.json", "manifest.json", "oci-layout"] {
                self.link_to(format!("{number}/{marker}"), b'1', marker);
            }
        }
        Ok(())
    }

    fn link_to(&mut self, name: String, kind: u8, target: &str) {
        let mut header = blocks::header(name.as_bytes(), kind, 0);
        let length = target.len().min(100);
        header[157..157 + length].copy_from_slice(&target.as_bytes()[..length]);
        blocks::seal(&mut header);
        blocks::append(&mut self.tar, &header, &[]);
        self.names.push(name);
    }

    /// A header that says something about the next member.
    fn extension(&mut self) -> Result<()> {
        let name = self.name()?;
        let record = |key: &str, value: &str| {
            let rest = key.len() + value.len() + 3;
            let digits = (rest + rest.to_string().len()).to_string().len();
            format!("{} {key}={value}\n", rest + digits)
        };
        let (kind, payload) = match self.below(8)? {
            0..=2 => (b'x', record("path", &name)),
            3 => (
                b'x',
                record("size", &self.input.arbitrary::<u16>()?.to_string()),
            ),
            4 => (b'x', record("linkpath", &name)),
            5 => (b'L', format!("{name}\0")),
            6 => (b'K', format!("{name}\0")),
            _ => (b'g', record("comment", &name)),
        };
        let header = blocks::header(b"extension", kind, payload.len());
        blocks::append(&mut self.tar, &header, payload.as_bytes());
        Ok(())
    }

    /// A second member of a name that is already there.
    fn repeated(&mut self) -> Result<()> {
        let name = self.name()?;
        let bytes = self.document()?;
        self.file(name, &bytes);
        Ok(())
    }

    /// A long document of one piece that is repeated.
    fn large(&mut self) -> Result<()> {
        let bytes = self.large_document()?;
        let digest = Digest::sha256(&bytes);
        let blob = format!("blobs/{}", digest.to_string().replace(':', "/"));
        let name = match self.below(3)? {
            0 => "index.json".to_owned(),
            1 => "manifest.json".to_owned(),
            _ => blob,
        };
        self.remember(digest, bytes.len());
        self.file(name, &bytes);
        Ok(())
    }

    /// A member of any kind and length, without any bytes that follow.
    fn any(&mut self) -> Result<()> {
        let name = self.name()?;
        let size = usize::from(self.input.arbitrary::<u16>()?);
        let header = blocks::header(name.as_bytes(), self.input.arbitrary()?, size);
        blocks::append(&mut self.tar, &header, &[]);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        match self.below(8)? {
            0 => {}
            1 => self.tar.truncate(self.tar.len().saturating_sub(BLOCK / 2)),
            2 => self.tar.extend([0; BLOCK]),
            _ => self.tar.extend([0; 2 * BLOCK]),
        }
        Ok(())
    }

    fn file(&mut self, name: String, bytes: &[u8]) {
        // What does not fit a plain header comes with a long name.
        if name.len() > 100 {
            let header = blocks::header(b"././@LongLink", b'L', name.len());
            blocks::append(&mut self.tar, &header, name.as_bytes());
        }
        let header = blocks::header(name.as_bytes(), b'0', bytes.len());
        blocks::append(&mut self.tar, &header, bytes);
        self.names.push(name);
    }

    fn remember(&mut self, digest: Digest, size: usize) {
        self.blobs.push(Blob { digest, size });
    }

    /// Most layouts lie at the root.
    fn folder(&mut self) -> Result<&'static str> {
        if self.one_in(8)? {
            self.input.choose(&FOLDERS).copied()
        } else {
            Ok("")
        }
    }

    /// The name of a member that is there, or of one that may be meant.
    fn name(&mut self) -> Result<String> {
        const OTHERS: [&str; 6] = [
            "index.json",
            "manifest.json",
            "oci-layout",
            "layer.tar",
            "x/y",
            "",
        ];
        let place = self.below(self.names.len() + OTHERS.len())?;
        Ok(match place.checked_sub(OTHERS.len()) {
            Some(place) => self.names[place].clone(),
            None => OTHERS[place].to_owned(),
        })
    }

    fn below(&mut self, limit: usize) -> Result<usize> {
        self.input.int_in_range(0..=limit - 1)
    }

    /// Rarely true, and never once the input is used up.
    fn one_in(&mut self, limit: u8) -> Result<bool> {
        Ok(self.input.arbitrary::<u8>()? > u8::MAX - u8::MAX / limit)
    }
}
