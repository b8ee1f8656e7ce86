#!/usr/bin/env python3
"""Wait for the first message on a subject and print its payload as it is.

usage: payload.py nats://HOST:PORT SUBJECT [SECONDS]

Its headers go to standard error.  tests/tools/bus shows payloads as text only.
"""
import socket
import sys


def main():
    host, port = sys.argv[1].split("//")[1].split(":")
    bus = socket.create_connection((host, int(port)), timeout=float((sys.argv[3:] + ["20"])[0]))
    lines = bus.makefile("rb")
    lines.readline()                # INFO
    bus.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
                b"SUB %s 1\r\nPING\r\n" % sys.argv[2].encode())
    while True:
        words = lines.readline().split()
        if words[:1] == [b"PING"]:
            bus.sendall(b"PONG\r\n")
        elif words[:1] == [b"PONG"]:
            print("listening", file=sys.stderr, flush=True)
        elif words[:1] in ([b"MSG"], [b"HMSG"]):
            data = lines.read(int(words[-1]))
            head = int(words[-2]) if words[0] == b"HMSG" else 0
            sys.stderr.write(data[:head].decode())
            sys.stdout.buffer.write(data[head:])
            return
        elif not words:
            sys.exit("payload.py: the bus has gone")


main()
