"""Writes image archives: tars in the OCI layout, and what images in them consist of."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
from typing import BinaryIO

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
#: The member that says that a tar is an image layout.
OCI_LAYOUT = ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')


@dataclasses.dataclass(frozen=True)
class Blob:
    """A blob as a manifest describes it."""

    digest: str
    size: int

    def descriptor(self, media_type: str) -> dict:
        """What a manifest says about it."""
        return {"mediaType": media_type, "digest": self.digest, "size": self.size}

    def member(self) -> str:
        """Its name in an image layout."""
        return f"blobs/{self.digest.replace(':', '/')}"


@dataclasses.dataclass(frozen=True)
class Image:
    """The documents of an image for one platform."""

    manifest: Blob
    manifest_bytes: bytes
    config: Blob
    config_bytes: bytes

    def documents(self) -> list[tuple[str, bytes]]:
        """Both as members of an image layout."""
        return [(self.manifest.member(), self.manifest_bytes), (self.config.member(), self.config_bytes)]


def in_memory(value: dict) -> tuple[Blob, bytes]:
    """JSON and what describes it."""
    data = json.dumps(value).encode()
    return Blob("sha256:" + hashlib.sha256(data).hexdigest(), len(data)), data


def image(layers: list[Blob], created: str, platform: dict | None = None) -> Image:
    """An image with `layers`, for amd64 if no `platform` is given."""
    platform = platform or {"architecture": "amd64", "os": "linux"}
    diffs = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    config, config_bytes = in_memory({"created": created, **platform, "config": {"Cmd": ["/app"]}, "rootfs": diffs})
    manifest, manifest_bytes = in_memory(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(CONFIG_TYPE),
            "layers": [layer.descriptor(LAYER_TYPE) for layer in layers],
        }
    )
    return Image(manifest, manifest_bytes, config, config_bytes)


def index_of(entries: list[dict]) -> dict:
    """An index, which is also what `index.json` of a layout is."""
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}


def named(descriptor: dict, name: str) -> dict:
    """The entry of `index.json` for an image with a name."""
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}
    return descriptor | {"annotations": annotations}


def index(manifest: Blob, name: str) -> bytes:
    """The `index.json` of a layout that holds one image."""
    return json.dumps(index_of([named(manifest.descriptor(MANIFEST_TYPE), name)])).encode()


HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
#: Names and sizes beyond these do not fit into a header.
MAX_NAME, MAX_SIZE = 100, 8**11


def header_block(name: bytes, size: int, kind: bytes) -> bytes:
    """One block of a tar. `tarfile` takes a millisecond for it, this some microseconds."""
    mode = b"0000755" if kind == b"5" else b"0000644"
    none = b"0000000"
    block = HEADER.pack(name, mode, none, none, b"%011o" % size, b"%011o" % 0, b" " * 8, kind, b"", b"ustar\x0000", b"", b"", none, none, b"")
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def pax_record(key: bytes, value: bytes) -> bytes:
    """A record of a pax header, which begins with its own length."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d%b" % (length, rest)


class Tar:
    """Writes a tar, and leaves a hole where a layer is empty. What does not fit into a header is told by a pax header, as Go's writer does."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out

    def header(self, name: str, size: int, kind: bytes = b"0") -> None:
        """Begins a member, whose bytes the caller writes."""
        encoded = name.encode()
        records = pax_record(b"path", encoded) if len(encoded) > MAX_NAME else b""
        if size >= MAX_SIZE:
            records += pax_record(b"size", b"%d" % size)
        if records:
            self.out.write(header_block(b"PaxHeaders.0/member", len(records), b"x"))
            self.out.write(records)
            self.pad(len(records))
        self.out.write(header_block(encoded[:MAX_NAME], size if size < MAX_SIZE else 0, kind))

    def pad(self, size: int) -> None:
        """Ends a member of `size` bytes."""
        self.out.write(bytes(-size % 512))

    def folder(self, name: str) -> None:
        """A folder, whose name ends in a slash."""
        self.header(name, 0, b"5")

    def add(self, name: str, data: bytes) -> None:
        """A member whose bytes are at hand."""
        self.header(name, len(data))
        self.out.write(data)
        self.pad(len(data))

    def add_with_hole(self, name: str, front: bytes, size: int) -> None:
        """A member of `size` bytes that are zeros after `front`; takes no space for them."""
        self.header(name, size)
        self.out.write(front)
        self.out.seek(size - len(front), io.SEEK_CUR)
        self.pad(size)

    def close(self) -> None:
        """Writes the end of the tar."""
        self.out.write(bytes(1024))
