"""Giving way to the processes that answer someone."""

from __future__ import annotations

import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Take less of the processors, by `niceness` steps of 0 to 19, whenever others want them.

    Where Linux groups processes by session (sched_autogroup), niceness counts within the session
    only, and that of the group counts between them. A process that leads its session sets both.
    """
    os.nice(niceness)
    if os.getsid(0) != os.getpid():
        # The group would be that of the terminal, with everything else that was started there.
        return
    try:
        AUTOGROUP.write_text(str(niceness))
    except OSError:
        # Another system, or a kernel that groups by container: the niceness is all there is.
        return
