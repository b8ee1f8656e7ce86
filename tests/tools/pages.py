#!/usr/bin/env python3
"""Serve the files of a folder by HTTP on the loopback, and some bad pages.

usage: pages.py FOLDER [CERTIFICATE KEY CA]

With the three, by HTTPS, and only to who has a certificate from CA.

/-/slow       answers, then says nothing more
/-/drip       a byte now and then, without an end
/-/huge       samples without an end
/-/redirect   elsewhere, to /redirected
/-/html       a web page
/-/500        an error
/-/bomb       gzip: 1 GiB of zeros in 1 MiB
/-/length     announces 2^63 bytes
/-/chunk      announces a chunk of 2^64 bytes
/-/metadata   to the address where clouds keep their secrets
/-/file       to a file
/-/continue   "100 Continue" without an end
/-/headers    headers without an end
/-/line       one line of 100 MiB
/-/labels     a sample with a million labels
/-/value      a sample with a label of 400 KB, which is fine, and one of 3 MB
/-/mess       lines of all kinds that are none, with good ones between
/-/eof        OpenMetrics that goes on behind its end
/-/login      a page for user u with password s3cret, or the token s3cret
/-/token      a page for who has the token that stands in the file FOLDER/token
/-/who        whose certificate it is that asks

Prints "Listening on PORT" when it does.  Ends with its process.
"""
import http.server
import itertools
import os
import ssl
import sys
import time
import zlib


class Pages(http.server.SimpleHTTPRequestHandler):
    def guess_type(self, path):
        if path.endswith(".om"):
            return "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return "text/plain; version=0.0.4; charset=utf-8"

    def begin(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def do_GET(self):
        bad = {"/-/slow": self.slow, "/-/drip": self.drip, "/-/huge": self.huge,
               "/-/redirect": self.redirect, "/-/html": self.html, "/-/500": self.error,
               "/-/bomb": self.bomb, "/-/length": self.length, "/-/chunk": self.chunk,
               "/-/metadata": self.metadata, "/-/file": self.file,
               "/-/continue": self.flood, "/-/headers": self.headers_without_end,
               "/-/line": self.line, "/-/labels": self.labels, "/-/value": self.value,
               "/-/mess": self.mess, "/-/eof": self.eof,
               "/-/login": self.login, "/-/token": self.token, "/-/who": self.who}
        try:
            bad.get(self.path, super().do_GET)()
        except OSError:
            pass    # the reader had enough

    def slow(self):
        self.begin(200, {"Content-Type": "text/plain", "Content-Length": "100"})
        time.sleep(600)

    def drip(self):
        self.begin(200, {"Content-Type": "text/plain"})
        while True:
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.2)

    def huge(self):
        self.begin(200, {"Content-Type": "text/plain"})
        self.huge_body()

    def huge_body(self):
        for number in itertools.count():
            self.wfile.write(b"a_sample{number=\"%d\"} 1\n" % number)

    def redirect(self):
        self.begin(302, {"Location": "/redirected", "Content-Length": "0"})

    def html(self):
        page = b"<!DOCTYPE html>\n<html><body><h1>Welcome</h1></body></html>\n"
        self.begin(200, {"Content-Type": "text/html", "Content-Length": str(len(page))})
        self.wfile.write(page)

    def bomb(self):
        self.begin(200, {"Content-Type": "text/plain", "Content-Encoding": "gzip"})
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        for _ in range(1024):
            self.wfile.write(packer.compress(bytes(1024 * 1024)))
        self.wfile.write(packer.flush())

    def length(self):
        self.begin(200, {"Content-Type": "text/plain", "Content-Length": str(2 ** 63)})
        self.huge_body()

    def chunk(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"10000000000000000\r\n")
        self.huge_body()

    def metadata(self):
        self.begin(302, {"Location": "http://169.254.169.254/latest/", "Content-Length": "0"})

    def file(self):
        self.begin(302, {"Location": "file:///etc/passwd", "Content-Length": "0"})

    def flood(self):
        while True:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def headers_without_end(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in itertools.count():
            self.wfile.write(b"X-Header-%d: %s\r\n" % (number, b"x" * 1000))

    def text(self, parts, kind="text/plain"):
        self.begin(200, {"Content-Type": kind})
        for part in parts:
            self.wfile.write(part)

    def line(self):
        self.text([b"a 1\nb{c=\""] + [b"x" * 1024 * 1024] * 100 + [b"\"} 1\nd 2\n"])

    def labels(self):
        self.text([b"a 1\nb{"] + [b"l%d=\"\"," % number for number in range(1000000)] +
                  [b"} 1\nd 2\n"])

    def value(self):
        self.text([b"a 1\nfine{c=\"" + b"x" * 400000 + b"\"} 1\nb{c=\"" + b"x" * 3000000 +
                   b"\"} 1\nd 2\n"])

    def mess(self):
        good = [b"double 1", b"nan NaN", b"inf +Inf", b"denormal 4.9e-324",
                b"digits 0." + b"1234567890" * 40,
                b"# TYPE no_inf histogram\nno_inf_bucket{le=\"1\"} 1", b"double 1",
                b"{\"utf-8 n\xc3\xa4me\"} 1", b"crlf 1\r", b"escapes{p=\"\\q\\ \"} 1"]
        bad = [b"b{c=\"d} 1", b"b{c=\"d\\\"} 1", b"b{c=\"\xff\"} 1", b"b 0x1p4", b"b 1_000", b"b 1,5",
               b"b 1e999", b"b 1e", b"b nan(0x1)", b"b -nan", b"b \x00", b"b{c=\"d\",c=\"e\"} 1",
               b"b 1 1 1", b"{} 1", b"b{__name__=\"x\"} 1", b"# TYPE b wrong", b"\x1b[2J",
               b"b{c=d} 1"]
        late = [b"late 1", b"# TYPE late gauge", b"# HELP late Too late.", b"end 1"]
        self.text([b"\n".join(good + bad + late) + b"\n"])

    def eof(self):
        self.text([b"a 1 1764000000.789\ne_total 1 # {trace_id=\"x\"} 0.5 1764000000.5\n"
                   b"# EOF\nb 2\n# EOF\n"], "application/openmetrics-text; version=1.0.0")

    def login(self):
        if self.headers.get("Authorization") in ("Basic dTpzM2NyZXQ=", "Bearer s3cret"):
            self.text([b"secret_sample 1\n"])
        else:
            self.begin(401, {"Content-Length": "0"})

    def token(self):
        with open(os.path.join(self.directory, "token"), encoding="ascii") as file:
            token = file.read().strip()
        if self.headers.get("Authorization") == "Bearer " + token:
            self.text([b"secret_sample 1\n"])
        else:
            self.begin(401, {"Content-Length": "0"})

    def who(self):
        names = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        self.text([b"who{name=\"%s\"} 1\n" % names["commonName"].encode()])

    def error(self):
        self.begin(500, {"Content-Length": "0"})


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128    # with 5 the sixth of a crowd waits a second


def main():
    folder = sys.argv[1]
    server = Server(
        ("127.0.0.1", 0),
        lambda *arguments: Pages(*arguments, directory=folder))
    if sys.argv[2:]:
        certificate, key, authority = sys.argv[2:]
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        tls.load_verify_locations(authority)
        tls.verify_mode = ssl.CERT_REQUIRED
        # the handshake in the thread of its connection: nobody waits for another
        server.socket = tls.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    print("Listening on", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
