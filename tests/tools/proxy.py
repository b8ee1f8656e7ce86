#!/usr/bin/env python3
"""A NATS server's bad connection: passes on what it gets, until it is told otherwise.

usage: proxy.py PORT COMMANDS [ROAD]

Listens on a port of the loopback and connects to PORT there, where ROAD (tcp, tls, ws
or wss) is spoken.  COMMANDS is a FIFO; each line of it is a command:

pass            pass everything on
swallow WAY     take what goes that way and lose it; WAY is up (to the server),
                down (to the client) or both
cut WAY FROM TO each connection ends inside of a message that goes that way: at a
                random byte of a report (up) or of an answer to one (down), with
                FROM to TO of those before it; all before that byte is passed on
drop            end all connections; new ones are welcome
refuse          the same, and end new ones as soon as they come, until pass

Over ws the messages are looked for in the frames, whose headers are no part of them but
may fall into them.  Over tls and wss nothing can be seen: there "cut" means a random byte
of a TLS record, which holds some messages or a part of one, of those behind the handshakes
that are no mere ping's; FROM and TO are divided by thirty.

Prints "Listening on PORT", "did COMMAND" for each command, and "cut WAY: ..." for
each message that was cut.  SEED in the environment repeats a run's cuts.
"""
import os
import random
import re
import socket
import sys
import threading

# What counts as a report on its way up, and as an answer on its way down.
INTERESTING = {
    "up": re.compile(rb"H?PUB [^ ]*\.telemetry\."),
    "down": re.compile(rb"H?MSG _INBOX\."),
}
MESSAGE = re.compile(rb"(H?PUB|H?MSG) .* (\d+)$")


class Scanner:
    """Knows where in one direction of a connection the messages lie."""

    share = 1                   # of FROM and TO

    def __init__(self, way):
        self.way = way
        self.line = b""         # an unfinished one
        self.skip = 0           # bytes of a payload that are still to come
        self.position = 0       # of all that was seen

    def feed(self, data):
        """Yield (place of the payload, its length with CR LF) for each interesting message."""
        at = 0
        while at < len(data):
            if self.skip > 0:
                step = min(self.skip, len(data) - at)
                self.skip -= step
                at += step
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self.line += data[at:]
                break
            line = (self.line + data[at:end]).rstrip(b"\r")
            self.line = b""
            at = end + 1
            found = MESSAGE.match(line)
            if found:
                self.skip = int(found.group(2)) + 2
                if INTERESTING[self.way].match(line):
                    yield self.position + at, self.skip
        self.position += len(data)

    def everywhere(self, place):
        return place


class Frames:
    """The same for WebSocket, of the messages in the frames; places are those in the payload,
    of which everywhere() knows where they are in all that was sent."""

    share = 1

    def __init__(self, way):
        self.inner = Scanner(way)
        self.head = b""         # the upgrade, then an unfinished header of a frame
        self.upgraded = False
        self.left = 0           # of the frame's payload
        self.mask = b"\0\0\0\0"
        self.opcode = 0
        self.turn = 0           # of the mask
        self.position = 0
        self.pieces = []        # (place of its first byte in the payload, in everything, length)

    def header(self):
        """The header's size, or 0 while it is unfinished."""
        if len(self.head) < 2:
            return 0
        length = self.head[1] & 127
        more = {126: 2, 127: 8}.get(length, 0)
        masked = 4 if self.head[1] & 128 else 0
        if len(self.head) < 2 + more + masked:
            return 0
        self.left = int.from_bytes(self.head[2:2 + more], "big") if more else length
        self.mask = self.head[2 + more:2 + more + masked] or b"\0\0\0\0"
        self.turn = 0
        return 2 + more + masked

    def unmask(self, data):
        key = (self.mask[self.turn:] + self.mask[:self.turn]) * (len(data) // 4 + 1)
        self.turn = (self.turn + len(data)) % 4
        whole = int.from_bytes(data, "big") ^ int.from_bytes(key[:len(data)], "big")
        return whole.to_bytes(len(data), "big")

    def everywhere(self, place):
        """Where in everything the PLACE in the payload is, or None if it has not come yet."""
        for begin, raw, length in reversed(self.pieces):
            if begin <= place < begin + length:
                return raw + place - begin
        return None

    def feed(self, data):
        at = 0
        del self.pieces[:-64]
        while at < len(data):
            if not self.upgraded:
                self.head += data[at:at + 1]
                at += 1
                if self.head.endswith(b"\r\n\r\n"):
                    self.upgraded = True
                    self.head = b""
                continue
            if self.left == 0:
                self.head += data[at:at + 1]
                at += 1
                if self.header():
                    self.opcode = self.head[0] & 15
                    self.head = b""
                continue
            step = min(self.left, len(data) - at)
            payload = self.unmask(data[at:at + step])
            self.left -= step
            if self.opcode < 8:
                self.pieces.append((self.inner.position, self.position + at, step))
                yield from self.inner.feed(payload)
            at += step
        self.position += len(data)


class Records:
    """The same for TLS, whose records are taken for messages."""

    share = 30
    handshakes = 13             # records of those, of WebSocket and of CONNECT together
    least = {"up": 200, "down": 100}

    def __init__(self, way):
        self.way = way
        self.head = b""
        self.left = 0
        self.count = 0
        self.position = 0

    def everywhere(self, place):
        return place

    def feed(self, data):
        at = 0
        while at < len(data):
            if self.left == 0:
                self.head += data[at:at + 1]
                at += 1
                if self.head[:1] == b"I":       # INFO, before it
                    if self.head[-1:] == b"\n":
                        self.head = b""
                elif len(self.head) == 5:
                    self.left = int.from_bytes(self.head[3:], "big")
                    self.head = b""
                    self.count += 1
                    if self.count > self.handshakes and self.left > self.least[self.way]:
                        yield self.position + at, self.left
                continue
            step = min(self.left, len(data) - at)
            self.left -= step
            at += step
        self.position += len(data)


SCANNERS = {"tcp": Scanner, "ws": Frames, "tls": Records, "wss": Records}


class Proxy:
    def __init__(self, port, road):
        self.port = port
        self.scanner = SCANNERS[road]
        self.lock = threading.Lock()
        self.pairs = set()
        self.swallowed = set()
        self.cut = None
        self.refusing = False
        self.random = random.Random(int(os.environ.get("SEED", "0")) or None)

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def end(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass    # it has ended by itself

    def end_all(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self.end(pair)

    def pump(self, pair, source, to, way):
        scanner = self.scanner(way)
        cut = self.cut if self.cut and self.cut[0] == way else None
        left = self.random.randint(cut[1], cut[2]) // scanner.share if cut else 0
        place = None
        while True:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            begin = scanner.position
            for start, length in scanner.feed(data):
                left -= 1
                if cut and left < 0 and place is None:
                    inside = self.random.randrange(length)
                    place = start + inside
                    what = f"cut {way}: at byte {inside} of {length}"
            end = None if place is None else scanner.everywhere(place)
            last = end is not None and end < begin + len(data)
            if last:
                data = data[:end - begin]
            try:
                if way not in self.swallowed:
                    to.sendall(data)
            except OSError:
                break
            if last:
                self.say(what)
                break
        self.end(pair)

    def take(self, client):
        if self.refusing:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.port), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        with self.lock:
            self.pairs.add(pair)
        for way in ((client, server, "up"), (server, client, "down")):
            threading.Thread(target=self.pump, args=(pair, *way), daemon=True).start()

    def serve(self, listener):
        while True:
            client, _ = listener.accept()
            self.take(client)

    def obey(self, command):
        words = command.split()
        if words[0] in ("pass", "refuse"):
            self.swallowed = set()
            self.cut = None
            self.refusing = words[0] == "refuse"
        elif words[0] == "swallow":
            self.swallowed = {"up", "down"} if words[1] == "both" else {words[1]}
        elif words[0] == "cut":
            self.cut = (words[1], int(words[2]), int(words[3]))
        if words[0] in ("drop", "refuse", "cut"):
            self.end_all()
        self.say(f"did {command}")


def main():
    proxy = Proxy(int(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else "tcp")
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=proxy.serve, args=(listener,), daemon=True).start()
    proxy.say(f"Listening on {listener.getsockname()[1]}")
    while True:
        with open(sys.argv[2], encoding="utf-8") as commands:
            for line in commands:
                proxy.obey(line.strip())


main()
