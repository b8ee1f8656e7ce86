#!/usr/bin/env python3
"""Hear what a service tells its manager (sd_notify(3)).

usage: notify.py SOCKET

Prints each message as one line: its assignments with a blank between, before
them the milliseconds since 1970.  Prints "listening" when it does.
"""
import socket
import sys
import time

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
    server.bind(sys.argv[1])
    print("listening", flush=True)
    while True:
        text = server.recv(65536).decode(errors="replace")
        print(int(time.time() * 1000), *text.rstrip("\n").split("\n"), flush=True)
