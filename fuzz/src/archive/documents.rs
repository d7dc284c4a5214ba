//! Documents of a drawn archive: manifests, indexes, configurations, layers.

use arbitrary::Result;
use packageorigin::digest::Digest;
use serde_json::{Map, Value, json};

use super::Draft;

const TYPES: [&str; 12] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "",
];

/// The first bytes of layers in each packing.
const FRONTS: [&[u8]; 7] = [
    b"",
    b"\x1f\x8b\x08\x00",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\x00",
    b"BZh9",
    b"\x04\x22\x4d\x18",
    b"layer",
];

/// The pieces of which long documents are made: what stands before, what is repeated, what stands behind.
const REPEATED: [[&str; 3]; 7] = [
    [r#"{"manifests":["#, "0,", "0]}"],
    [r#"{"manifests":["#, r#"{"digest":"","size":0},"#, "0]}"],
    ["[", "0,", "0]"],
    ["[", r#"{"Config":"config.json","Layers":[]},"#, "0]"],
    [
        r#"{"os":"linux","rootfs":{"diff_ids":["#,
        r#""","#,
        r#"""]}}"#,
    ],
    [r#"{"os":"linux","history":["#, "0,", "0]}"],
    ["", "[", ""],
];

impl Draft<'_> {
    /// A document, or bytes that may pass for a layer.
    pub(super) fn document(&mut self) -> Result<Vec<u8>> {
        match self.below(8)? {
            0..=1 => self.config_document(),
            2..=3 => self.manifest_document(),
            4..=5 => self.index_document(),
            _ => self.layer(),
        }
    }

    pub(super) fn layer(&mut self) -> Result<Vec<u8>> {
        let mut bytes = self.input.choose(&FRONTS)?.to_vec();
        bytes.extend(self.input.arbitrary::<[u8; 2]>()?);
        Ok(bytes)
    }

    fn config_document(&mut self) -> Result<Vec<u8>> {
        let mut config = json!({
            "os": self.input.choose(&["linux", "windows", "unknown", ""])?,
            "architecture": self.input.choose(&["amd64", "arm64", "unknown"])?,
        });
        if self.input.arbitrary()? {
            config["created"] = self
                .input
                .choose(&["2024-01-02T03:04:05Z", "1970-01-01", "now"])?
                .to_owned()
                .into();
        }
        let count = self.below(4)?;
        let layers = (0..count)
            .map(|_| self.digest())
            .collect::<Result<Vec<_>>>()?;
        config["rootfs"] = json!({"type": "layers", "diff_ids": layers});
        self.written(config)
    }

    fn manifest_document(&mut self) -> Result<Vec<u8>> {
        let mut manifest = json!({"schemaVersion": 2, "config": self.descriptor()?});
        let layers = self.descriptors()?;
        manifest["layers"] = layers;
        self.add_type(&mut manifest, 0)?;
        if self.one_in(4)? {
            manifest["subject"] = self.descriptor()?;
        }
        if self.one_in(8)? {
            manifest["artifactType"] = "application/x".into();
            manifest["annotations"] = self.annotations()?;
        }
        self.written(manifest)
    }

    pub(super) fn index_document(&mut self) -> Result<Vec<u8>> {
        let mut index = json!({"schemaVersion": 2, "manifests": self.descriptors()?});
        self.add_type(&mut index, 1)?;
        if self.one_in(8)? {
            index["subject"] = self.descriptor()?;
        }
        self.written(index)
    }

    /// `manifest.json` of a Docker archive.
    pub(super) fn docker_document(&mut self) -> Result<Vec<u8>> {
        let count = self.below(4)?;
        let items = (0..count)
            .map(|_| self.item())
            .collect::<Result<Vec<_>>>()?;
        let items = self.multiplied(items)?;
        self.written(Value::Array(items))
    }

    fn item(&mut self) -> Result<Value> {
        let config = self.name()?;
        let count = self.below(4)?;
        let layers = (0..count)
            .map(|_| self.name())
            .collect::<Result<Vec<_>>>()?;
        let mut item = json!({"Config": config, "Layers": layers});
        if self.input.arbitrary()? {
            item["RepoTags"] = json!([self.image_name()?]);
        }
        Ok(item)
    }

    /// A long document: one piece, very often.
    pub(super) fn large_document(&mut self) -> Result<Vec<u8>> {
        let [front, piece, back] = self.input.choose(&REPEATED)?;
        let length = usize::from(self.input.arbitrary::<u8>()?) << 11;
        Ok([front, &*piece.repeat(length / piece.len()), back]
            .concat()
            .into_bytes())
    }

    fn descriptors(&mut self) -> Result<Value> {
        let count = self.below(5)?;
        let descriptors = (0..count)
            .map(|_| self.descriptor())
            .collect::<Result<Vec<_>>>()?;
        Ok(Value::Array(self.multiplied(descriptors)?))
    }

    /// Sometimes the same again and again: a small archive can ask for much work.
    fn multiplied(&mut self, values: Vec<Value>) -> Result<Vec<Value>> {
        if !self.one_in(32)? {
            return Ok(values);
        }
        let times = usize::from(self.input.arbitrary::<u8>()? / 4);
        Ok(values
            .iter()
            .cycle()
            .take(values.len() * times)
            .cloned()
            .collect())
    }

    fn descriptor(&mut self) -> Result<Value> {
        let place = self.below(self.blobs.len() + 1)?;
        let (digest, size) = match self.blobs.get(place) {
            Some(blob) => (blob.digest.to_string(), blob.size),
            None => (self.digest()?, 2),
        };
        let size = if self.one_in(16)? { size + 1 } else { size };
        let mut descriptor = json!({"digest": digest, "size": size});
        if self.input.arbitrary()? {
            descriptor["mediaType"] = (*self.input.choose(&TYPES)?).into();
        }
        if self.one_in(4)? {
            descriptor["annotations"] = self.annotations()?;
        }
        if self.one_in(8)? {
            descriptor["platform"] = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
        }
        if self.one_in(16)? {
            descriptor["urls"] = json!(["https://example.com/layer"]);
        }
        Ok(descriptor)
    }

    /// The digest of a blob that is there, or one that nothing has.
    pub(super) fn digest(&mut self) -> Result<String> {
        const OTHERS: [&str; 4] = [
            "",
            "sha256:00",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "SHA256:x",
        ];
        let place = self.below(self.blobs.len() + OTHERS.len() + 1)?;
        Ok(match place.checked_sub(OTHERS.len()) {
            Some(place) => match self.blobs.get(place) {
                Some(blob) => blob.digest.to_string(),
                None => Digest::sha256(b"nothing").to_string(),
            },
            None => OTHERS[place].to_owned(),
        })
    }

    fn annotations(&mut self) -> Result<Value> {
        const KEYS: [&str; 6] = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
            "containerd.io/distribution.source.ghcr.io",
            "io.containerd.manifest.subject",
            "kind",
            "other",
        ];
        let mut annotations = Map::new();
        for _ in 0..=self.below(2)? {
            let key = *self.input.choose(&KEYS)?;
            annotations.insert(key.to_owned(), self.image_name()?.into());
        }
        Ok(annotations.into())
    }

    fn image_name(&mut self) -> Result<String> {
        const NAMES: [&str; 10] = [
            "docker.io/library/app:1",
            "ghcr.io/acme/app:2",
            "ghcr.io/acme/app",
            "app",
            "1.0",
            "localhost/app:dev",
            "<none>:<none>",
            "acme/Bad Name:1",
            "acme/app",
            "dev.cosignproject.cosign/sigs",
        ];
        let name = *self.input.choose(&NAMES)?;
        Ok(if self.one_in(16)? {
            format!("{name}@{}", self.digest()?)
        } else {
            name.to_owned()
        })
    }

    /// The media type of the OCI document or the Docker document, another one, or none.
    fn add_type(&mut self, document: &mut Value, own: usize) -> Result<()> {
        let place = match self.below(8)? {
            0..=2 => own,
            3..=4 => own + 5,
            5 => self.below(TYPES.len())?,
            _ => return Ok(()),
        };
        document["mediaType"] = TYPES[place].into();
        Ok(())
    }

    /// The text of a document, in which sometimes a value is another or the text is spoiled.
    fn written(&mut self, mut document: Value) -> Result<Vec<u8>> {
        if self.one_in(8)? {
            self.replace_value(&mut document)?;
        }
        let mut text = document.to_string().into_bytes();
        if self.one_in(16)? {
            self.spoil(&mut text)?;
        }
        Ok(text)
    }
}
