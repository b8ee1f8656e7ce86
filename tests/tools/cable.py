#!/usr/bin/env python3
"""A bad cable between two interfaces: it delays and loses what it carries.

usage: cable.py ONE OTHER DELAY LOSS LONGEST

Makes the TAP interfaces ONE and OTHER and carries each frame from either to the other:
DELAY milliseconds later, LOSS of a hundred not at all, and none that is longer than LONGEST
bytes (0: all).  Either may be moved to another network namespace.  Prints "Ready".  For
kernels without netem.  SEED in the environment repeats a run.
"""
import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454ca
IFF_TAP_NO_PI = 0x0002 | 0x1000


def tap(name):
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return handle


def main():
    ends = [tap(sys.argv[1]), tap(sys.argv[2])]
    delay, loss, longest = (int(text) for text in sys.argv[3:6])
    chance = random.Random(int(os.environ.get("SEED", "0")) or None)
    under_way = collections.deque()
    print("Ready", flush=True)
    while True:
        left = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], left)[0]:
            frame = os.read(end, 65536)
            if (longest and len(frame) > longest) or chance.randrange(100) < loss:
                continue
            other = ends[1] if end == ends[0] else ends[0]
            under_way.append((time.monotonic() + delay / 1000, other, frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, other, frame = under_way.popleft()
            try:
                os.write(other, frame)
            except OSError:
                pass    # the interface is down


main()
