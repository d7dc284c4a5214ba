#!/usr/bin/env python3
"""Measures Package Origin beside nginx, which serves the same bytes from plain files.

One run makes its data from a seed in a temporary folder, starts both servers on free ports of the loopback
interface, asks them alternately, and writes a Markdown report. What is compared is the CPU time of the *server*:
throughput on one machine mostly tells how fast the client is. Only numbers of one run can be compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import getpass
import hashlib
import http.client
import json
import os
import pathlib
import platform
import random
import re
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from archives import MANIFEST_TYPE, OCI_LAYOUT, Blob, Image, Tar, image, index
from harness import (
    GIB,
    KIB,
    MIB,
    PATIENCE,
    SEED,
    Connection,
    Server,
    Start,
    first_line,
    free_port,
    get,
    goal_table,
    machine,
    origin,
    progress,
    pull,
    run,
    serving,
    starting,
    table,
    version,
)

CONNECTIONS = 8
REPOSITORY = "bench/app"
TAG = "1.0"
#: Layers of the many small archives: a little that differs, then a hole, so that headers lie apart as in real ones.
SMALL_LAYER, SMALL_LAYERS = 64 * KIB, 6
#: Rounds that differ by more than this factor say that the machine was busy.
NOISY = 1.3


@dataclasses.dataclass(frozen=True)
class Blobs:
    """Blobs of one size, and how many GETs a round makes for them."""

    label: str
    size: int
    different: int
    gets: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done."""

    blobs: tuple[Blobs, ...]
    rounds: int
    manifest_seconds: int
    archives: int
    starts: int
    #: Goals are meant for the full run.
    is_full: bool


FULL = Plan(
    blobs=(
        Blobs("1 MiB", MIB, 32, 3072),
        Blobs("100 MiB", 100 * MIB, 1, 40),
        Blobs("1 GiB", GIB, 1, 8),
    ),
    rounds=5,
    manifest_seconds=5,
    archives=5000,
    starts=5,
    is_full=True,
)
QUICK = Plan(
    blobs=(Blobs("1 MiB", MIB, 8, 512), Blobs("64 MiB", 64 * MIB, 1, 16)),
    rounds=2,
    manifest_seconds=1,
    archives=500,
    starts=2,
    is_full=False,
)


# Data


@dataclasses.dataclass(frozen=True)
class Shelf:
    """The same image as an archive and as plain files, and where its parts are asked for."""

    packages: pathlib.Path
    site: pathlib.Path
    paths: dict[str, list[str]]
    manifest_path: str
    digests: dict[str, str]


def make_file(folder: pathlib.Path, size: int, numbers: random.Random) -> Blob:
    """A file of `size` random bytes, named by its digest."""
    hasher, unnamed = hashlib.sha256(), folder / "unnamed"
    with unnamed.open("wb") as out:
        for _ in range(size // MIB):
            piece = numbers.randbytes(MIB)
            hasher.update(piece)
            out.write(piece)
    blob = Blob("sha256:" + hasher.hexdigest(), size)
    unnamed.rename(folder / blob.digest)
    return blob


def make_shelf(folder: pathlib.Path, plan: Plan) -> Shelf:
    """Lays the blobs of `plan` out for both servers."""
    numbers = random.Random(SEED)
    packages, site = folder / "packages", folder / "site"
    files, tags = site / "v2" / REPOSITORY / "blobs", site / "v2" / REPOSITORY / "manifests"
    for new in (packages, files, tags):
        new.mkdir(parents=True)
    made = {blobs.label: [make_file(files, blobs.size, numbers) for _ in range(blobs.different)] for blobs in plan.blobs}
    layers = [blob for group in made.values() for blob in group]
    made_of = image(layers, "2026-01-01T00:00:00Z")
    (tags / TAG).write_bytes(made_of.manifest_bytes)
    with (packages / "app.tar").open("wb") as out:
        tar = open_layout(out, made_of, f"localhost/{REPOSITORY}:{TAG}")
        for layer in layers:
            tar.header(layer.member(), layer.size)
            with (files / layer.digest).open("rb") as source:
                shutil.copyfileobj(source, out, MIB)
            tar.pad(layer.size)
        tar.close()
    prefix = f"/v2/{REPOSITORY}"
    digests = {f"{prefix}/blobs/{layer.digest}": layer.digest for layer in layers}
    digests[f"{prefix}/manifests/{TAG}"] = made_of.manifest.digest
    paths = {label: [f"{prefix}/blobs/{blob.digest}" for blob in group] for label, group in made.items()}
    return Shelf(packages, site, paths, f"{prefix}/manifests/{TAG}", digests)


def open_layout(out: BinaryIO, made_of: Image, name: str) -> Tar:
    """Begins an OCI layout that holds one image; its layers follow."""
    tar = Tar(out)
    for member, data in (OCI_LAYOUT, ("index.json", index(made_of.manifest, name)), *made_of.documents()):
        tar.add(member, data)
    return tar


def make_many(folder: pathlib.Path, count: int) -> None:
    """Writes `count` archives of ten members each, in folders of a hundred; no two hold the same blob."""
    numbers = random.Random(SEED + 1)
    hole = bytes(SMALL_LAYER - 512)
    for number in range(count):
        place = folder / f"{number // 100:03}"
        place.mkdir(parents=True, exist_ok=True)
        fronts = [numbers.randbytes(512) for _ in range(SMALL_LAYERS)]
        layers = [Blob("sha256:" + hashlib.sha256(front + hole).hexdigest(), SMALL_LAYER) for front in fronts]
        made_of = image(layers, f"2026-01-01T00:{number // 60 % 60:02}:00Z")
        with (place / f"app-{number:05}.tar").open("wb") as out:
            tar = open_layout(out, made_of, f"localhost/{small_repository(number)}:{small_tag(number)}")
            for layer, front in zip(layers, fronts):
                tar.add_with_hole(layer.member(), front, SMALL_LAYER)
            tar.close()


def small_repository(number: int) -> str:
    """The repository of one of the many archives: five versions of each."""
    return f"team-{number // 500:02}/app-{number // 5:04}"


def small_tag(number: int) -> str:
    """Its tag."""
    return f"1.{number % 5}.0"


# Servers


NGINX = """\
daemon off;
worker_processes {cores};
error_log stderr error;
pid {folder}/nginx.pid;
{user}events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=60s;
    open_file_cache_valid 60s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root {site};
        location /v2/{repository}/manifests/ {{ default_type {manifest_type}; }}
    }}
}}
"""


def nginx(folder: pathlib.Path, shelf: Shelf) -> contextlib.AbstractContextManager[Server]:
    """nginx with the same bytes as plain files on the same paths."""
    port = free_port()
    # Its workers would otherwise be somebody who may not read a temporary folder.
    user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            cores=os.cpu_count(),
            folder=folder,
            user=user,
            port=port,
            site=shelf.site,
            repository=REPOSITORY,
            manifest_type=MANIFEST_TYPE,
        )
    )
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(config)]
    return serving("nginx", command, port, shelf.manifest_path, stderr=None)


# Clients


def check(server: Server, shelf: Shelf) -> None:
    """Fails unless the server gives the right bytes for everything; it also warms the page cache."""
    for path, digest in shelf.digests.items():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer, hasher = connection.getresponse(), hashlib.sha256()
            while piece := answer.read(MIB):
                hasher.update(piece)
        if answer.status != 200 or f"sha256:{hasher.hexdigest()}" != digest:
            raise SystemExit(f"{server.name} answers {path} by {answer.status} and sha256:{hasher.hexdigest()}")


def ask(task: tuple[int, str, float]) -> int:
    """Runs in a thread of its own: gets one path for some seconds and gives the number of answers."""
    port, path, seconds = task
    connection, answers = Connection(port), 0
    deadline = time.monotonic() + seconds
    with contextlib.closing(connection.socket):
        while time.monotonic() < deadline:
            connection.get(path)
            answers += 1
    return answers


# Measuring


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round gave: the figure that is compared, and how fast it went."""

    figure: float
    speed: float


def blob_round(server: Server, pool, shelf: Shelf, blobs: Blobs) -> Round:
    """CPU seconds per GiB, and GiB per second."""
    known = shelf.paths[blobs.label]
    paths = [known[number % len(known)] for number in range(blobs.gets)]
    before, began = server.cpu(), time.monotonic()
    tasks = [(server.port, paths[first::CONNECTIONS]) for first in range(min(CONNECTIONS, len(paths)))]
    moved = sum(pool.map(pull, tasks)) / GIB
    return Round((server.cpu() - before) / moved, moved / (time.monotonic() - began))


def manifest_round(server: Server, pool, shelf: Shelf, plan: Plan) -> Round:
    """Answers per CPU second, and answers per second."""
    before, began = server.cpu(), time.monotonic()
    if shutil.which("wrk"):
        answers = wrk(server, shelf, plan.manifest_seconds)
    else:
        tasks = [(server.port, shelf.manifest_path, plan.manifest_seconds)] * CONNECTIONS
        answers = sum(pool.map(ask, tasks))
    return Round(answers / (server.cpu() - before), answers / (time.monotonic() - began))


def wrk(server: Server, shelf: Shelf, seconds: int) -> int:
    """The number of answers that wrk counts, all of them 200."""
    url = f"http://127.0.0.1:{server.port}{shelf.manifest_path}"
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Accept: {MANIFEST_TYPE}", url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{server.name} failed under wrk:\n{said}")
    return int(re.search(r"(\d+) requests in", said)[1])


Measured = dict[str, dict[str, list[Round]]]


def alternate(servers: list[Server], pool, shelf: Shelf, plan: Plan) -> Measured:
    """All rounds, A B A B: what disturbs the machine for a while disturbs both."""
    work = {f"blob of {blobs.label}": lambda server, blobs=blobs: blob_round(server, pool, shelf, blobs) for blobs in plan.blobs}
    work["manifest by tag"] = lambda server: manifest_round(server, pool, shelf, plan)
    measured: Measured = {what: {server.name: [] for server in servers} for what in work}
    for number in range(plan.rounds):
        for what, run in work.items():
            for server in servers:
                measured[what][server.name].append(run(server))
                progress(f"round {number + 1}: {what}: {server.name}: {measured[what][server.name][-1].figure:.3g}")
    return measured


def start_once(binary: pathlib.Path, many: pathlib.Path) -> Start:
    """One start: when it says that it serves, and when the first answers come."""
    with starting(binary, many, small_manifest(0)) as (_, start):
        return start


def small_manifest(number: int) -> str:
    """The path of a manifest of the many archives."""
    return f"/v2/{small_repository(number)}/manifests/{small_tag(number)}"


Memory = list[tuple[str, float, float]]


def memory(binary: pathlib.Path, many: pathlib.Path, shelf: Shelf, pool, plan: Plan) -> Memory:
    """MiB resident, now and at most, of one server with the many archives and the big one."""
    with origin(binary, [many, shelf.packages]) as server:
        rows = [("after the start", *server.memory())]
        pull_image(server, small_manifest(plan.archives // 2))
        rows.append(("after the pull of one image", *server.memory()))
        for blobs in plan.blobs:
            blob_round(server, pool, shelf, blobs)
        rows.append((f"after blobs of all sizes on {CONNECTIONS} connections", *server.memory()))
        manifest_round(server, pool, shelf, plan)
        rows.append((f"after {plan.manifest_seconds} s of manifests", *server.memory()))
    return rows


def pull_image(server: Server, path: str) -> None:
    """What a client does: the manifest, then what it names."""
    status, manifest = get(server.port, path)
    if status != 200:
        raise SystemExit(f"{path} is answered by {status}")
    named = json.loads(manifest)
    blobs = path.rsplit("/manifests/", 1)[0] + "/blobs/"
    for part in [named["config"], *named["layers"]]:
        status, data = get(server.port, blobs + part["digest"])
        if status != 200 or "sha256:" + hashlib.sha256(data).hexdigest() != part["digest"]:
            raise SystemExit(f"{blobs}{part['digest']} is answered by {status} and {len(data)} bytes")


def stripped_size(binary: pathlib.Path, folder: pathlib.Path) -> int:
    """Bytes of the binary without symbols."""
    stripped = folder / "stripped"
    if shutil.which("strip"):
        subprocess.run(["strip", "-o", str(stripped), str(binary)], check=True)
        return stripped.stat().st_size
    return binary.stat().st_size


# The report


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured in one run."""

    plan: Plan
    measured: Measured
    starts: list[Start]
    memory: Memory
    peer_memory: tuple[float, float] | None
    binary_size: int
    load: tuple[float, float]


def spread(rounds: list[Round]) -> float:
    """How much the rounds differ."""
    figures = [one.figure for one in rounds]
    return max(figures) / min(figures)


def cell(rounds: list[Round] | None, unit: str) -> str:
    """Median, the range behind it, and the speed."""
    if not rounds:
        return "–"
    shown = (lambda value: f"{value / 1000:.1f} k") if unit else (lambda value: f"{value:.3f}")
    figures = [one.figure for one in rounds]
    speed = statistics.median(one.speed for one in rounds)
    pace = f"{speed / 1000:.0f} k/s" if unit else f"{speed:.1f} GiB/s"
    middle = shown(statistics.median(figures))
    return f"**{middle}** ({shown(min(figures))} to {shown(max(figures))}; {pace})"


def ratio(rounds: dict[str, list[Round]]) -> float | None:
    """Ours to the peer's, as the median over rounds that ran one after the other."""
    ours, theirs = rounds["Package Origin"], rounds.get("nginx")
    if not theirs:
        return None
    return statistics.median(a.figure / b.figure for a, b in zip(ours, theirs))


def comparison(measured: Measured) -> str:
    """CPU of the servers beside each other."""
    rows = []
    for what, rounds in measured.items():
        unit = "k" if "manifest" in what else ""
        against = ratio(rounds)
        rows.append(
            [
                f"{what}, {'answers per CPU second' if unit else 'CPU seconds per GiB'}",
                cell(rounds["Package Origin"], unit),
                cell(rounds.get("nginx"), unit),
                f"{against:.2f}" if against else "–",
                f"{max(map(spread, filter(None, rounds.values()))):.2f}",
            ]
        )
    return table(["", "Package Origin", "nginx", "ratio", "spread"], rows)


def start_table(starts: list[Start]) -> str:
    """Best and median of the starts."""
    rows = []
    for what, key in (("`Serving` line", "serving"), ("first 200 of `/readyz`", "ready"), ("first manifest", "manifest")):
        seconds = [getattr(start, key) * 1000 for start in starts]
        rows.append([what, f"{min(seconds):.0f} ms", f"{statistics.median(seconds):.0f} ms"])
    return table(["from the start of the program until", "best", "median"], rows)


def memory_table(results: Results) -> str:
    """Resident memory at several times."""
    rows = [[what, f"{now:.1f} MiB", f"{most:.1f} MiB"] for what, now, most in results.memory]
    if results.peer_memory:
        now, most = results.peer_memory
        rows.append(["nginx after all rounds, sum of its processes", f"{now:.1f} MiB", f"{most:.1f} MiB"])
    return table(["", "VmRSS", "VmHWM"], rows)


def goals(results: Results) -> str:
    """What is aimed at."""
    ratios = [ratio(rounds) for what, rounds in results.measured.items() if "blob" in what]
    worst = max(ratios) if None not in ratios else None
    ready = min(start.ready for start in results.starts)
    resident = max(most for _, _, most in results.memory)
    archives = results.plan.archives
    checks = [
        (f"{archives:,} archives ready in under 1 s", f"{ready:.2f} s (best)", ready < 1),
        (f"under 24 MiB resident at any time, with {archives:,} archives", f"{resident:.1f} MiB", resident < 24),
        ("CPU per GiB within 4 × nginx", f"{worst:.2f} ×" if worst else "no nginx here", worst and worst <= 4),
        ("binary under 8 MiB", f"{results.binary_size / MIB:.2f} MiB", results.binary_size < 8 * MIB),
    ]
    return goal_table(checks)


def circumstances(results: Results, binary: pathlib.Path) -> str:
    """What is needed to judge the numbers, and to get them again. Nothing here tells a path of this machine."""
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    plan = results.plan
    blobs = ", ".join(f"{blobs.gets} × {blobs.label} ({blobs.different} different)" for blobs in plan.blobs)
    noisy = [what for what, rounds in results.measured.items() if max(map(spread, filter(None, rounds.values()))) > NOISY]
    lines = [
        f"Machine: {machine()}, {congestion}; "
        f"load average {results.load[0]:.1f} before, {results.load[1]:.1f} after.",
        f"Versions: {version(binary)}, {first_line(['nginx', '-v'])}, "
        f"{first_line(['wrk', '-v']).split(' Copyright')[0]}, Python {platform.python_version()}.",
        f"Rounds: {plan.rounds} of each, alternately. A round: {blobs}; manifests for {plan.manifest_seconds} s. {CONNECTIONS} keep-alive "
        f"connections. Blobs are read and dropped by Python threads, manifests by {'wrk' if shutil.which('wrk') else 'the same'}.",
        "Package Origin: `packageorigin --packages DIR --listen 127.0.0.1:PORT`, one archive in the OCI layout; "
        "its access log is on and goes to /dev/null.",
        f"nginx: the same bytes as plain files on the same paths; {os.cpu_count()} workers, `sendfile on`, `tcp_nopush on`, "
        "`open_file_cache` on, `access_log off`.",
        f"Start: {plan.archives:,} OCI layout tars of 10 members, {SMALL_LAYERS} layers of {SMALL_LAYER // KIB} KiB each, no two the same, in folders of 100; "
        f"page cache warm; {plan.starts} starts. Memory: these and the archive with the big blobs.",
        "CPU is what the clocks of the server's processes count, user and kernel mode. Cells give the median of the rounds, their range, and the throughput; "
        "ratio is the median over pairs of rounds; spread is the slowest to the fastest round.",
        f"Noisy (spread over {NOISY}): {', '.join(noisy)}." if noisy else f"No spread over {NOISY}.",
        f"Command: `load/measure.py{'' if plan.is_full else ' --quick'}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def report(results: Results, binary: pathlib.Path) -> str:
    """The whole report."""
    parts = [
        f"# Package Origin beside nginx, {datetime.date.today()}{'' if results.plan.is_full else ' (quick: not for comparing)'}",
        goals(results),
        "## CPU of the server",
        comparison(results.measured),
        f"## Start with {results.plan.archives:,} archives",
        start_table(results.starts),
        "## Resident memory",
        memory_table(results),
        f"Binary, stripped: {results.binary_size / MIB:.2f} MiB.",
        "## How it was measured",
        circumstances(results, binary),
    ]
    return "\n\n".join(parts) + "\n"


def measure(binary: pathlib.Path, plan: Plan, folder: pathlib.Path) -> Results:
    """Everything, one after the other."""
    load_before = os.getloadavg()[0]
    progress("making data")
    shelf, many = make_shelf(folder, plan), folder / "many"
    make_many(many, plan.archives)
    # What is still to be written would be written while we measure.
    os.sync()
    with contextlib.ExitStack() as stack:
        # The clients come first and so end last: a server that is stopped cuts off whoever still waits.
        pool = stack.enter_context(ThreadPoolExecutor(CONNECTIONS))
        servers = [stack.enter_context(origin(binary, [shelf.packages]))]
        if shutil.which("nginx"):
            servers.append(stack.enter_context(nginx(folder, shelf)))
        for server in servers:
            check(server, shelf)
        measured = alternate(servers, pool, shelf, plan)
        peer_memory = servers[1].memory() if len(servers) > 1 else None
        starts = [start_once(binary, many) for _ in range(plan.starts)]
        progress("memory")
        resident = memory(binary, many, shelf, pool, plan)
    size = stripped_size(binary, folder)
    return Results(plan, measured, starts, resident, peer_memory, size, (load_before, os.getloadavg()[0]))


def work(binary: pathlib.Path, is_full: bool, folder: pathlib.Path) -> str:
    """Measures, and gives the report."""
    return report(measure(binary, FULL if is_full else QUICK, folder), binary)


if __name__ == "__main__":
    run(__doc__.splitlines()[0], "about ten seconds", "", work)
