"""What every measurement needs: servers that are started and stopped, a small client, Markdown, and the frame of a run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import http.client
import os
import pathlib
import platform
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from archives import MANIFEST_TYPE

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
#: All data is made from it.
SEED = 20130913
#: Nothing here waits for longer than this for one answer.
PATIENCE = 60.0
#: A server that used no CPU for this long is done with what it did.
QUIET = 0.15
#: The whole run ends after this many seconds, whatever hangs.
LIMIT = 30 * 60


# Servers


@dataclasses.dataclass
class Server:
    """A running server."""

    name: str
    process: subprocess.Popen
    port: int

    def pids(self) -> list[int]:
        """The process and its workers."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of CPU spent so far, in user and in kernel mode."""
        return sum(cpu_of(pid) for pid in self.pids())

    def memory(self) -> tuple[float, float]:
        """MiB resident now, and at most so far."""
        return self.sum_of("status", "VmRSS") / MIB, self.sum_of("status", "VmHWM") / MIB

    def sum_of(self, file: str, key: str) -> int:
        """Bytes that a file in /proc tells under `key`, over the process and its workers."""
        texts = [pathlib.Path(f"/proc/{pid}/{file}").read_text() for pid in self.pids()]
        told = [re.search(rf"^{key}:\s+(\d+)( kB)?", text, re.MULTILINE) for text in texts]
        return sum(int(number[1]) * (KIB if number[2] else 1) for number in told)

    def stop(self) -> None:
        """Ends this process and no other."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()


def cpu_of(pid: int) -> float:
    """Seconds on the CPU clock of a process, which counts nanoseconds, and threads that have ended."""
    clock = (~pid << 3) | 2
    return time.clock_gettime_ns(clock) / 1e9


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(name: str, command: list[str], port: int, ready: str, stderr=subprocess.DEVNULL) -> Iterator[Server]:
    """Runs a server until the caller is done, from when it answers `ready` by 200."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
    server = Server(name, process, port)
    try:
        wait_for(server, ready)
        yield server
    finally:
        server.stop()


def wait_for(server: Server, path: str) -> None:
    """Waits until the server answers `path` by 200."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if get(server.port, path)[0] == 200:
                return
        time.sleep(0.02)
    raise SystemExit(f"{server.name} does not answer {path}; it ended with {server.process.poll()}")


def origin(binary: pathlib.Path, roots: list[pathlib.Path], *options: str, stderr=subprocess.DEVNULL) -> contextlib.AbstractContextManager[Server]:
    """Package Origin with its defaults. Its access log is on and goes to /dev/null."""
    port = free_port()
    return serving("Package Origin", [*origin_command(binary, roots, port), *options], port, "/readyz", stderr)


def origin_command(binary: pathlib.Path, roots: list[pathlib.Path], port: int) -> list[str]:
    """How Package Origin is started: with nothing left of an earlier run."""
    packages = [part for root in roots for part in ("--packages", str(root))]
    return [str(binary), *packages, "--listen", f"127.0.0.1:{port}", "--no-cache"]


def settle(server: Server) -> None:
    """Waits until the server has used no CPU for a while."""
    deadline, used = time.monotonic() + PATIENCE, -1.0
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET:
        if time.monotonic() > deadline:
            raise SystemExit(f"{server.name} does not come to rest")
        if (now := server.cpu()) != used:
            used, quiet_since = now, time.monotonic()
        time.sleep(0.002)


def look(server: Server) -> None:
    """Has the server look at its files."""
    os.kill(server.process.pid, signal.SIGHUP)


def burst(server: Server, begin: Callable[[Server], None] = lambda server: None) -> float:
    """Waits for the next thing that the server does, or for what `begin` makes it do, and gives the seconds of CPU that it took."""
    deadline, before = time.monotonic() + PATIENCE, server.cpu()
    begin(server)
    while server.cpu() == before:
        if time.monotonic() > deadline:
            raise SystemExit(f"{server.name} does not look at its files again")
        time.sleep(0.002)
    settle(server)
    return server.cpu() - before


# Clients


def get(port: int, path: str) -> tuple[int, bytes]:
    """One small answer on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


class Connection:
    """A keep-alive connection that throws bodies away, into one buffer that stays in the processor's cache.

    It reads the bytes, as real clients do: letting the kernel drop them (`MSG_TRUNC`) makes both servers look cheaper.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.space = bytearray(128 * KIB)

    def get(self, path: str) -> int:
        """Asks for `path` and gives the length of its body."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {MANIFEST_TYPE}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionError(f"no answer to {path}")
            received += more
        head, front = received.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length:
            raise ConnectionError(f"unexpected answer to {path}: {head!r}")
        self.discard(int(length[1]) - len(front))
        return int(length[1])

    def discard(self, left: int) -> None:
        """Takes `left` bytes off the connection."""
        while left > 0:
            taken = self.socket.recv_into(self.space, min(left, len(self.space)))
            if taken == 0:
                raise ConnectionError(f"cut short by {left} bytes")
            left -= taken


def pull(task: tuple[int, list[str]]) -> int:
    """Runs in a thread of its own: gets each path in turn and gives the number of bytes."""
    port, paths = task
    connection = Connection(port)
    with contextlib.closing(connection.socket):
        return sum(connection.get(path) for path in paths)


# Starts


@dataclasses.dataclass(frozen=True)
class Start:
    """Seconds from before the program was run until it …, and what it said by then."""

    serving: float
    ready: float
    manifest: float
    said: str


@contextlib.contextmanager
def starting(binary: pathlib.Path, root: pathlib.Path, manifest: str) -> Iterator[tuple[Server, Start]]:
    """Runs Package Origin until the caller is done, from when it has said that it serves and has given the first answers."""
    port, began = free_port(), time.monotonic()
    process = subprocess.Popen(origin_command(binary, [root], port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    server = Server("Package Origin", process, port)
    try:
        yield server, watch_start(server, began, manifest)
    finally:
        server.stop()


def watch_start(server: Server, began: float, path: str) -> Start:
    """Watches the program's lines, a request for a manifest that waits for the first scan, and `/readyz` every 2 ms."""
    stderr, lines, ready, manifest = server.process.stderr.fileno(), b"", None, None
    serving_at = None
    asked: socket.socket | None = None
    with contextlib.ExitStack() as open_sockets:
        while not (serving_at and ready and manifest):
            if time.monotonic() - began > PATIENCE or server.process.poll() is not None:
                raise SystemExit(f"Package Origin does not start: {lines.decode()}")
            readable, _, _ = select.select([stderr, *([asked] if asked and not manifest else [])], [], [], 0.002)
            if stderr in readable:
                lines += os.read(stderr, 65536)
            if asked in readable and not manifest:
                check_first(asked.recv(65536))
                manifest = time.monotonic() - began
            if b"Serving " in lines and not serving_at:
                serving_at = time.monotonic() - began
            if b"Listening " not in lines:
                continue
            if not asked:
                asked = open_sockets.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
                asked.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            if not ready and get(server.port, "/readyz")[0] == 200:
                ready = time.monotonic() - began
    return Start(serving_at, ready, manifest, lines.decode())


def check_first(answer: bytes) -> None:
    """The first answer must be a good one: a 404 is quick to give."""
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"the first manifest is answered by {answer[:200]!r}")


# Reports


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def within(values: list[float], unit: str, digits: int = 0) -> str:
    """The median and the range behind it."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"**{middle:.{digits}f} {unit}** ({low:.{digits}f} to {high:.{digits}f})"


def goal_table(checks: list[tuple[str, str, bool | None]]) -> str:
    """What is aimed at. Not reaching it fails no run: machines differ, and this one may be busy."""
    met = {True: "met", False: "**not met**", None: "–"}
    return table(["goal", "measured", ""], [[goal, value, met[is_met]] for goal, value, is_met in checks])


def first_line(command: list[str]) -> str:
    """What a program says about its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "not installed"
    said = (done.stdout + done.stderr).strip()
    return said.splitlines()[0] if said else "unknown"


def machine() -> str:
    """What it ran on. Nothing here tells a path of this machine."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    return f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, {pages:.0f} GiB, Linux {platform.release()}"


def version(binary: pathlib.Path) -> str:
    """The version of the binary, and which sources it was built from, if that can be told: one from elsewhere may be of any."""
    here = pathlib.Path(__file__).resolve().parent.parent
    sources = "sources elsewhere"
    if binary.is_relative_to(here):
        sources = f"{first_line(['git', '-C', str(here), 'describe', '--always', '--dirty'])} or before"
    return f"{first_line([str(binary), '--version'])} (built from {sources})"


def progress(text: str) -> None:
    """A full run takes minutes."""
    print(text, file=sys.stderr, flush=True)


# The frame of a run


def give_up(number: int, _: object) -> None:
    """Ends the run by an exception, so that what was started is stopped."""
    raise SystemExit(f"not done after {LIMIT} s" if number == signal.SIGALRM else "stopped by a signal")


Work = Callable[[pathlib.Path, bool, pathlib.Path], str]


def run(description: str, quick: str, report_prefix: str, work: Work) -> None:
    """Reads the arguments, lets `work` make a report (with the binary, whether all is measured, and a temporary folder), and writes it."""
    repository = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--binary", type=pathlib.Path, default=repository / "target/release/packageorigin")
    parser.add_argument("--quick", action="store_true", help=f"{quick}; to see that all this works")
    parser.add_argument("--out", type=pathlib.Path, help="folder for the report [default: load/results; with --quick none]")
    arguments = parser.parse_args()
    if not arguments.binary.is_file():
        parser.error("no binary: run `cargo build --release`, or give --binary PATH")
    for reason in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(reason, give_up)
    signal.alarm(LIMIT)
    with tempfile.TemporaryDirectory(prefix="packageorigin-load-") as folder:
        text = work(arguments.binary.resolve(), not arguments.quick, pathlib.Path(folder))
    print(text)
    out = arguments.out or (None if arguments.quick else repository / "load/results")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{report_prefix}{datetime.date.today()}.md").write_text(text)
