"""What a process that reads a stranger's document gives up before it looks at it.

Nothing here needs a privilege. The limits are the kernel's (`setrlimit`). The system call
filter (seccomp) is Linux's, on x86_64 and arm64: no socket can be opened, no program run, no
process started, signalled or traced, no file written but those that are open. Reading files isn't
taken away: the filter can't tell one path from another, and parsers load tables of theirs while
they read.
"""

import contextlib
import ctypes
import os
import platform
import resource
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SET_NO_NEW_PRIVILEGES = 38
_SET_SECCOMP = 22
_FILTER = 2
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | 1  # EPERM
_KILL = 0x80000000

_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_FOR_WRITING = os.O_WRONLY | os.O_RDWR

_FIRST_X32_CALL = 0x40000000
"""x86_64 has every call a second time from here on."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """The audit number of a machine, its calls (`asm/unistd.h`) that are refused, and those
    that open a file, with the place of the flags among their arguments."""

    number: int
    refused: Sequence[int]
    opening: Mapping[int, int]


_EVERYWHERE = (
    424,  # pidfd_send_signal
    425,  # io_uring_setup
    434,  # pidfd_open
    435,  # clone3
    437,  # openat2, whose flags a filter can't see
    438,  # pidfd_getfd
    452,  # fchmodat2
)
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        (
            *(41, 53),  # socket, socketpair
            *(56, 57, 58, 59, 322),  # clone, fork, vfork, execve, execveat
            *(62, 129, 200, 234, 297),  # kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
            *(101, 310, 311),  # ptrace, process_vm_readv, process_vm_writev
            *(109, 112, 302),  # setpgid, setsid, prlimit64
            *(76, 77, 85),  # truncate, ftruncate, creat
            *(82, 264, 316),  # rename, renameat, renameat2
            *(83, 258, 84, 87, 263),  # mkdir, mkdirat, rmdir, unlink, unlinkat
            *(86, 265, 88, 266, 133, 259),  # link, linkat, symlink, symlinkat, mknod, mknodat
            *(90, 91, 268, 92, 93, 94, 260),  # chmod, chown and theirs
            *_EVERYWHERE,
        ),
        {2: 1, 257: 2},  # open, openat
    ),
    "aarch64": _Machine(
        0xC00000B7,
        (
            *(198, 199),  # socket, socketpair
            *(220, 221, 281),  # clone, execve, execveat
            *(129, 138, 130, 131, 240),  # kill, rt_sigqueueinfo, tkill, tgkill, rt_tgsigqueueinfo
            *(117, 270, 271),  # ptrace, process_vm_readv, process_vm_writev
            *(154, 157, 261),  # setpgid, setsid, prlimit64
            *(45, 46),  # truncate, ftruncate
            *(38, 276),  # renameat, renameat2
            *(34, 35),  # mkdirat, unlinkat
            *(36, 37, 33),  # symlinkat, linkat, mknodat
            *(52, 53, 54, 55),  # fchmod, fchmodat, fchownat, fchown
            *_EVERYWHERE,
        ),
        {56: 2},  # openat
    ),
}


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
    """Takes away the network, other processes and files to write, for good. False where that
    can't be done."""
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        return False
    code = _instructions(machine)
    program = _Program(len(code) // 8, code)
    control = ctypes.CDLL(None, use_errno=True).prctl
    control.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    if control(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(control(_SET_SECCOMP, _FILTER, ctypes.addressof(program), 0, 0) == 0)


def _instructions(machine: _Machine) -> bytes:
    """A filter in the kernel's BPF: each instruction has two jumps, taken and not, that are
    counted from the one after it."""
    refused = [(_IF_AT_LEAST, _FIRST_X32_CALL)]
    refused += [(_IF_EQUAL, number) for number in machine.refused]
    opening = [
        instruction
        for number, place in machine.opening.items()
        for instruction in (
            (_IF_EQUAL, 0, 3, number),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * place),
            (_IF_ANY_BIT, 0, 1, _FOR_WRITING),
            (_RETURN, 0, 0, _REFUSE),
            # What is loaded now is no call's number any more.
            (_LOAD, 0, 0, _NUMBER_AT),
        )
    ]
    to_refusal = len(refused) + len(opening)
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _MACHINE_AT),
            (_IF_EQUAL, 1, 0, machine.number),
            (_RETURN, 0, 0, _KILL),
            (_LOAD, 0, 0, _NUMBER_AT),
            *((test, to_refusal - at, 0, value) for at, (test, value) in enumerate(refused)),
            *opening,
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        )
    )
