"""Passes packets on between two interfaces, later than they came, and loses some.

    python slow_line.py INTERFACE INTERFACE DELAY JITTER LOSS SEED ADDRESS EXCEPT
    python slow_line.py --whole INTERFACE

Traffic between ADDRESS and anybody but EXCEPT takes DELAY and up to JITTER seconds more, in the
order in which it came; the share LOSS of it is lost. Ends with its input. With --whole it lets an
interface send packets only as they are on a wire: no longer, and with their checksums.

Imports nothing but the standard library, so that it starts quickly.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
CHECKSUMS, SEGMENTS = 0x17, 0x1F  # ETHTOOL_STXCSUM, ETHTOOL_STSO
ALL_PROTOCOLS = 3
OUTGOING = 4
LONGEST = 65_536
IPV4 = b"\x08\x00"


def main() -> int:
    """Do what the command line says."""
    if sys.argv[1] == "--whole":
        _be_whole(sys.argv[2])
    else:
        one, other, delay, jitter, loss, seed, address, exempt = sys.argv[1:]
        line = (float(delay), float(jitter), float(loss), int(seed))
        _pass_on(one, other, *line, address, exempt)
    return 0


def _be_whole(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for what in (CHECKSUMS, SEGMENTS):
            value = ctypes.create_string_buffer(struct.pack("II", what, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(any_socket, SIOCETHTOOL, request.ljust(40, b"\0"))


def _pass_on(
    one: str,
    other: str,
    delay: float,
    jitter: float,
    loss: float,
    seed: int,
    address: str,
    exempt: str,
) -> None:
    luck = random.Random(seed)
    slow, quick = socket.inet_aton(address), socket.inet_aton(exempt)
    sockets = [_open(one), _open(other)]
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    last = dict.fromkeys(sockets, 0.0)
    number = 0
    sys.stdout.write("there\n")
    sys.stdout.flush()
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*sockets, sys.stdin], [], [], patience)
        if sys.stdin in readable and not os.read(sys.stdin.fileno(), 1):
            return
        for from_ in sockets:
            if from_ not in readable:
                continue
            frame, (_, _, sort, *_) = from_.recvfrom(LONGEST)
            if sort == OUTGOING:
                continue
            to = sockets[1 - sockets.index(from_)]
            ends = {frame[26:30], frame[30:34]}
            due = time.monotonic()
            if frame[12:14] == IPV4 and slow in ends and quick not in ends:
                if luck.random() < loss:
                    continue
                due = last[to] = max(last[to], due + delay + luck.uniform(0.0, jitter))
            number += 1
            heapq.heappush(waiting, (due, number, to, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            try:
                to.send(frame)
            except OSError:  # a packet that does not fit, or a full queue: lost, as on any line
                continue


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    opened.bind((interface, 0))
    return opened


if __name__ == "__main__":
    sys.exit(main())
