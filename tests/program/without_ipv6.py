"""Runs the program that its arguments name as on a kernel without IPv6: sockets
of it cannot be made there."""

import ctypes
import errno
import os
import struct
import sys

# prctl(2) and seccomp(2).
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
# Of a classic BPF program, and where seccomp_data has what.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16

AF_INET6 = 10
SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 3, SOCKET),
    (LOAD, 0, 0, FIRST_ARGUMENT),
    (JUMP_IF_EQUAL, 0, 1, AF_INET6),
    (RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT),
    (RETURN, 0, 0, ALLOW),
]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]


def main():
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in PROGRAM)
    code = ctypes.create_string_buffer(code)
    program = Filter(len(PROGRAM), ctypes.addressof(code))
    prctl = ctypes.CDLL(None).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("PR_SET_NO_NEW_PRIVS")
    if prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit("PR_SET_SECCOMP")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
