#!/usr/bin/env python3
"""A NATS server that lies, by WebSocket on one port of the loopback and by plain TCP on another.

usage: ws_liar.py LIES [CERTIFICATE KEY]

With the two, WebSocket by TLS.  The file LIES has names of lies, each told to one connection
in this order: "ws NAME" to one by WebSocket, "tcp NAME" to one by TCP.  It may grow.  Who comes
when there is none left is hung up on.

Prints "Listening on WS-PORT TCP-PORT"; for each connection "from WAY" and, if there was a lie,
"told WAY NAME: HOW IT ENDED", which says what the other side did: "hung up", "a close 1002", or
that we ended it.  ws_liar.py --list prints the names of all lies.
"""
import base64
import hashlib
import os
import socket
import ssl
import struct
import sys
import threading
import time

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE = 1.2          # seconds, for what the other side does about a lie
FLOOD = 0.6             # seconds, the most that a flood goes on
INFO = (b'INFO {"server_id":"LIAR","server_name":"liar","version":"2.11.0","proto":1,'
        b'"headers":true,"max_payload":1048576%s}\r\n')
GOOD = INFO % b""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Over(Exception):
    """The other side ended it; the text says how."""


def frame(opcode, data=b"", final=True, rsv=0, mask=b"", size=None):
    """One from the server; SIZE: 7, 16 or 64 bits for the length, whatever it is."""
    length = len(data)
    size = size or (7 if length < 126 else 16 if length < 65536 else 64)
    head = bytes([(0x80 if final else 0) | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if size == 7:
        head += bytes([flag | length])
    elif size == 16:
        head += bytes([flag | 126]) + struct.pack(">H", length)
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", length)
    if mask:
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    return head + mask + data


def switch(request, accept=None, drop="", add=b""):
    """An answer of 101; DROP leaves a line out."""
    key = b""
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            key = value.strip()
    accept = accept or base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    lines = {"upgrade": b"Upgrade: websocket", "connection": b"Connection: Upgrade",
             "accept": b"Sec-WebSocket-Accept: " + accept}
    return (b"HTTP/1.1 101 Switching Protocols\r\n"
            + b"".join(line + b"\r\n" for name, line in lines.items() if name != drop)
            + add + b"\r\n")


def http(status, body=b"", more=b""):
    return (b"HTTP/1.1 %s\r\nContent-Type: text/html\r\n%sContent-Length: %d\r\n\r\n%s"
            % (status, more, len(body), body))


PAGE = b"<!doctype html><title>Hotel Wi-Fi</title><h1>Please log in</h1>"
PORTALS = {
    "portal_302": http(b"302 Found", b"", b"Location: http://login.hotel.example/?dst=x\r\n"),
    "portal_200": http(b"200 OK", PAGE),
    "portal_511": http(b"511 Network Authentication Required", PAGE),
}


class Talk:
    """One connection."""

    def __init__(self, connection, way):
        self.connection = connection
        self.way = way
        self.request = b""
        self.data = b""

    def send(self, data):
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise Over(f"hung up while we spoke ({error.__class__.__name__})") from error

    def more(self):
        try:
            data = self.connection.recv(65536)
        except (TimeoutError, socket.timeout) as error:
            raise TimeoutError from error
        except OSError as error:
            raise Over(f"hung up ({error.__class__.__name__})") from error
        if not data:
            raise Over("hung up")
        self.data += data

    def read_request(self):
        while b"\r\n\r\n" not in self.data:
            self.more()
        self.request, _, self.data = self.data.partition(b"\r\n\r\n")

    def frame(self):
        """The next of the client's: its opcode and payload."""
        def need(count):
            while len(self.data) < count:
                self.more()
        need(2)
        length = self.data[1] & 127
        at = {126: 4, 127: 10}.get(length, 2)
        need(at + 4)
        if at > 2:
            length = int.from_bytes(self.data[2:at], "big")
        if not self.data[1] & 128:
            raise Over("an unmasked frame")
        mask = self.data[at:at + 4]
        need(at + 4 + length)
        payload = self.data[at + 4:at + 4 + length]
        opcode = self.data[0] & 15
        self.data = self.data[at + 4 + length:]
        return opcode, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def say(self, data):
        """NATS to the client, in a frame if that is how it came."""
        self.send(frame(BINARY, data) if self.way == "ws" else data)

    def hear(self):
        """NATS from the client."""
        if self.way == "tcp":
            if not self.data:
                self.more()
            data, self.data = self.data, b""
            return data
        opcode, payload = self.frame()
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 0
            raise Over(f"a close {code} {payload[2:].decode(errors='replace')}".rstrip())
        return payload if opcode == BINARY else b""

    def greet(self, info=GOOD):
        if self.way == "ws":
            self.send(switch(self.request))
        self.say(info)

    def serve(self, info=GOOD):
        """An honest server until the client is up: it has pinged twice."""
        self.greet(info)
        text = b""
        pings = 0
        while pings < 2:
            text += self.hear()
            while b"PING\r\n" in text:
                text = text.partition(b"PING\r\n")[2]
                pings += 1
                self.say(b"PONG\r\n")

    def wait(self):
        """See how the client ends it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.hear()
        raise TimeoutError


# ---- the lies --------------------------------------------------------------------------

LIES = {"ws": {}, "tcp": {}}


def lie(*ways):
    def note(function):
        for way in ways:
            LIES[way][function.__name__] = function
        return function
    return note


def answers(name, data):
    """Another answer to the upgrade; to TCP: in place of INFO."""
    for way in ("ws", "tcp"):
        LIES[way][name] = lambda talk: talk.send(data)


for _name, _answer in PORTALS.items():
    answers(_name, _answer)
for _status in (b"400 Bad Request", b"401 Unauthorized", b"403 Forbidden", b"404 Not Found",
                b"426 Upgrade Required", b"500 Internal Server Error", b"503 Service Unavailable"):
    LIES["ws"]["status_" + _status[:3].decode()] = (
        lambda talk, status=_status: talk.send(http(status, b"no\x1b[31m such\0 thing")))


@lie("ws", "tcp")
def no_answer(talk):
    talk.wait()


@lie("ws", "tcp")
def hangs_up(talk):
    raise StopIteration


@lie("ws", "tcp")
def garbage(talk):
    talk.send(os.urandom(4000).replace(b"\n", b"x") + b"\n\n")
    talk.wait()


@lie("ws")
def header_without_end(talk):
    talk.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    until = time.monotonic() + FLOOD
    while time.monotonic() < until:
        talk.send(b"X-More: " + b"x" * 1000 + b"\r\n")


@lie("ws")
def header_line_without_end(talk):
    talk.send(b"HTTP/1.1 101 Switching Protocols\r\nX-More: ")
    until = time.monotonic() + FLOOD
    while time.monotonic() < until:
        talk.send(b"x" * 10000)


@lie("ws")
def header_drips(talk):
    for byte in switch(talk.request, add=b"X-More: " + b"x" * 200 + b"\r\n"):
        talk.send(bytes([byte]))
        time.sleep(0.1)


def upgrade(name, **how):
    def tell(talk):
        talk.send(switch(talk.request, **how) + frame(BINARY, GOOD))
        talk.wait()
    LIES["ws"][name] = tell


upgrade("accept_wrong", accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
upgrade("accept_missing", drop="accept")
upgrade("accept_twice", add=b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n")
upgrade("upgrade_missing", drop="upgrade")
upgrade("connection_missing", drop="connection")
upgrade("extension_unasked", add=b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
upgrade("protocol_unasked", add=b"Sec-WebSocket-Protocol: mqtt\r\n")
upgrade("header_nul", add=b"X-\0: y\r\n")


@lie("ws")
def info_outside_of_a_frame(talk):
    talk.send(switch(talk.request) + GOOD)
    talk.wait()


def frames(name, *parts):
    """Frames, told to a client that is up."""
    def tell(talk):
        talk.serve()
        talk.send(b"".join(parts))
        talk.wait()
    LIES["ws"][name] = tell


MESSAGE = b"PING\r\n"
frames("frame_masked", frame(BINARY, MESSAGE, mask=b"abcd"))
frames("frame_rsv1", frame(BINARY, MESSAGE, rsv=4))
frames("frame_rsv2", frame(BINARY, MESSAGE, rsv=2))
frames("frame_rsv3", frame(PING, b"", rsv=1))
frames("frame_text", frame(TEXT, MESSAGE))
frames("frame_opcode_3", frame(3, MESSAGE))
frames("frame_opcode_7", frame(7, MESSAGE))
frames("frame_opcode_11", frame(11))
frames("frame_opcode_15", frame(15))
frames("length_16_for_7", frame(BINARY, MESSAGE, size=16))
frames("length_64_for_16", frame(BINARY, MESSAGE * 50, size=64))
frames("length_64_for_7", frame(BINARY, MESSAGE, size=64))
frames("length_negative", b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff")
frames("control_long", frame(PING, b"x" * 126))
frames("control_in_fragments", frame(PING, b"x", final=False))
frames("close_in_fragments", frame(CLOSE, b"\x03\xe8", final=False))
frames("continuation_of_nothing", frame(0, MESSAGE))
frames("message_in_a_message", frame(BINARY, MESSAGE, final=False), frame(BINARY, MESSAGE))
frames("close_half_a_code", frame(CLOSE, b"\x03"))
frames("close_code_0", frame(CLOSE, struct.pack(">H", 0)))
frames("close_code_999", frame(CLOSE, struct.pack(">H", 999)))
frames("close_code_1005", frame(CLOSE, struct.pack(">H", 1005)))
frames("close_reason", frame(CLOSE, struct.pack(">H", 1008) + b"go away,\x1b[31m\n you"))
frames("close_reason_no_utf8", frame(CLOSE, struct.pack(">H", 1001) + b"\xff\xfe\xc0\x80"))
frames("close_empty", frame(CLOSE))
frames("close_and_more", frame(CLOSE, struct.pack(">H", 1001)) + frame(BINARY, b"-ERR 'x'\r\n") * 9)


@lie("ws")
def length_huge(talk):
    """A frame of 2^62 bytes, of which only a few come: nothing may be kept for it."""
    talk.serve()
    talk.send(b"\x82\x7f\x40\0\0\0\0\0\0\0" + b"PING\r\n" * 1000)
    time.sleep(0.3)
    raise StopIteration


@lie("ws")
def ends_in_a_header(talk):
    talk.serve()
    talk.send(b"\x82")
    raise StopIteration


@lie("ws")
def ends_in_a_frame(talk):
    talk.serve()
    talk.send(frame(BINARY, b"MSG x 1 5\r\nhello\r\n")[:9])
    raise StopIteration


def flood(talk, data, pause=0.0):
    until = time.monotonic() + FLOOD
    while time.monotonic() < until:
        talk.send(data)
        time.sleep(pause)
    raise StopIteration


@lie("ws")
def burst_of_pings(talk):
    """Legal: each is answered, and what comes behind them is heard."""
    talk.serve()
    talk.send(b"".join(frame(PING, b"%125d" % n) for n in range(300)) + frame(BINARY, b"PING\r\n"))
    pongs = 0
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        opcode, payload = talk.frame()
        if opcode == PONG and payload == b"%125d" % pongs:
            pongs += 1
        if opcode == BINARY and b"PONG\r\n" in payload and pongs == 300:
            raise Over("all answered")
    raise Over(f"{pongs} answered in {PATIENCE} s")


@lie("ws")
def flood_of_pings(talk):
    """Of which nobody reads the pongs."""
    talk.serve()
    flood(talk, frame(PING, b"x" * 125) * 200, 0.002)


@lie("ws")
def flood_of_pongs(talk):
    talk.serve()
    flood(talk, frame(PONG, b"x" * 125) * 200, 0.002)


@lie("ws")
def flood_of_empty_frames(talk):
    talk.serve()
    flood(talk, frame(BINARY) * 1000, 0.002)


@lie("ws")
def message_without_end(talk):
    """One of fragments that never says it is whole, in which NATS is spoken: no harm."""
    talk.serve()
    talk.send(frame(BINARY, MESSAGE, final=False))
    flood(talk, frame(0, MESSAGE, final=False) * 100, 0.01)


@lie("ws", "tcp")
def info_of_1_mib(talk):
    talk.greet(INFO % (b',"x":"' + b"x" * 1048576 + b'"'))
    talk.wait()


@lie("ws", "tcp")
def info_without_end(talk):
    talk.greet(b"INFO {")
    until = time.monotonic() + FLOOD
    while time.monotonic() < until:
        talk.say(b"x" * 10000)


@lie("ws", "tcp")
def connect_urls_100k(talk):
    urls = b",".join(b'"10.%d.%d.%d:4222"' % (n >> 16, n >> 8 & 255, n & 255) for n in range(100000))
    talk.greet(INFO % (b',"connect_urls":[' + urls + b"]"))
    talk.wait()


def info(name, text, up=False):
    def tell(talk):
        (talk.serve if up else talk.greet)(text)
        if up:
            raise StopIteration
        talk.wait()
    for way in ("ws", "tcp"):
        LIES[way][name] = tell


info("info_not_json", b"INFO {\"max_payload\":\r\n")
info("info_not_an_object", b"INFO [1,2,3]\r\n")
info("info_deep", b"INFO " + b"[" * 20000 + b"\r\n")
info("info_empty", b"\r\n")
info("not_info", b"PING\r\n")
info("err_for_info", b"-ERR 'go away'\r\n")
info("max_payload_0", GOOD.replace(b"1048576", b"0"))
info("max_payload_negative", GOOD.replace(b"1048576", b"-5"))
info("max_payload_text", GOOD.replace(b"1048576", b"\"much\""))
info("max_payload_2_63", GOOD.replace(b"1048576", b"9223372036854775808"), up=True)
info("max_payload_1e308", GOOD.replace(b"1048576", b"1e308"), up=True)
info("connect_urls_1000", INFO % (
    b',"connect_urls":[' + b",".join(b'"127.0.0.1:%d"' % n for n in range(1, 1001)) + b"]"), up=True)


def up(name, *parts):
    """NATS, told to a client that is up."""
    def tell(talk):
        talk.serve()
        for part in parts:
            talk.say(part)
        talk.wait()
    for way in ("ws", "tcp"):
        LIES[way][name] = tell


up("msg_longer_than_said", b"MSG agents.t1.cmd.ping 1 _INBOX.x 5\r\n" + b"x" * 500 + b"\r\n")
up("msg_without_size", b"MSG agents.t1.cmd.ping 1 _INBOX.x\r\n\r\n")
up("msg_size_negative", b"MSG agents.t1.cmd.ping 1 _INBOX.x -5\r\n\r\n")
up("msg_size_2_63", b"MSG agents.t1.cmd.ping 1 _INBOX.x 9223372036854775808\r\n\r\n")
up("hmsg_headers_larger", b"HMSG agents.t1.cmd.ping 1 _INBOX.x 500 5\r\nhello\r\n")
up("unknown_word", b"HELO there\r\n")
up("line_without_end", *[b"x" * 60000] * 20)
up("err", b"-ERR 'you are not welcome'\r\n")
up("err_without_end", b"-ERR '" + b"x" * 200000)
up("info_bad_later", b"INFO {\"max_payload\":\r\n")


@lie("ws", "tcp")
def flood_of_err(talk):
    talk.serve()
    flood(talk, b"".join(frame(BINARY, b"-ERR 'Permissions Violation for Publish to \"x%d\"'\r\n" % n)
                         if talk.way == "ws" else
                         b"-ERR 'Permissions Violation for Publish to \"x%d\"'\r\n" % n
                         for n in range(300)), 0.01)


@lie("ws", "tcp")
def flood_of_nats_pings(talk):
    talk.serve()
    data = b"PING\r\n" * 1000
    flood(talk, frame(BINARY, data) if talk.way == "ws" else data, 0.01)


@lie("ws", "tcp")
def flood_of_requests(talk):
    """More than is subscribed to, without a reply subject."""
    talk.serve()
    data = b"MSG agents.t1.cmd.ping 99 5\r\nhello\r\n" * 1000
    flood(talk, frame(BINARY, data) if talk.way == "ws" else data, 0.01)


@lie("ws", "tcp")
def info_with_tls_required(talk):
    """By WebSocket nothing to us; by TCP it means TLS, of which this server speaks none."""
    talk.serve(INFO % b',"tls_required":true,"tls_available":true')
    raise StopIteration


class Liar:
    def __init__(self, path, context):
        self.path = path
        self.context = context
        self.lock = threading.Lock()
        self.told = {"ws": 0, "tcp": 0}

    def print(self, text):
        with self.lock:
            print(text, flush=True)

    def next(self, way):
        with self.lock:
            try:
                with open(self.path, encoding="utf-8") as file:
                    words = [line.split() for line in file]
            except OSError:
                return None
            names = [line[1] for line in words if line and line[0] == way]
            number = self.told[way]
            self.told[way] += 1
            return names[number] if number < len(names) else None

    def take(self, connection, way):
        name = self.next(way)
        self.print(f"from {way}")
        if not name:
            connection.close()
            return
        connection.settimeout(PATIENCE)
        how = "we hung up"
        try:
            if way == "ws" and self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            talk = Talk(connection, way)
            if way == "ws":
                talk.read_request()
            LIES[way][name](talk)
        except StopIteration:
            pass
        except Over as over:
            how = str(over)
        except TimeoutError:
            how = f"nothing in {PATIENCE} s"
        except (OSError, ssl.SSLError) as error:
            how = error.__class__.__name__
        self.print(f"told {way} {name}: {how}")
        try:
            # What came and was not read would make the end a reset.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.2)
            while connection.recv(65536):
                pass
        except OSError:
            pass    # it has ended by itself
        connection.close()

    def serve(self, listener, way):
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.take, args=(connection, way), daemon=True).start()


def main():
    if sys.argv[1] == "--list":
        for way, lies in LIES.items():
            for name in lies:
                print(way, name)
        return
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    liar = Liar(sys.argv[1], context)
    ways = {way: socket.create_server(("127.0.0.1", 0), backlog=128) for way in LIES}
    print("Listening on", *(listener.getsockname()[1] for listener in ways.values()), flush=True)
    threads = [threading.Thread(target=liar.serve, args=(listener, way)) for way, listener in ways.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
