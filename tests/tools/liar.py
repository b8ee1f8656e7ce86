#!/usr/bin/env python3
"""An HTTP server that answers as a script says: what no honest platform would.

usage: liar.py SCRIPT [CERTIFICATE KEY]

With the two, by HTTPS.  SCRIPT is JSON and is read anew for each request: write the
next one beside it and rename.  It has for each path, without the query, an answer or a
list of them, of which the last is repeated; "*" is for all other paths (404 if there is none).

    {"/api/collections/things/auth-with-password": [{"status": 429}, {"json": {"token": "x"}}],
     "*": {"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<html>"}}

An answer:
    "status"    200
    "headers"   {"Retry-After": "2", "Location": "http://127.0.0.1:1/"}
    "body"      text; "json": any value, and that as Content-Type
    "repeat"    so many times that body: {"body": "[", "repeat": 100000}
    "announce"  the Content-Length, if it shall be wrong
    "truncate"  send so many bytes of the body and end the connection
    "pace"      seconds between two bytes of the body
    "delay"     seconds before the answer
    "drop"      true: end the connection without an answer
    "play"      a bad page of pages.py, by the name of its function: "drip", "huge", "slow",
                "bomb", "length", "chunk", "flood", "headers_without_end"
    "pass"      http://HOST:PORT: hand the request on and give that server's answer, with
    "set"       {"record.code": "other", "record.expand.nats_user": null}: other values in its JSON
    "edit"      {"record.expand.nats_user.creds_file": ["REGULAR EXPRESSION", "REPLACEMENT"]}

Prints "Listening on PORT", and for each request a line of JSON: n, method, path, query,
headers (names in lower case), body.
"""
import http.server
import json
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
import pages  # noqa: E402


class Script:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.text = None
        self.answers = {}
        self.played = {}
        self.count = 0

    def next(self, path):
        """The answer to this request, and its number."""
        with self.lock:
            with open(self.path, encoding="utf-8") as file:
                text = file.read()
            if text != self.text:
                self.text = text
                self.answers = json.loads(text)
                self.played = {}
            self.count += 1
            name = path if path in self.answers else "*"
            answer = self.answers.get(name, {"status": 404})
            if isinstance(answer, list):
                turn = self.played.get(name, 0)
                self.played[name] = turn + 1
                answer = answer[min(turn, len(answer) - 1)]
            return answer, self.count


def place(value, dotted):
    """The object or list in which DOTTED lies, and the last word."""
    *way, last = dotted.split(".")
    for word in way:
        value = value[int(word) if isinstance(value, list) else word]
    return value, int(last) if isinstance(value, list) else last


class Liar(pages.Pages):
    script = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.lie()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def lie(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(self.path)
        answer, number = self.script.next(parts.path)
        print(json.dumps({
            "n": number, "method": self.command, "path": parts.path, "query": parts.query,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(errors="replace")}), flush=True)
        try:
            self.play(answer, body)
        except OSError:
            pass    # the reader had enough

    def play(self, answer, body):
        time.sleep(answer.get("delay", 0))
        if answer.get("drop"):
            return
        if "play" in answer:
            getattr(self, answer["play"])()
            return
        status = answer.get("status", 200)
        headers = dict(answer.get("headers", {}))
        if "pass" in answer:
            status, data = self.pass_on(answer, body)
            headers.setdefault("Content-Type", "application/json")
        elif "json" in answer:
            data = json.dumps(answer["json"]).encode()
            headers.setdefault("Content-Type", "application/json")
        else:
            data = answer.get("body", "").encode()
        self.send(status, headers, data, answer)

    def send(self, status, headers, data, answer):
        times = answer.get("repeat", 1)
        headers.setdefault("Content-Length", str(answer.get("announce", len(data) * times)))
        self.begin(status, headers)
        if "truncate" in answer:
            data = data[:answer["truncate"]]
        if "pace" in answer:
            for byte in data * times:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(answer["pace"])
            return
        block = max(1, min(times, 65536 // max(1, len(data))))
        for _ in range(times // block):
            self.wfile.write(data * block)
        self.wfile.write(data * (times % block))

    def pass_on(self, answer, body):
        request = urllib.request.Request(answer["pass"] + self.path, method=self.command,
                                         data=body if self.command == "POST" else None)
        for name in ("Authorization", "Content-Type", "User-Agent"):
            if self.headers.get(name):
                request.add_header(name, self.headers[name])
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, data = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, data = error.code, error.read()
        if status != 200 or not ("set" in answer or "edit" in answer):
            return status, data
        value = json.loads(data)
        for dotted, new in answer.get("set", {}).items():
            where, name = place(value, dotted)
            where[name] = new
        for dotted, (pattern, replacement) in answer.get("edit", {}).items():
            where, name = place(value, dotted)
            where[name] = re.sub(pattern, replacement, where[name])
        return status, json.dumps(value).encode()


def main():
    Liar.script = Script(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    if sys.argv[2:]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[2:])
        server.socket = tls.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    print("Listening on", server.server_address[1], flush=True)
    server.serve_forever()


main()
