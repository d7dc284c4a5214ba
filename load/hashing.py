#!/usr/bin/env python3
"""Measures what hashing costs Package Origin: all of it at once, and on the way to clients; and what an unchanged folder costs.

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
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import mixture
from archives import OCI_LAYOUT, Blob, Tar, image, index
from harness import GIB, MIB, PATIENCE, SEED, Server, burst, cpu_of, first_line, goal_table, look, machine, origin, progress, pull, run, settle, table, version, within

#: The goals: so much of the crate's time may be spent, and of what hashing once and sending take; a blob is hashed so often.
MAX_BESIDE, MAX_FIRST, ONCE = 1.10, 1.05, (0.9, 1.1)
#: So many files may be opened for an unchanged one: folders are.
MAX_OPENED = 0.02
REPOSITORY = "bench/app"
HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done."""

    #: Of each archive that is verified the lengths of its layers, in MiB.
    shelf: tuple[tuple[int, ...], ...]
    #: The layer that is pulled, in MiB, and by how many clients at once.
    layer: int
    clients: int
    #: Files that do not change.
    files: int
    rounds: int
    #: Goals are meant for the full run.
    is_full: bool


FULL = Plan(((512,), (128,) * 4, *((32,) * 4,) * 4, *((8,) * 12,) * 4, *((1,) * 64,) * 2), layer=1024, clients=100, files=10_000, rounds=9, is_full=True)
QUICK = Plan(((32,), (8,) * 4, (1,) * 32), layer=32, clients=20, files=1_000, rounds=2, is_full=False)


# Data


def write(path: pathlib.Path, sizes: tuple[int, ...], numbers: random.Random) -> list[Blob]:
    """Writes an archive with layers of these lengths, in MiB, and gives them. Each repeats one MiB: a hash takes as long for that."""
    layers = []
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as out:
        tar = Tar(out)
        for size in sizes:
            piece, hasher = numbers.randbytes(MIB), hashlib.sha256()
            for _ in range(size):
                hasher.update(piece)
            layers.append(Blob("sha256:" + hasher.hexdigest(), size * MIB))
            tar.header(layers[-1].member(), size * MIB)
            out.writelines(piece for _ in range(size))
        made_of = image(layers, "2026-01-01T00:00:00Z")
        for member, data in (OCI_LAYOUT, ("index.json", index(made_of.manifest, f"localhost/{REPOSITORY}:{path.stem}")), *made_of.documents()):
            tar.add(member, data)
        tar.close()
    return layers


# All at once


@dataclasses.dataclass(frozen=True)
class Took:
    """Seconds for one GiB, by the clock and of CPU."""

    seconds: float
    cpu: float

    @classmethod
    def of(cls, seconds: float, cpu: float, size: int) -> Took:
        """What `size` bytes took."""
        return cls(seconds / size * GIB, cpu / size * GIB)


class Crate:
    """The program of `load/hashing/`, which hashes when it is told to."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def hash(self, size: int, path: pathlib.Path | str = "") -> Took:
        """Has it hash `size` bytes of its memory, or of a file, on all cores."""
        before = cpu_of(self.process.pid)
        self.process.stdin.write(f"{size} {path}\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        return Took.of(seconds, cpu_of(self.process.pid) - before, size)


@contextlib.contextmanager
def crate() -> Iterator[Crate]:
    """Builds and runs the program that uses the crate alone."""
    if sha2_version(HERE / "hashing") != sha2_version(HERE.parent):
        raise SystemExit("load/hashing/Cargo.lock has another version of sha2 than Cargo.lock: run `cargo update -p sha2` there")
    progress("building load/hashing")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")).resolve() / "hashing"
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", str(HERE / "hashing/Cargo.toml"), "--target-dir", str(target)]
    subprocess.run(command, check=True)
    with subprocess.Popen([str(target / "release/packageorigin-hashing")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # Leaving closes its input, which ends it.
        yield Crate(process)


def sha2_version(package: pathlib.Path) -> str:
    """The version of the hash crate that a package has locked."""
    return re.search(r'name = "sha2"\nversion = "([^"]+)"', (package / "Cargo.lock").read_text())[1]


def verify(binary: pathlib.Path, folder: pathlib.Path, size: int) -> Took:
    """Runs `verify` on a folder, from its start to its end."""
    began, before = time.monotonic(), cpu_of_children()
    done = subprocess.run([str(binary), "verify", str(folder)], stdout=subprocess.PIPE, text=True)
    took = Took.of(time.monotonic() - began, cpu_of_children() - before, size)
    if done.returncode != 0 or "nothing is damaged or missing" not in done.stdout:
        raise SystemExit(f"verify ended with {done.returncode}:\n{done.stdout}")
    return took


def cpu_of_children() -> float:
    """Seconds of CPU of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclasses.dataclass(frozen=True)
class Compared:
    """Rounds of `verify`, and of the crate with bytes in memory and with such as it has to read."""

    verify: list[Took]
    memory: list[Took]
    reading: list[Took]

    def ratio(self, other: list[Took], key: str) -> float:
        """What `verify` takes to what the other does, each at its best: whatever else the machine does adds to either."""
        return min(getattr(took, key) for took in self.verify) / min(getattr(took, key) for took in other)


def compare(binary: pathlib.Path, folder: pathlib.Path, plan: Plan, bench: Crate) -> Compared:
    """Verifies and hashes in turn, after a first time that fills the page cache and the memory of the crate's program."""
    size, compared = sum(map(sum, plan.shelf)) * MIB, Compared([], [], [])
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    verify(binary, folder, size)
    bench.hash(size)
    for number in range(plan.rounds):
        compared.verify.append(verify(binary, folder, size))
        compared.memory.append(bench.hash(size))
        compared.reading.append(bench.hash(size, largest))
        progress(f"round {number + 1}: {compared.verify[-1].seconds:.2f} and {compared.memory[-1].seconds:.2f} s a GiB")
    return compared


# On the way to clients


@dataclasses.dataclass(frozen=True)
class Pulls:
    """Seconds of CPU: of a server for the first pull of a layer and for another one, and of the crate for hashing as much."""

    first: list[float]
    another: list[float]
    reading: list[float]

    def ratio(self) -> float:
        """What a first one costs to hashing once and sending once, each at its best."""
        return min(self.first) / (min(self.reading) + min(self.another))


@contextlib.contextmanager
def fresh(binary: pathlib.Path, root: pathlib.Path) -> Iterator[Server]:
    """A server that has hashed nothing and is idle."""
    with origin(binary, [root]) as server:
        settle(server)
        yield server


def pulls(binary: pathlib.Path, archive: pathlib.Path, path: str, plan: Plan, bench: Crate) -> Pulls:
    """First pulls, each of a server that was just started, and second ones."""
    measured = Pulls([], [], [])
    for number in range(plan.rounds):
        with fresh(binary, archive) as server:
            for costs in (measured.first, measured.another):
                costs.append(burst(server, lambda server: pull((server.port, [path]))))
        measured.reading.append(bench.hash(plan.layer * MIB, archive).cpu * plan.layer * MIB / GIB)
        progress(f"pull {number + 1}: {measured.first[-1]:.2f} s, then {measured.another[-1]:.2f} s; hashing {measured.reading[-1]:.2f} s")
    return measured


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Many clients that want one layer at once which nobody has hashed: how often it was hashed, and the seconds of CPU."""

    hashed: float
    cpu: float


def crowd(binary: pathlib.Path, archive: pathlib.Path, path: str, plan: Plan) -> Crowd:
    """What the server reads beside what it sends, it hashes."""
    progress(f"{plan.clients} clients at once")
    with fresh(binary, archive) as server, ThreadPoolExecutor(plan.clients) as pool:
        read, cpu = server.sum_of("io", "rchar"), server.cpu()
        moved = sum(pool.map(pull, [(server.port, [path])] * plan.clients))
        settle(server)
        hashed = (server.sum_of("io", "rchar") - read - moved) / (plan.layer * MIB)
        if not ONCE[0] < hashed < ONCE[1]:
            raise SystemExit(f"{plan.clients} clients had a layer hashed {hashed:.2f} times")
        return Crowd(hashed, server.cpu() - cpu)


# A folder that does not change


@dataclasses.dataclass(frozen=True)
class Looks:
    """Seconds of CPU of each look, and how often one made each system call."""

    cpu: list[float]
    calls: dict[str, int]

    def opened(self) -> int:
        """How many files and folders were opened."""
        return sum(self.calls.get(name, 0) for name in ("open", "openat", "openat2"))


def looks(binary: pathlib.Path, folder: pathlib.Path, plan: Plan) -> Looks:
    """Has a server look again, while nothing else makes it look."""
    with origin(binary, [folder], "--refresh", "1h") as server:
        settle(server)
        done = Looks([burst(server, look) for _ in range(plan.rounds)], traced(server))
    if done.opened() > MAX_OPENED * plan.files:
        raise SystemExit(f"{done.opened()} files were opened for {plan.files} that have not changed")
    return done


def traced(server: Server) -> dict[str, int]:
    """The system calls of one look; none where strace is not installed or may not look on."""
    if not shutil.which("strace"):
        return {}
    with tempfile.NamedTemporaryFile("r") as counts:
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", counts.name, "-p", str(server.process.pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            if " attached" in strace.stderr.readline():
                burst(server, look)
            strace.send_signal(signal.SIGINT)
            strace.wait(PATIENCE)
        rows = (re.fullmatch(r" *(\d+) +(\w+)\s*", line) for line in counts)
        return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}


# The report


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured in one run."""

    plan: Plan
    compared: Compared
    pulls: Pulls
    crowd: Crowd
    looks: Looks
    load: tuple[float, float]


def goals(results: Results) -> str:
    """What is aimed at."""
    beside, first = results.compared.ratio(results.compared.memory, "seconds"), results.pulls.ratio()
    return goal_table(
        [
            ("`verify` within 10 % of the hash crate on all cores, over bytes in memory", f"{beside:.2f} × (best)", beside <= MAX_BESIDE),
            ("a first pull costs no more CPU than hashing once and sending once", f"{first:.2f} × (best)", first <= MAX_FIRST),
            (f"{results.plan.clients} clients at once have it hashed once", f"{results.crowd.hashed:.2f} times", True),
        ]
    )


def comparison(compared: Compared) -> str:
    """`verify` and the crate beside each other."""
    rows = [["`verify`", *cells(compared.verify), "", ""]]
    for what, rounds in (("the crate, bytes in memory", compared.memory), ("the crate, reading a file", compared.reading)):
        rows.append([what, *cells(rounds), *(f"{compared.ratio(rounds, key):.2f}" for key in ("seconds", "cpu"))])
    header = ["for one GiB", "time, best", "time", "CPU, best", "CPU", "`verify` takes so many times as long, best to best", "and as much CPU"]
    return table(header, rows)


def cells(rounds: list[Took]) -> list[str]:
    """The best, and the median and its range, of time and of CPU."""
    columns = ([took.seconds for took in rounds], [took.cpu for took in rounds])
    return [cell for values in columns for cell in (f"{min(values):.3f} s", within(values, "s", 3))]


def pull_table(results: Results) -> str:
    """What pulls cost the server."""
    done, clients = results.pulls, results.plan.clients
    rows = [
        [what, f"{min(values):.3f} s", within(values, "s", 3)]
        for what, values in (("a first pull", done.first), ("another pull", done.another), ("the crate, reading a file", done.reading))
    ]
    expected = statistics.median(done.reading) + clients * statistics.median(done.another)
    rows.append([f"{clients} first pulls at once", "", f"**{results.crowd.cpu:.2f} s** (hashing once and {clients} other pulls: {expected:.2f} s)"])
    return table([f"CPU for a layer of {results.plan.layer:,} MiB", "best", "median (range)"], rows)


def look_table(results: Results) -> str:
    """What an unchanged folder costs."""
    cpu, calls, files = results.looks.cpu, results.looks.calls, results.plan.files
    rows = [["CPU", within([value * 1000 for value in cpu], "ms", 1), f"{statistics.median(cpu) / files * 1e6:.2f} µs"]]
    for name, count in sorted(calls.items(), key=lambda known: -known[1])[:6]:
        rows.append([f"`{name}`", f"{count:,}", f"{count / files:.3f}"])
    rows.append(["all system calls", f"{sum(calls.values()):,}" if calls else "no strace here", f"{sum(calls.values()) / files:.3f}" if calls else ""])
    return table([f"one look at {files:,} unchanged files", "", "a file"], rows)


def circumstances(results: Results, binary: pathlib.Path) -> str:
    """What is needed to judge the numbers, and to get them again."""
    plan = results.plan
    layers = [size for sizes in plan.shelf for size in sizes]
    counted = ", ".join(f"{layers.count(size)} of {size} MiB" for size in sorted(set(layers), reverse=True))
    lines = [
        f"Machine: {machine()}; load average {results.load[0]:.1f} before, {results.load[1]:.1f} after.",
        f"Versions: {version(binary)}, {first_line(['cargo', '--version'])}, sha2 {sha2_version(HERE.parent)}, {first_line(['strace', '-V'])}, Python {platform.python_version()}.",
        f"Archives: {len(plan.shelf)} OCI layout tars with layers {counted}; page cache warm. The crate hashes as many bytes, of memory or of the largest archive, 128 KiB at a time. "
        "What reading takes more is the copy out of the page cache, which no program is spared that reads files and does not map them.",
        f"Rounds: {plan.rounds} of each, alternately. `verify` is timed from its start to its end, the crate from when it begins. Cells give the median and its range beside the best.",
        "CPU is what the kernel counts for the process, user and kernel mode. A first pull is the first of a server that was just started; clients are Python threads that drop what they read.",
        "How often a layer was hashed is counted: what the server reads (`rchar`) beside what it sends.",
        f"Unchanged files: {plan.files:,} archives of 10 members in {-(-plan.files // mixture.FOLDER)} folders, which are watched; {plan.rounds} looks, each by SIGHUP, and one more under strace.",
        f"Command: `load/hashing.py{'' if plan.is_full else ' --quick'}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def report(results: Results, binary: pathlib.Path) -> str:
    """The whole report."""
    parts = [
        f"# Hashing by Package Origin, {datetime.date.today()}{'' if results.plan.is_full else ' (quick: not for comparing)'}",
        goals(results),
        "## All at once",
        comparison(results.compared),
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
    load_before, numbers = os.getloadavg()[0], random.Random(SEED)
    progress("making archives")
    shelf, archive, many = folder / "shelf", folder / "pulled" / "1.tar", folder / "many"
    for number, sizes in enumerate(plan.shelf):
        write(shelf / f"{number:02}.tar", sizes, numbers)
    [layer] = write(archive, (plan.layer,), numbers)
    mixture.make(many, mixture.Shape(plan.files, 10))
    # What is still to be written would be written while we measure.
    os.sync()
    with crate() as bench:
        compared = compare(binary, shelf, plan, bench)
        path = f"/v2/{REPOSITORY}/blobs/{layer.digest}"
        first = pulls(binary, archive, path, plan, bench)
    together = crowd(binary, archive, path, plan)
    progress(f"looking at {plan.files:,} files")
    return Results(plan, compared, first, together, looks(binary, many, plan), (load_before, os.getloadavg()[0]))


def work(binary: pathlib.Path, is_full: bool, folder: pathlib.Path) -> str:
    """Measures, and gives the report."""
    return report(measure(binary, FULL if is_full else QUICK, folder), binary)


if __name__ == "__main__":
    run(__doc__.splitlines()[0], "less than 20 seconds, once Cargo has built its part", "hashing-", work)
