"""Start a program that cannot outlive the process that started it.

A lab that is ended with `kill -9` has no chance to clean up, and an Envoy left behind keeps its ports for days. Linux
can do it for us: PR_SET_PDEATHSIG makes the kernel kill a child when its parent dies, and the setting survives
`exec`. It has to be made inside the child, so every program of the lab is started through this file, which makes the
call and then becomes the program.

Rejected: `preexec_fn` (runs Python between fork and exec of a process that has threads, which newer Pythons warn
about), `setpriv --pdeathsig` (cannot close the race with a parent that died first, and busybox has none), a watchdog
(one more process to lose). Run as a script, with -I -S, because starting Python twice must stay cheap; so it imports
nothing of ours.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Become the program given after the parent's process id.

    Args:
        argv: this file, the process id of the expected parent, the program and its arguments.
    """
    parent = int(argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_PDEATHSIG): {os.strerror(code)}")
    if os.getppid() != parent:
        sys.exit(f"{argv[2]}: not started, because process {parent} that asked for it is gone")
    os.execvp(argv[2], argv[2:])  # noqa: S606 - replacing this process is the purpose; the arguments are the lab's own


if __name__ == "__main__":
    main(sys.argv)
