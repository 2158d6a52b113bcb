"""Starting, watching and stopping processes of this machine, as a container engine would."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120.0


def free_port() -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def as_user(command: Sequence[str | Path], user_id: int) -> list[str]:
    """`command` as an unprivileged user when this script is root, else as it is."""
    words = [str(word) for word in command]
    if os.geteuid() != 0:
        return words
    user = [f"--reuid={user_id}", f"--regid={user_id}", "--clear-groups", "--no-new-privs"]
    return ["setpriv", *user, *words]


def confined(command: Sequence[str | Path], user_id: int, data: Path) -> list[str]:
    """As `as_user`, on a read-only file system where `data` alone is writable (Linux, root)."""
    inner = as_user(command, user_id)
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return inner
    mounts = 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mounts, str(data), *inner]


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], folder: Path, stop_seconds: float
) -> Iterator[None]:
    """The process while the block runs; SIGTERM has to end it within `stop_seconds`."""
    process = subprocess.Popen(command, env=dict(variables), cwd=folder)
    try:
        yield
        assert process.poll() is None, f"{command[-1]} ended early with {process.returncode}"
        process.send_signal(signal.SIGTERM)
        code = process.wait(stop_seconds)
        # 143: a shell's way to say that SIGTERM ended the process.
        assert code in {0, -signal.SIGTERM, 143}, f"stopped with exit code {code}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return when `holds` does; raises TimeoutError after START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            message = f"{what} did not pass within {START_SECONDS:.0f} seconds"
            raise TimeoutError(message)
        time.sleep(0.5)
