#!/usr/bin/env python3
"""A name server for one story.

usage: names.py ADDRESS FILE

Answers at UDP port 53 of ADDRESS by FILE, which it reads for each question: lines of NAME
and ADDRESSes, of IPv4 and IPv6.  A NAME without addresses is not answered at all; one that
is not there does not exist.  Prints "Listening", and "asked NAME TYPE" for each question.
"""
import ipaddress
import socket
import struct
import sys

TYPES = {1: ("A", 4), 28: ("AAAA", 6)}


def read_name(packet, at):
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace"))
        at += packet[at] + 1
    return ".".join(labels).lower(), at + 1


def known(path):
    with open(path, encoding="utf-8") as lines:
        return {words[0]: words[1:] for words in map(str.split, lines) if words}


def answer(packet, path):
    name, end = read_name(packet, 12)
    kind = struct.unpack("!H", packet[end:end + 2])[0]
    text, version = TYPES.get(kind, (str(kind), 0))
    print(f"asked {name} {text}", flush=True)
    addresses = known(path).get(name)
    if addresses == []:
        return None
    records = b""
    count = 0
    for address in map(ipaddress.ip_address, addresses or []):
        if address.version == version:
            data = address.packed
            records += struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(data)) + data
            count += 1
    code = 0x8180 if addresses else 0x8183
    return (packet[:2] + struct.pack("!HHHHH", code, 1, count, 0, 0) + packet[12:end + 4]
            + records)


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    print("Listening", flush=True)
    while True:
        packet, client = server.recvfrom(1024)
        try:
            reply = answer(packet, sys.argv[2])
        except (IndexError, struct.error):
            continue    # not a question
        if reply:
            server.sendto(reply, client)


main()
