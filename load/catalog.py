#!/usr/bin/env python3
"""Measures what the catalog of Package Origin costs: time, memory, and CPU when files change.

One run makes a million members in archives from a seed in a temporary folder, starts the server on them, changes some,
and writes a Markdown report. Sets of archives of several shapes tell apart what an archive costs and what a blob costs.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

import mixture
from archives import OCI_LAYOUT, Blob, Tar, image, index
from harness import KIB, MIB, QUIET, Server, Start, burst, get, goal_table, look, machine, origin, progress, run, settle, starting, table, version, within
from mixture import Counts, Shape

#: The goals.
MAX_READY, MAX_PER_BLOB, MAX_PER_ARCHIVE, MAX_PUBLICATION = 3.0, 96, 2 * KIB, 0.050
#: What the large archive may cost more than the small one: what its longer header takes, and what two starts differ by.
MORE_READ, MORE_MEMORY = 64 * KIB, MIB
#: The layer of the large archive.
HUGE = 100 * 10**9
#: The server works on so many cores; a start that got less than this share of them tells little about time.
CORES, STARVED = 2, 0.75


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done."""

    #: The first is measured in all ways, the others tell what an archive and what a blob costs.
    shapes: tuple[Shape, ...]
    starts: int
    #: Changes that are published.
    changes: int
    #: Goals are meant for the full run.
    is_full: bool


FULL = Plan((Shape(10_000, 100), Shape(10_000, 10), Shape(1_000, 1_000)), starts=5, changes=15, is_full=True)
QUICK = Plan((Shape(300, 100), Shape(300, 10), Shape(30, 1_000)), starts=2, changes=2, is_full=False)


# Measuring


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of a process, as the kernel counts them."""

    #: Resident now, and at most so far.
    resident: int
    peak: int
    #: Of the resident ones those that belong to no file.
    anonymous: int
    #: Resident, where shared pages count in part.
    proportional: int

    @classmethod
    def of(cls, server: Server) -> Memory:
        """What `server` takes now."""
        sizes = (server.sum_of("status", key) for key in ("VmRSS", "VmHWM", "RssAnon"))
        return cls(*sizes, server.sum_of("smaps_rollup", "Pss"))

    @classmethod
    def median(cls, of: list[Memory]) -> Memory:
        """The median of each."""
        return cls(*(int(statistics.median(values)) for values in zip(*map(dataclasses.astuple, of))))


@dataclasses.dataclass(frozen=True)
class Run:
    """One start, and what it took until the server was idle."""

    start: Start
    memory: Memory
    cpu: float
    read: int


def start_once(binary: pathlib.Path, root: pathlib.Path, manifest: str) -> Run:
    """Starts the server and waits until it is idle."""
    with starting(binary, root, manifest) as (server, start):
        settle(server)
        return Run(start, Memory.of(server), server.cpu(), server.sum_of("io", "rchar"))


@dataclasses.dataclass(frozen=True)
class Set:
    """What was measured with one set of archives."""

    shape: Shape
    counts: Counts
    making: float
    runs: list[Run]
    #: What the server takes more than with one archive.
    memory: Memory

    def best(self) -> float:
        """Seconds until it was ready, at best."""
        return min(run.start.ready for run in self.runs)

    def cores(self) -> float:
        """How many cores the server got while it started, at best."""
        return max(run.cpu / run.start.ready for run in self.runs)

    def label(self) -> str:
        """How the report calls it."""
        of_sha512 = f", {self.counts.sha512:,} blobs by SHA-512" if self.counts.sha512 else ""
        return f"{self.shape.archives:,} × {self.shape.members:,}{of_sha512}"


def make_set(folder: pathlib.Path, shape: Shape) -> tuple[Counts, float]:
    """Makes a set of archives, and tells how long that took."""
    progress(f"making {shape.archives:,} archives of {shape.members:,} members")
    began = time.monotonic()
    return mixture.make(folder, shape), time.monotonic() - began


def measure_set(binary: pathlib.Path, folder: pathlib.Path, shape: Shape, plan: Plan, alone: Memory) -> Set:
    """Makes a set, warms the page cache by a first start, and measures some more."""
    counts, making = make_set(folder, shape)
    if plan.is_full:
        # What is still to be written would be written while we measure. It can take long on a busy machine.
        os.sync()
    runs = []
    for number in range(plan.starts + 1):
        runs.append(start_once(binary, folder, mixture.manifest_path(0)))
        check(runs[-1].start, shape, binary, folder)
        progress(f"start {number}: {runs[-1].start.ready:.3f} s, {runs[-1].memory.resident / MIB:.1f} MiB")
    runs = runs[1:]
    return Set(shape, counts, making, runs, minus(Memory.median([run.memory for run in runs]), alone))


def check(start: Start, shape: Shape, binary: pathlib.Path, folder: pathlib.Path) -> None:
    """Archives that are refused are cataloged quickly."""
    if f"from {shape.archives} archive" not in start.said:
        raise SystemExit(f"not all archives are served: {start.said[:2000]}")


def minus(one: Memory, other: Memory) -> Memory:
    """The difference of each."""
    return Memory(*(a - b for a, b in zip(dataclasses.astuple(one), dataclasses.astuple(other))))


@dataclasses.dataclass(frozen=True)
class Refreshes:
    """Seconds of CPU for looking at the files again, without and with a change, alternately, and the memory after all."""

    unchanged: list[float]
    changed: list[float]
    memory: Memory

    def publications(self) -> list[float]:
        """What reading and publishing one changed archive takes beyond the looking."""
        return [changed - unchanged for unchanged, changed in zip(self.unchanged, self.changed)]


def refreshes(binary: pathlib.Path, folder: pathlib.Path, spare: pathlib.Path, shape: Shape, plan: Plan) -> Refreshes:
    """Replaces archives, one after the other, each by one with the same names and other blobs, and has the server look: it reads
    and publishes a change at the second look, which follows the first by itself."""
    numbers = [shape.archives * (2 * nth + 1) // (2 * plan.changes) for nth in range(plan.changes)]
    for number in numbers:
        mixture.write(spare / str(number), shape, number, edition=1)
    unchanged, changed = [], []
    with tempfile.TemporaryFile() as said:
        with origin(binary, [folder], "--refresh", "0", stderr=said) as server:
            settle(server)
            for number in numbers:
                unchanged.append(burst(server, look))
                os.replace(spare / str(number), mixture.place(folder, number))
                burst(server, look)
                changed.append(burst(server))
            memory = Memory.of(server)
        said.seek(0)
        published = said.read().count(b"Changed: ")
    if published != plan.changes:
        raise SystemExit(f"{plan.changes} archives were replaced and {published} snapshots published")
    return Refreshes(unchanged, changed, memory)


# A large archive


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The same archive with a small and with a large layer, started in turn."""

    small: list[Run]
    large: list[Run]


def write_single(folder: pathlib.Path, size: int) -> pathlib.Path:
    """An OCI layout whose only layer is a hole of `size` bytes."""
    folder.mkdir()
    layer = Blob("sha256:" + "5" * 64, size)
    made_of = image([layer], "2026-01-01T00:00:00Z")
    with (folder / "app.tar").open("wb") as out:
        tar = Tar(out)
        for member, data in (OCI_LAYOUT, ("index.json", index(made_of.manifest, "localhost/bench/app:1.0")), *made_of.documents()):
            tar.add(member, data)
        tar.add_with_hole(layer.member(), b"", size)
        tar.close()
    return folder


def sizes(binary: pathlib.Path, folder: pathlib.Path, starts: int) -> Sizes:
    """Starts with either archive, in turn."""
    small, large = write_single(folder / "small", mixture.LARGE_LAYER), write_single(folder / "large", HUGE)
    runs: dict[pathlib.Path, list[Run]] = {small: [], large: []}
    for _ in range(starts + 1):
        for root in (small, large):
            runs[root].append(start_once(binary, root, "/v2/bench/app/manifests/1.0"))
    return Sizes(runs[small][1:], runs[large][1:])


# The report


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured in one run."""

    plan: Plan
    sets: list[Set]
    sha512: Set
    alone: Memory
    refreshes: Refreshes
    sizes: Sizes
    load: tuple[float, float]


def fit(sets: list[Set], of: Callable[[Memory], int]) -> tuple[float, float]:
    """Bytes per archive and per blob: the least squares of the relative deviations, so that a small set counts as much as a large one."""
    rows = [(one.counts.archives / of(one.memory), one.counts.blobs / of(one.memory)) for one in sets]
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(row[i] for row in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    return (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant


def resident(memory: Memory) -> int:
    """What a person sees in `top`."""
    return memory.resident


def anonymous(memory: Memory) -> int:
    """What the program allocated."""
    return memory.anonymous


def goals(results: Results) -> str:
    """What is aimed at."""
    main, (archive, blob) = results.sets[0], fit(results.sets, resident)
    publication = statistics.median(results.refreshes.publications())
    small, large = (Memory.median([run.memory for run in runs]) for runs in (results.sizes.small, results.sizes.large))
    more_read = results.sizes.large[0].read - results.sizes.small[0].read
    more_memory = large.resident - small.resident
    return goal_table(
        [
            (
                f"{main.counts.archives:,} archives with {main.counts.members:,} members ready in under {MAX_READY:.0f} s",
                f"{main.best():.2f} s (best)",
                main.best() < MAX_READY,
            ),
            (f"under {MAX_PER_BLOB} bytes a blob in a tar", f"{blob:.0f} bytes (fit)", blob < MAX_PER_BLOB),
            (f"under {MAX_PER_ARCHIVE:,} bytes an archive", f"{archive:,.0f} bytes (fit)", archive < MAX_PER_ARCHIVE),
            (
                f"one changed archive published for under {MAX_PUBLICATION * 1000:.0f} ms of CPU",
                f"{publication * 1000:.0f} ms (median)",
                publication < MAX_PUBLICATION,
            ),
            (
                f"{HUGE / 10**9:.0f} GB in one archive cost no more than {mixture.LARGE_LAYER // KIB} KiB",
                f"{more_read / KIB:+.0f} KiB read, {more_memory / KIB:+.0f} KiB resident",
                more_read < MORE_READ and more_memory < MORE_MEMORY,
            ),
        ]
    )


def start_table(sets: list[Set]) -> str:
    """Time and work until the archives are served."""
    rows = []
    for one in sets:
        ready = [run.start.ready for run in one.runs]
        cpu = statistics.median(run.cpu for run in one.runs)
        rows.append(
            [
                one.label(),
                f"{one.counts.members:,}",
                f"{min(ready):.2f} s",
                f"{statistics.median(ready):.2f} s",
                f"{cpu:.2f} s",
                f"{cpu / one.counts.members * 1e6:.1f} µs",
                f"{one.cores():.1f}",
                f"{one.runs[0].read / MIB:,.0f} MiB",
            ]
        )
    return table(["archives × members", "members in all", "ready, best", "ready, median", "CPU until idle", "CPU a member", "cores got", "read"], rows)


def memory_table(sets: list[Set]) -> str:
    """What each set takes more than one archive does."""
    rows = []
    for one in sets:
        counts, memory = one.counts, one.memory
        allowed = MAX_PER_BLOB * counts.blobs + MAX_PER_ARCHIVE * counts.archives
        rows.append(
            [
                one.label(),
                f"{counts.blobs:,}",
                f"{counts.documents:,}",
                f"{memory.resident / MIB:.1f} MiB",
                f"{memory.peak / MIB:.1f} MiB",
                f"{memory.anonymous / MIB:.1f} MiB",
                f"{memory.proportional / MIB:.1f} MiB",
                f"{memory.resident / counts.blobs:,.0f} B",
                f"{memory.resident / counts.archives:,.0f} B",
                f"{memory.resident / allowed:.2f}",
            ]
        )
    header = ["archives × members", "blobs", "manifests", "VmRSS", "VmHWM", "RssAnon", "Pss", "VmRSS / blobs", "VmRSS / archives", "of the goals"]
    return table(header, rows)


def fit_table(results: Results) -> str:
    """What an archive and a blob cost, and how well that tells the sets."""
    rows = []
    for what, of in (("VmRSS", resident), ("RssAnon", anonymous)):
        archive, blob = fit(results.sets, of)
        told = [(archive * one.counts.archives + blob * one.counts.blobs) / of(one.memory) - 1 for one in results.sets]
        rows.append([what, f"{archive:,.0f} B", f"{blob:.0f} B", f"{max(told, key=abs) * 100:+.0f} %", f"{sha512_cost(results, of):+.0f} B"])
    return table(["", "an archive", "a blob", "worst deviation of a set", "a blob by SHA-512, beyond that"], rows)


def sha512_cost(results: Results, of: Callable[[Memory], int]) -> float:
    """Bytes that a blob costs more where it is named by SHA-512."""
    return (of(results.sha512.memory) - of(results.sets[0].memory)) / results.sha512.counts.sha512


def refresh_table(results: Results) -> str:
    """CPU of looking again and of publishing."""
    done = results.refreshes
    rows = [
        [what, within([value * 1000 for value in values], "ms", 1)]
        for what, values in (
            (f"looking again at {results.sets[0].counts.archives:,} unchanged archives", done.unchanged),
            ("the same with one changed archive", done.changed),
            ("the difference: reading it, and publishing", done.publications()),
        )
    ]
    return table(["CPU of the server", "median (range)"], rows)


def size_table(results: Results) -> str:
    """The small and the large archive beside each other."""
    rows = []
    for what, runs in (("64 KiB", results.sizes.small), ("100 GB", results.sizes.large)):
        memory = Memory.median([run.memory for run in runs])
        rows.append(
            [
                what,
                within([run.start.ready * 1000 for run in runs], "ms"),
                f"{statistics.median(run.cpu for run in runs) * 1000:.1f} ms",
                f"{memory.resident / KIB:,.0f} KiB",
                f"{memory.anonymous / KIB:,.0f} KiB",
                f"{runs[0].read / KIB:.1f} KiB",
            ]
        )
    return table(["layer", "ready", "CPU until idle", "VmRSS", "RssAnon", "read"], rows)


def circumstances(results: Results, binary: pathlib.Path) -> str:
    """What is needed to judge the numbers, and to get them again."""
    plan, main = results.plan, results.sets[0]
    making = ", ".join(f"{one.label()}: {one.making:.0f} s" for one in [*results.sets, results.sha512])
    starved = [one.label() for one in [*results.sets, results.sha512] if one.cores() < STARVED * CORES]
    lines = [
        f"Machine: {machine()}; load average {results.load[0]:.1f} before, {results.load[1]:.1f} after. The server and what measures it share {CORES} cores.",
        f"Versions: {version(binary)}, Python {platform.python_version()}.",
        f"Archives: {mixture.DESCRIPTION}",
        f"Main set: {main.counts.archives:,} archives, {main.counts.members:,} members, {main.counts.blobs:,} blobs (each archive's, counted apart), of them "
        f"{main.counts.documents:,} manifests and indexes (those that are made for older Docker archives among them), {main.counts.names:,} names. "
        f"The set with SHA-512 is the same, but for its blobs' names. Making them took {making}, on {os.cpu_count()} cores.",
        f"Start: from before the program is run until the first 200 of `/readyz`, asked every 2 ms; {plan.starts} starts after one that "
        "warms the page cache. CPU is what the clock of the process counts, user and kernel mode; read is `rchar`.",
        f"Memory: medians of these starts, {QUIET * 1000:.0f} ms after the server came to rest, less {results.alone.resident / MIB:.1f} MiB "
        f"(VmRSS; RssAnon {results.alone.anonymous / MIB:.1f} MiB) that it takes with one archive. All that is resident counts: what the allocator "
        "holds and does not use as well. The fit is the least squares of the relative deviations over the sets without SHA-512; `of the goals` is VmRSS to what both goals allow together.",
        f"Refresh: by SIGHUP, {plan.changes} archives replaced by rename, each by one with the same names and other blobs, "
        "one between two looks; looks without and with a change alternate, and the difference is that of neighbors. "
        f"After all of them: VmRSS {results.refreshes.memory.resident / MIB:.1f} MiB, VmHWM {results.refreshes.memory.peak / MIB:.1f} MiB.",
        f"Noisy (others took more than a quarter of the cores at every start): {'; '.join(starved)}." if starved else "The server got its cores.",
        "Large archive: one OCI layout tar, its only layer a hole; both started in turn.",
        f"Command: `load/catalog.py{'' if plan.is_full else ' --quick'}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def report(results: Results, binary: pathlib.Path) -> str:
    """The whole report."""
    sets = [*results.sets, results.sha512]
    parts = [
        f"# The catalog of Package Origin, {datetime.date.today()}{'' if results.plan.is_full else ' (quick: not for comparing)'}",
        goals(results),
        "## Start",
        start_table(sets),
        "## Memory, beyond that with one archive",
        memory_table(sets),
        "What an archive and a blob cost:",
        fit_table(results),
        "## Files that change",
        refresh_table(results),
        "## A large archive",
        size_table(results),
        "## How it was measured",
        circumstances(results, binary),
    ]
    return "\n\n".join(parts) + "\n"


def measure(binary: pathlib.Path, plan: Plan, folder: pathlib.Path) -> Results:
    """Everything, one after the other. Each set is removed when it is done: they are large."""
    load_before = os.getloadavg()[0]
    single = folder / "single"
    make_set(single, Shape(1, plan.shapes[0].members))
    alone = Memory.median([start_once(binary, single, mixture.manifest_path(0)).memory for _ in range(plan.starts)])
    of_sizes = sizes(binary, folder, plan.starts)
    sets, changes = [], None
    for number, shape in enumerate(plan.shapes):
        root, spare = folder / f"set-{number}", folder / "spare"
        sets.append(measure_set(binary, root, shape, plan, alone))
        if not changes:
            spare.mkdir()
            progress("changing archives")
            changes = refreshes(binary, root, spare, shape, plan)
        shutil.rmtree(root)
    sha512 = measure_set(binary, folder / "sha512", dataclasses.replace(plan.shapes[0], sha512_every=8), plan, alone)
    return Results(plan, sets, sha512, alone, changes, of_sizes, (load_before, os.getloadavg()[0]))


def work(binary: pathlib.Path, is_full: bool, folder: pathlib.Path) -> str:
    """Measures on two cores, and gives the report."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    return report(measure(binary, FULL if is_full else QUICK, folder), binary)


if __name__ == "__main__":
    run(__doc__.splitlines()[0], "less than 20 seconds", "catalog-", work)
