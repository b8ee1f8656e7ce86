#!/usr/bin/env python3
"""Serve the files of a folder by HTTP on the loopback, and some bad pages.

usage: pages.py FOLDER

/-/slow       answers, then says nothing more
/-/drip       a byte now and then, without an end
/-/huge       samples without an end
/-/redirect   elsewhere, to /redirected
/-/html       a web page
/-/500        an error

Prints "Listening on PORT" when it does.  Ends with its process.
"""
import http.server
import itertools
import sys
import time


class Pages(http.server.SimpleHTTPRequestHandler):
    def begin(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def do_GET(self):
        bad = {"/-/slow": self.slow, "/-/drip": self.drip, "/-/huge": self.huge,
               "/-/redirect": self.redirect, "/-/html": self.html, "/-/500": self.error}
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
        for number in itertools.count():
            self.wfile.write(b"a_sample{number=\"%d\"} 1\n" % number)

    def redirect(self):
        self.begin(302, {"Location": "/redirected", "Content-Length": "0"})

    def html(self):
        page = b"<!DOCTYPE html>\n<html><body><h1>Welcome</h1></body></html>\n"
        self.begin(200, {"Content-Type": "text/html", "Content-Length": str(len(page))})
        self.wfile.write(page)

    def error(self):
        self.begin(500, {"Content-Length": "0"})


def main():
    folder = sys.argv[1]
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *arguments: Pages(*arguments, directory=folder))
    print("Listening on", server.server_address[1], flush=True)
    server.serve_forever()


main()
