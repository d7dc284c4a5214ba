"""Makes a great many archives, as several tools write them, for the catalog to be measured with.

What an archive holds depends on its number and on the seed alone, never on how many processes write. Manifests, indexes
and configurations have true digests, because the server hashes them. Layers have names by chance: a name is only a claim.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from archives import INDEX_TYPE, MANIFEST_TYPE, OCI_LAYOUT, Blob, Image, Tar, image, in_memory, index_of, named
from harness import KIB, SEED

#: Archives in one folder.
FOLDER = 100
#: Every other layer is one block, the rest are holes, so that headers lie apart as in real archives.
SMALL_LAYER, LARGE_LAYER = 512, 64 * KIB
#: So many layers are at the bottom of images in many archives, one in each.
BASES = 100
PLATFORMS = [
    {"architecture": "amd64", "os": "linux"},
    {"architecture": "arm64", "os": "linux"},
    {"architecture": "arm", "variant": "v7", "os": "linux"},
    {"architecture": "arm", "variant": "v6", "os": "linux"},
    {"architecture": "386", "os": "linux"},
    {"architecture": "ppc64le", "os": "linux"},
    {"architecture": "s390x", "os": "linux"},
    {"architecture": "riscv64", "os": "linux"},
]
HOSTS = ["registry.example.com", "ghcr.io", "docker.io"]
#: The mixture in words, for the report.
DESCRIPTION = (
    "Of ten archives five are OCI layouts with indexes of eight platforms (one for each hundred members), three are OCI layouts with "
    "images of some 22 layers, one is what Docker writes since 25 (an image layout and `manifest.json`), and one what it wrote before "
    "(`ID/layer.tar`). Every other layer is 512 bytes, the others are holes of 64 KiB. No two archives are the same. Each holds one of a "
    "hundred base layers that others hold too; all else is in one archive. Five archives in a row are versions of one repository. Of a "
    "hundred, one has the name and tag of the archive before it, and one has these for another platform."
)


@dataclasses.dataclass(frozen=True)
class Shape:
    """How many archives there are, of how many members each, and of how many layers one is named by SHA-512."""

    archives: int
    members: int
    sha512_every: int | None = None


@dataclasses.dataclass
class Counts:
    """What was made."""

    archives: int = 0
    members: int = 0
    #: Digests that an archive holds, over all archives.
    blobs: int = 0
    sha512: int = 0
    #: Manifests and indexes, with those that are made because an archive keeps none.
    documents: int = 0
    names: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))


def make(folder: pathlib.Path, shape: Shape) -> Counts:
    """Writes the archives of `shape`, in folders of a hundred."""
    folders = range(0, shape.archives, FOLDER)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(functools.partial(make_folder, folder, shape), folders), Counts())


def make_folder(root: pathlib.Path, shape: Shape, first: int) -> Counts:
    """Runs in a process of its own: writes the archives of one folder."""
    counts = Counts()
    for number in range(first, min(first + FOLDER, shape.archives)):
        path = place(root, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        counts += write(path, shape, number)
    return counts


def place(root: pathlib.Path, number: int) -> pathlib.Path:
    """Where an archive lies."""
    return root / f"{number // FOLDER:03}" / f"app-{number:05}.tar"


def write(path: pathlib.Path, shape: Shape, number: int, edition: int = 0) -> Counts:
    """Writes one archive. Another `edition` of it has the same names and shape, and no blob of it but the base layer."""
    with path.open("wb") as out:
        archive = Archive(Tar(out), shape, number, edition)
        archive.kind()(archive)
        archive.tar.close()
    return archive.counts


def name(number: int, nth: int = 0) -> tuple[str, str, str]:
    """Host, path and tag of the image `nth` of an archive."""
    if number % 100 in (1, 6):
        number -= 1
    part = f"-part-{nth}" if nth else ""
    return HOSTS[number // 5 % len(HOSTS)], f"team-{number // 500:02}/app-{number // 5:04}{part}", f"1.{number % 5}.0"


def manifest_path(number: int) -> str:
    """Where the first image of an archive is asked for."""
    host, path, tag = name(number)
    return f"/v2/{host}/{path}/manifests/{tag}"


class Archive:
    """One archive while it is written."""

    def __init__(self, tar: Tar, shape: Shape, number: int, edition: int) -> None:
        self.tar, self.shape, self.number = tar, shape, number
        self.numbers = random.Random(f"{SEED} {number} {edition}")
        self.created = f"2026-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}T00:00:00Z"
        self.counts = Counts(archives=1)
        self.layers_made = 0

    def kind(self) -> Callable[[Archive], None]:
        """Which tool would have written it."""
        kinds = [Archive.indexes] * 5 + [Archive.images] * 3 + [Archive.docker, Archive.old_docker]
        return kinds[self.number % len(kinds)]

    # What tools write

    def indexes(self) -> None:
        """An OCI layout of indexes with all platforms, or of one image where that is too much."""
        bundles = self.counts.names = max(1, self.shape.members // 100)
        platforms = PLATFORMS if self.shape.members >= 100 else PLATFORMS[:1]
        documents = bundles * (2 * len(platforms) + (len(platforms) > 1))
        layers = self.shares(self.shape.members - 4 - documents, bundles * len(platforms))
        self.blob_folders()
        entries = []
        for nth in range(bundles):
            images = [self.image(next(layers), platform) for platform in platforms]
            entries.append(named(self.root(images, platforms), self.full_name(nth)))
        self.layout_end(entries)

    def images(self) -> None:
        """An OCI layout of images for one platform."""
        images = self.counts.names = max(1, self.shape.members // 25)
        layers = self.shares(self.shape.members - 4 - 2 * images, images)
        # The sixth of a hundred is what the fifth is, for another platform.
        platform = PLATFORMS[self.number % 100 == 6]
        self.blob_folders()
        made = [self.image(next(layers), platform) for _ in range(images)]
        self.layout_end([self.entry(made_of, nth) for nth, made_of in enumerate(made)])

    def docker(self) -> None:
        """What Docker writes since version 25: a layout that is described twice."""
        images = self.counts.names = max(1, self.shape.members // 50)
        layers = self.shares(self.shape.members - 5 - 2 * images, images)
        self.blob_folders()
        entries, items = [], []
        for nth in range(images):
            blobs = self.layers(next(layers))
            made_of = self.stored(image(blobs, self.created))
            entries.append(self.entry(made_of, nth))
            items.append(self.item(made_of.config.member(), [blob.member() for blob in blobs], nth))
        self.layout_end(entries)
        self.add("manifest.json", json.dumps(items).encode())

    def old_docker(self) -> None:
        """What Docker wrote before: layers in folders whose names are no digests, and no manifests."""
        images = self.counts.names = max(1, self.shape.members // 50)
        layers = self.shares((self.shape.members - 2 - images) // 4, images)
        items = []
        for nth in range(images):
            blobs = [self.layer("sha256") for _ in range(next(layers))]
            members = [self.old_layer(blob) for blob in blobs]
            config = image(blobs, self.created)
            self.add(f"{config.config.digest[7:]}.json", config.config_bytes)
            self.counts += Counts(blobs=1, documents=1)
            items.append(self.item(f"{config.config.digest[7:]}.json", members, nth))
        self.add("manifest.json", json.dumps(items).encode())
        self.add("repositories", b"{}")

    # Parts

    def old_layer(self, blob: Blob) -> str:
        """The folder of a layer, and the name of the layer in it."""
        folder = self.numbers.randbytes(32).hex() + "/"
        self.tar.folder(folder)
        self.counts.members += 1
        self.add(folder + "VERSION", b"1.0")
        self.add(folder + "json", json.dumps({"id": folder[:-1], "created": self.created}).encode())
        self.add_layer(folder + "layer.tar", blob)
        return folder + "layer.tar"

    def image(self, layers: int, platform: dict) -> Image:
        """An image and all its blobs."""
        return self.stored(image(self.layers(layers), self.created, platform))

    def stored(self, made_of: Image) -> Image:
        """Writes the documents of an image."""
        for member, data in made_of.documents():
            self.add(member, data)
        self.counts += Counts(blobs=2, documents=1)
        return made_of

    def root(self, images: list[Image], platforms: list[dict]) -> dict:
        """Describes the index of `images`, which it writes, or the only one of them."""
        entries = [made_of.manifest.descriptor(MANIFEST_TYPE) for made_of in images]
        if len(images) == 1:
            return entries[0]
        blob, data = in_memory(index_of([entry | {"platform": platform} for entry, platform in zip(entries, platforms)]))
        self.add(blob.member(), data)
        self.counts += Counts(blobs=1, documents=1)
        return blob.descriptor(INDEX_TYPE)

    def layers(self, count: int) -> list[Blob]:
        """Layers of an image layout."""
        return [self.add_layer(blob.member(), blob) for blob in (self.layer(self.algorithm()) for _ in range(count))]

    def layer(self, algorithm: str) -> Blob:
        """The next layer. The first of an archive is one that others have too."""
        self.layers_made += 1
        if self.layers_made == 1:
            base = f"base {self.number % BASES}".encode()
            return Blob("sha256:" + hashlib.sha256(base).hexdigest(), LARGE_LAYER)
        length = 64 if algorithm == "sha512" else 32
        size = LARGE_LAYER if self.layers_made % 2 else SMALL_LAYER
        return Blob(f"{algorithm}:{self.numbers.randbytes(length).hex()}", size)

    def algorithm(self) -> str:
        """By which algorithm the next layer is named."""
        every = self.shape.sha512_every
        return "sha512" if every and (self.layers_made + 1) % every == 0 else "sha256"

    def add_layer(self, member: str, blob: Blob) -> Blob:
        """Writes a layer: nothing but zeros."""
        self.tar.add_with_hole(member, b"", blob.size)
        self.counts.members += 1
        self.counts.blobs += 1
        self.counts.sha512 += blob.digest.startswith("sha512")
        return blob

    def add(self, member: str, data: bytes) -> None:
        """Writes a small member."""
        self.tar.add(member, data)
        self.counts.members += 1

    def blob_folders(self) -> None:
        """The folders of a layout are members as well."""
        for folder in ("blobs/", "blobs/sha256/"):
            self.tar.folder(folder)
        self.counts.members += 2

    def layout_end(self, entries: list[dict]) -> None:
        """What makes a layout of blobs."""
        self.add("index.json", json.dumps(index_of(entries)).encode())
        self.add(*OCI_LAYOUT)

    def entry(self, made_of: Image, nth: int) -> dict:
        """What `index.json` says about an image."""
        return named(made_of.manifest.descriptor(MANIFEST_TYPE), self.full_name(nth))

    def item(self, config: str, layers: list[str], nth: int) -> dict:
        """What `manifest.json` says about an image."""
        return {"Config": config, "RepoTags": [self.full_name(nth)], "Layers": layers}

    def full_name(self, nth: int) -> str:
        """The name of the image `nth`."""
        host, path, tag = name(self.number, nth)
        return f"{host}/{path}:{tag}"

    @staticmethod
    def shares(total: int, parts: int) -> Iterator[int]:
        """Divides `total` into `parts` that differ by one at most."""
        return (total * (part + 1) // parts - total * part // parts for part in range(parts))
