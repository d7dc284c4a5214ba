#!/usr/bin/env python3
"""Measures what hashing costs Package Origin: all of it at once, on the way to a client, and what an unchanged folder costs.

One run makes archives in a temporary folder, has `packageorigin verify` hash them in turn with the hash crate by itself, pulls
a layer that nobody has hashed yet, has a server look again at many files, and writes a Markdown report.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import mixture
from archives import OCI_LAYOUT, Blob, Tar, image, index
from harness import GIB, KIB, MIB, PATIENCE, Server, burst, cpu_of, first_line, goal_table, look, machine, origin, progress, run, settle, table, version

#: The goals: so much of the crate's time may be spent besides, and a blob is hashed so often however many want it.
MAX_BESIDE, MAX_HASHED = 1.10, 1.5
#: An unchanged file is not opened; folders are.
MAX_OPENED = 0.05
#: Of the many archives each has so many.
MEMBERS = 10
#: Rounds that differ by more than this factor say that the machine was busy.
NOISY = 1.3
REPOSITORY = "bench/app"
HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Shape:
    """Archives: of each the lengths of its layers, in MiB."""

    label: str
    archives: tuple[tuple[int, ...], ...]

    def size(self) -> int:
        """Bytes of all layers."""
        return sum(map(sum, self.archives)) * MIB


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done."""

    #: As a shelf is, and one layer alone, which only one core can hash.
    mixed: Shape
    alone: Shape
    #: The layer that is pulled, in MiB, and by how many clients at once.
    layer: int
    clients: int
    files: int
    rounds: int
    #: Goals are meant for the full run.
    is_full: bool


FULL = Plan(
    mixed=Shape("2 GiB in 12 archives", ((512,), (128,) * 4, *((32,) * 4,) * 4, *((8,) * 12,) * 4, *((1,) * 64,) * 2)),
    alone=Shape("one layer of 1 GiB", ((1024,),)),
    layer=1024,
    clients=100,
    files=10_000,
    rounds=9,
    is_full=True,
)
QUICK = Plan(
    mixed=Shape("128 MiB in 5 archives", ((32,), (8,) * 4, *((4,) * 4,) * 2, (1,) * 32)),
    alone=Shape("one layer of 64 MiB", ((64,),)),
    layer=32,
    clients=20,
    files=1_000,
    rounds=2,
    is_full=False,
)


# Data


class Layers:
    """Makes layers, no two of which are the same. What is in them does not matter to a hash, so most of it repeats."""

    def __init__(self) -> None:
        self.made = 0
        self.rest = hashlib.shake_128(b"layers").digest(MIB)[16:]

    def pieces(self, number: int, size: int) -> Iterator[bytes]:
        """The bytes of a layer of `size` MiB."""
        return (struct.pack(">QQ", number, at) + self.rest for at in range(size))

    def write(self, path: pathlib.Path, sizes: tuple[int, ...], name: str) -> list[Blob]:
        """Writes an archive with layers of these sizes, and gives them."""
        numbers = range(self.made, self.made + len(sizes))
        self.made += len(sizes)
        layers = []
        for number, size in zip(numbers, sizes):
            hasher = hashlib.sha256()
            for piece in self.pieces(number, size):
                hasher.update(piece)
            layers.append(Blob("sha256:" + hasher.hexdigest(), size * MIB))
        made_of = image(layers, "2026-01-01T00:00:00Z")
        with path.open("wb") as out:
            tar = Tar(out)
            for member, data in (OCI_LAYOUT, ("index.json", index(made_of.manifest, name)), *made_of.documents()):
                tar.add(member, data)
            for number, layer in zip(numbers, layers):
                tar.header(layer.member(), layer.size)
                out.writelines(self.pieces(number, layer.size // MIB))
            tar.close()
        return layers


def make_shape(folder: pathlib.Path, shape: Shape, layers: Layers) -> pathlib.Path:
    """Writes the archives of a shape into a folder."""
    progress(f"making {shape.label}")
    folder.mkdir()
    for number, sizes in enumerate(shape.archives):
        layers.write(folder / f"{number:02}.tar", sizes, f"localhost/{REPOSITORY}:{number}")
    return folder


# The crate by itself


@dataclasses.dataclass(frozen=True)
class Took:
    """Seconds by the clock and of CPU that something took, and for how many bytes."""

    seconds: float
    cpu: float
    size: int

    def speed(self) -> float:
        """GiB a second."""
        return self.size / GIB / self.seconds

    def cost(self) -> float:
        """Seconds of CPU for one GiB."""
        return self.cpu / (self.size / GIB)


class Crate:
    """The program of `load/hashing/`, which hashes when it is told to."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def hash(self, threads: int, size: int, path: pathlib.Path | None = None) -> Took:
        """Has it hash `size` bytes of its memory, or of a file, on so many threads."""
        before = cpu_of(self.process.pid)
        self.process.stdin.write(f"{threads} {size}{f' {path}' if path else ''}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the program of load/hashing has ended")
        return Took(float(answer), cpu_of(self.process.pid) - before, size)


@contextlib.contextmanager
def crate() -> Iterator[Crate]:
    """Builds and runs the program that uses the crate alone."""
    if sha2_version(HERE / "hashing") != sha2_version(HERE.parent):
        raise SystemExit("load/hashing/Cargo.lock has another version of sha2 than Cargo.lock: run `cargo update -p sha2` there")
    progress("building load/hashing")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")).resolve() / "hashing"
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", str(HERE / "hashing/Cargo.toml"), "--target-dir", str(target)]
    subprocess.run(command, check=True)
    process = subprocess.Popen([str(target / "release/packageorigin-hashing")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Crate(process)
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()


def sha2_version(package: pathlib.Path) -> str:
    """The version of the hash crate that a package has locked."""
    return re.search(r'name = "sha2"\nversion = "([^"]+)"', (package / "Cargo.lock").read_text())[1]


# Verifying


def verify(binary: pathlib.Path, folder: pathlib.Path, size: int) -> Took:
    """Runs `verify` on a folder of which all is in the page cache."""
    began = time.monotonic()
    process = subprocess.Popen([str(binary), "verify", str(folder)], stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or "nothing is damaged or missing" not in said:
        raise SystemExit(f"verify ended with {process.returncode}:\n{said}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, size)


@dataclasses.dataclass(frozen=True)
class Compared:
    """Rounds of the program and of the crate, one after the other."""

    shape: Shape
    threads: int
    ours: list[Took]
    theirs: list[Took]
    #: What the crate does with bytes that it has to read: no program that reads files can do better.
    reading: list[Took]

    def ratio(self) -> float:
        """Our time to that of the crate, as the median over the rounds."""
        return statistics.median(ours.seconds / theirs.seconds for ours, theirs in zip(self.ours, self.theirs))

    def cost_ratio(self) -> float:
        """The same of CPU."""
        return statistics.median(ours.cpu / theirs.cpu for ours, theirs in zip(self.ours, self.theirs))

    def beside_reading(self) -> float:
        """Our CPU to that of the crate where it reads as well."""
        return statistics.median(ours.cpu / theirs.cpu for ours, theirs in zip(self.ours, self.reading))

    def spread(self) -> float:
        """How much the rounds of the one that differ most differ."""
        return max(max(took.seconds for took in rounds) / min(took.seconds for took in rounds) for rounds in (self.ours, self.theirs))


def compare(binary: pathlib.Path, folder: pathlib.Path, shape: Shape, threads: int, plan: Plan, bench: Crate) -> Compared:
    """Verifies and hashes in turn, after a first time that warms the page cache."""
    verify(binary, folder, shape.size())
    compared = Compared(shape, threads, [], [], [])
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    for number in range(plan.rounds):
        compared.ours.append(verify(binary, folder, shape.size()))
        compared.theirs.append(bench.hash(threads, shape.size()))
        compared.reading.append(bench.hash(threads, shape.size(), largest))
        progress(f"{shape.label}, round {number + 1}: {compared.ours[-1].speed():.2f} and {compared.theirs[-1].speed():.2f} GiB/s")
    return compared


# Pulling


def pull(port: int, path: str) -> int:
    """Gets a blob and drops it, and gives its length."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        # One buffer that stays in the processor's cache.
        space, head, got = bytearray(128 * KIB), b"", 0
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096) or fail(f"no answer to {path}")
        head, front = head.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            fail(f"unexpected answer to {path}: {head!r}")
        got = len(front)
        while taken := connection.recv_into(space):
            got += taken
    if got != int(length[1]):
        fail(f"{path} was cut short: {got} of {int(length[1])} bytes")
    return got


def fail(why: str) -> NoReturn:
    """Ends a pull."""
    raise ConnectionError(why)


@dataclasses.dataclass(frozen=True)
class Pull:
    """Seconds of the server's CPU for one layer: of a first pull, of one that was hashed, and of hashing it by the crate."""

    first: float
    verified: float
    crate: float

    def ratio(self) -> float:
        """What the first one costs to hashing once and sending once."""
        return self.first / (self.crate + self.verified)


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Many clients that want one layer which nobody has hashed: how often it was hashed, and the seconds of CPU."""

    hashed: float
    cpu: float


@contextlib.contextmanager
def fresh(binary: pathlib.Path, root: pathlib.Path) -> Iterator[Server]:
    """A server that has hashed nothing and is idle."""
    with origin(binary, [root]) as server:
        settle(server)
        yield server


def cpu_of_pull(server: Server, path: str) -> float:
    """Seconds of the server's CPU for one pull, and for whatever it does because of that."""
    before = server.cpu()
    pull(server.port, path)
    settle(server)
    return server.cpu() - before


def pulls(binary: pathlib.Path, folder: pathlib.Path, path: str, plan: Plan, bench: Crate) -> list[Pull]:
    """First pulls, each of a server that was just started, and second ones."""
    measured = []
    for number in range(plan.rounds):
        with fresh(binary, folder) as server:
            first, verified = cpu_of_pull(server, path), cpu_of_pull(server, path)
        measured.append(Pull(first, verified, bench.hash(1, plan.layer * MIB).cpu))
        progress(f"pull {number + 1}: {first:.2f} s, then {verified:.2f} s; the crate {measured[-1].crate:.2f} s")
    return measured


def crowd(binary: pathlib.Path, folder: pathlib.Path, path: str, plan: Plan) -> Crowd:
    """All clients at once. What the server reads beside what it sends, it hashes."""
    size, clients = plan.layer * MIB, plan.clients
    progress(f"{clients} clients at once")
    with fresh(binary, folder) as server, ThreadPoolExecutor(clients) as pool:
        read, cpu = server.sum_of("io", "rchar"), server.cpu()
        moved = sum(pool.map(pull, [server.port] * clients, [path] * clients))
        settle(server)
        read, cpu = server.sum_of("io", "rchar") - read, server.cpu() - cpu
    return Crowd((read - moved) / size, cpu)


# Looking again


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at files of which none has changed: seconds of CPU, and how often each system call was made while it was traced."""

    cpu: list[float]
    calls: dict[str, int] | None


def looks(binary: pathlib.Path, folder: pathlib.Path, refresh: str, plan: Plan) -> Look:
    """Has a server look again, while nothing else makes it look."""
    with origin(binary, [folder], "--refresh", refresh) as server:
        settle(server)
        return Look([burst(server, look) for _ in range(plan.rounds)], traced(server))


def traced(server: Server) -> dict[str, int] | None:
    """The system calls of one look; none where strace is not installed or may not look on."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as counts:
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", counts.name, "-p", str(server.process.pid)]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            if " attached" not in strace.stderr.readline():
                return None
            burst(server, look)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(PATIENCE)
            strace.stderr.close()
        rows = (re.fullmatch(r" *(\d+) +(\w+) *", line.rstrip("\n")) for line in counts)
        return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}


# The report


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured in one run."""

    plan: Plan
    mixed: Compared
    alone: Compared
    pulls: list[Pull]
    crowd: Crowd
    #: By what `--refresh` was told.
    looks: dict[str, Look]
    load: tuple[float, float]

    def opened(self) -> float | None:
        """How many files were opened for each that there is, at most."""
        calls = [one.calls for one in self.looks.values() if one.calls]
        opening = [sum(counts.get(name, 0) for name in ("open", "openat", "openat2")) for counts in calls]
        return (max(opening) - folders(self.plan)) / self.plan.files if opening else None


def folders(plan: Plan) -> int:
    """How many folders the files lie in, and the one around them."""
    return plan.files // mixture.FOLDER + 1


def within(values: list[float], digits: int = 2) -> str:
    """The median and the range behind it."""
    return f"**{statistics.median(values):.{digits}f}** ({min(values):.{digits}f} to {max(values):.{digits}f})"


def goals(results: Results) -> str:
    """What is aimed at."""
    first, opened = statistics.median(one.ratio() for one in results.pulls), results.opened()
    return goal_table(
        [
            (
                "`verify` within 10 % of the hash crate on all cores, over bytes in memory",
                f"{results.mixed.ratio():.2f} × (median)",
                results.mixed.ratio() <= MAX_BESIDE,
            ),
            (
                "a first pull costs the CPU of hashing it once, by the crate, and sending it once; within 10 %",
                f"{first:.2f} × (median)",
                first <= MAX_BESIDE,
            ),
            (
                f"{results.plan.clients} clients at once have it hashed once",
                f"{results.crowd.hashed:.2f} times",
                results.crowd.hashed < MAX_HASHED,
            ),
            (
                "of an unchanged folder no file is opened",
                "no strace here" if opened is None else f"{opened:.4f} a file",
                None if opened is None else opened < MAX_OPENED,
            ),
        ]
    )


def comparison(results: Results) -> str:
    """The program and the crate beside each other."""
    rows = []
    for one in (results.mixed, results.alone):
        threads = "1 thread" if one.threads == 1 else f"{one.threads} threads"
        measured = (
            ("`verify`", one.ours, "", ""),
            (f"the crate, {threads}, memory", one.theirs, f"{one.ratio():.2f}", f"{one.cost_ratio():.2f}"),
            (f"the crate, {threads}, reading a file", one.reading, "", f"{one.beside_reading():.2f}"),
        )
        for who, rounds, ratio, cost in measured:
            speed, cpu = within([took.speed() for took in rounds]), within([took.cost() for took in rounds], 3)
            rows.append([one.shape.label, who, speed, cpu, ratio, cost])
    return table(["", "", "GiB a second", "CPU seconds for a GiB", "`verify` takes so many times as long", "and as much CPU"], rows)


def pull_table(results: Results) -> str:
    """What a pull costs the server."""
    rows = [
        ["a first pull", within([one.first for one in results.pulls])],
        ["a pull of what was hashed", within([one.verified for one in results.pulls])],
        ["hashing it by the crate", within([one.crate for one in results.pulls])],
        ["the first to the sum of the other two", within([one.ratio() for one in results.pulls])],
    ]
    expected = statistics.median(one.crate for one in results.pulls) + results.plan.clients * statistics.median(one.verified for one in results.pulls)
    rows.append([f"{results.plan.clients} first pulls at once", f"**{results.crowd.cpu:.2f}** (hashing once and sending {results.plan.clients} times: {expected:.2f})"])
    return table([f"CPU seconds for a layer of {results.plan.layer} MiB", "median (range)"], rows)


def look_table(results: Results) -> str:
    """What an unchanged folder costs."""
    files = results.plan.files
    rows = []
    for refresh, one in results.looks.items():
        calls = sum(one.calls.values()) if one.calls else None
        rows.append(
            [
                f"`--refresh {refresh}`",
                within([value * 1000 for value in one.cpu], 1) + " ms",
                f"{statistics.median(one.cpu) / files * 1e6:.2f} µs",
                f"{calls / files:.2f}" if calls else "–",
                ", ".join(f"{count:,} {name}" for name, count in sorted(one.calls.items(), key=lambda known: -known[1])[:8]) if one.calls else "–",
            ]
        )
    return table(["", "CPU for all", "CPU for a file", "system calls for a file", "the most frequent ones"], rows)


def circumstances(results: Results, binary: pathlib.Path) -> str:
    """What is needed to judge the numbers, and to get them again."""
    plan = results.plan
    noisy = [one.shape.label for one in (results.mixed, results.alone) if one.spread() > NOISY]
    lines = [
        f"Machine: {machine()}; load average {results.load[0]:.1f} before, {results.load[1]:.1f} after.",
        f"Versions: {version(binary)}, {first_line(['cargo', '--version'])}, sha2 {sha2_version(HERE.parent)}, {first_line(['strace', '-V'])}, Python {platform.python_version()}.",
        f"Archives: OCI layouts, all in the page cache. {plan.mixed.label}: {', '.join(described(plan.mixed))}. The crate hashes as many bytes, 512 MiB of memory over and over, "
        "on so many threads, each the same share, of which it is fed all at once. Reading a file, it hashes the largest archive over and over, in pieces of 128 KiB: "
        "what that takes more is the copy out of the page cache, which no program is spared that reads files.",
        f"Rounds: {plan.rounds} of each, alternately. Ratios are medians over pairs of neighbors. `verify` is timed from its start to its end, the crate from when it begins.",
        "CPU is what the clocks of the process count, user and kernel mode. Clients are Python threads that read what comes and drop it; a first pull is the first of a server that was just started.",
        "How often a layer was hashed is counted: what the server reads (`rchar`) beside what it sends.",
        f"Unchanged files: {plan.files:,} archives in {folders(plan) - 1} folders; {plan.rounds} looks, each by SIGHUP, and one more under strace, which counts what other threads do meanwhile as well. "
        "With `--refresh 0` nothing is watched; with `1h` events are, and folders are watched anew as they are walked.",
        f"Noisy (spread over {NOISY}): {', '.join(noisy)}." if noisy else f"No spread over {NOISY}.",
        f"Command: `load/hashing.py{'' if plan.is_full else ' --quick'}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def described(shape: Shape) -> list[str]:
    """How many layers there are of which length."""
    sizes = [size for sizes in shape.archives for size in sizes]
    return [f"{sizes.count(size)} × {size} MiB" for size in sorted(set(sizes), reverse=True)]


def report(results: Results, binary: pathlib.Path) -> str:
    """The whole report."""
    parts = [
        f"# Hashing by Package Origin, {datetime.date.today()}{'' if results.plan.is_full else ' (quick: not for comparing)'}",
        goals(results),
        "## All at once",
        comparison(results),
        "## On the way to clients",
        pull_table(results),
        "## A folder that does not change",
        look_table(results),
        "## How it was measured",
        circumstances(results, binary),
    ]
    return "\n\n".join(parts) + "\n"


def measure(binary: pathlib.Path, plan: Plan, folder: pathlib.Path) -> Results:
    """Everything, one after the other. What is done with is removed: it takes page cache."""
    load_before = os.getloadavg()[0]
    layers = Layers()
    with crate() as bench:
        compared = []
        for name, shape, threads in (("mixed", plan.mixed, os.cpu_count()), ("alone", plan.alone, 1)):
            made = make_shape(folder / name, shape, layers)
            # What is still to be written would be written while we measure.
            os.sync()
            compared.append(compare(binary, made, shape, threads, plan, bench))
            shutil.rmtree(made)
        pulled = folder / "pulled"
        pulled.mkdir()
        [layer] = layers.write(pulled / "app.tar", (plan.layer,), f"localhost/{REPOSITORY}:1")
        os.sync()
        path = f"/v2/{REPOSITORY}/blobs/{layer.digest}"
        first = pulls(binary, pulled, path, plan, bench)
    together = crowd(binary, pulled, path, plan)
    many = folder / "many"
    progress(f"making {plan.files:,} archives")
    mixture.make(many, mixture.Shape(plan.files, MEMBERS))
    os.sync()
    by_refresh = {refresh: looks(binary, many, refresh, plan) for refresh in ("0", "1h")}
    return Results(plan, *compared, first, together, by_refresh, (load_before, os.getloadavg()[0]))


def work(binary: pathlib.Path, is_full: bool, folder: pathlib.Path) -> str:
    """Measures, and gives the report."""
    return report(measure(binary, FULL if is_full else QUICK, folder), binary)


if __name__ == "__main__":
    run(__doc__.splitlines()[0], "less than 20 seconds, once Cargo has built its part", "hashing-", work)
