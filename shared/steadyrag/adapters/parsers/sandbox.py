"""What a process that reads a stranger's document gives up before it looks at it.

Nothing here needs a privilege. The limits are the kernel's (`setrlimit`). The system call
filter (seccomp) is Linux's, on x86_64 and arm64: no socket can be opened, no program run, no
process started, signalled or looked into. Reading files isn't taken away: the filter can't tell
one path from another, and parsers load tables of theirs while they read.
"""

import contextlib
import ctypes
import platform
import resource
import struct

_SET_NO_NEW_PRIVILEGES = 38
_SET_SECCOMP = 22
_FILTER = 2
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | 1  # EPERM
_KILL = 0x80000000

_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_RETURN = 0x06
_NUMBER_AT, _MACHINE_AT = 0, 4

_FIRST_X32_CALL = 0x40000000
"""x86_64 has every call a second time from here on."""

_SHARED_CALLS = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
}
_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "socketpair": 53,
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "kill": 62,
            "ptrace": 101,
            "setpgid": 109,
            "setsid": 112,
            "rt_sigqueueinfo": 129,
            "tkill": 200,
            "tgkill": 234,
            "rt_tgsigqueueinfo": 297,
            "prlimit64": 302,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "execveat": 322,
            **_SHARED_CALLS,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "ptrace": 117,
            "kill": 129,
            "tkill": 130,
            "tgkill": 131,
            "rt_sigqueueinfo": 138,
            "setpgid": 154,
            "setsid": 157,
            "socket": 198,
            "socketpair": 199,
            "clone": 220,
            "execve": 221,
            "rt_tgsigqueueinfo": 240,
            "prlimit64": 261,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "execveat": 281,
            **_SHARED_CALLS,
        },
    ),
}
"""The audit number of each machine and the calls refused (`asm/unistd.h`)."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def limit(*, memory_bytes: int, cpu_s: int, output_bytes: int) -> None:
    """For the rest of this process: its address space, its processor time (SIGXCPU ends it),
    the size of any file it writes; and it starts no other process, unless it is root's.

    A limit that the platform doesn't know (macOS has none for memory) is passed over.
    """
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (allowed, allowed))


def refuse_system_calls() -> bool:
    """Takes away the network and other processes, for good. False where that can't be done."""
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        return False
    code = _instructions(*machine)
    program = _Program(len(code) // 8, code)
    control = ctypes.CDLL(None, use_errno=True).prctl
    control.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    if control(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(control(_SET_SECCOMP, _FILTER, ctypes.addressof(program), 0, 0) == 0)


def _instructions(machine: int, calls: dict[str, int]) -> bytes:
    """A filter in the kernel's BPF: a jump is counted from the instruction after it."""
    tests = [(_IF_AT_LEAST, _FIRST_X32_CALL), *((_IF_EQUAL, number) for number in calls.values())]
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _MACHINE_AT),
            (_IF_EQUAL, 1, 0, machine),
            (_RETURN, 0, 0, _KILL),
            (_LOAD, 0, 0, _NUMBER_AT),
            *((test, len(tests) - at, 0, value) for at, (test, value) in enumerate(tests)),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        )
    )
