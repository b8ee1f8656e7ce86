#!/usr/bin/env python3
"""Print the first line that a NATS server says by WebSocket.

usage: ws_info.py PORT
"""
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as server:
    server.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                   b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    data = b""
    while b"\r\n" not in data.partition(b"INFO ")[2]:
        more = server.recv(65536)
        if not more:
            sys.exit("the server says nothing")
        data += more
    print("INFO " + data.partition(b"INFO ")[2].partition(b"\r\n")[0].decode(errors="replace"))
