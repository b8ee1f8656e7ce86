#!/usr/bin/env python3
"""Send an agent the requests that must bounce off, and say what came of each.

usage: hostile.py URL CODE AUDIT CANARY FOLDER
       hostile.py crowd URL CODE BODY COUNT
       hostile.py race URL CODE SECONDS A B COMMAND BODY GOOD

URL      nats://127.0.0.1:PORT, without credentials
AUDIT    the agent's audit file
CANARY   a file that nothing makes but a command that runs
FOLDER   the story's: scripts, logs and evil are in it

One line for each case, separated by tabs: the row of tests/hostile.md, a name, "refused"
or what was wrong, and the agent's reason.  A case is refused when its answer is an error
with a reason, the audit file has one line more, of the phase "refused", in printable ASCII, a
ping is answered behind it, and there is no canary.  The protocol is NATS's own, by hand.
"""
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time

PATIENCE = 20.0
NO_ANSWER = object()


class Bus:
    """One connection, one inbox, requests one after the other."""

    def __init__(self, url):
        host, port = url.split("://", 1)[1].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.inbox = "_INBOX.hostile%d" % os.getpid()
        self.count = 0
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'
                  b"\r\nSUB %s.* 1\r\n" % self.inbox.encode())

    def send(self, data):
        self.socket.sendall(data)

    def publish(self, subject, body, reply=None, headers=None):
        reply = b" " + reply if reply else b""
        if headers is None:
            self.send(b"PUB %s%s %d\r\n%s\r\n" % (subject, reply, len(body), body))
            return
        head = b"NATS/1.0\r\n" + headers + b"\r\n"
        self.send(b"HPUB %s%s %d %d\r\n%s%s\r\n"
                  % (subject, reply, len(head), len(head) + len(body), head, body))

    def next_reply(self):
        return "%s.%d" % (self.inbox, self.count)

    def request(self, subject, body, headers=None, patience=PATIENCE):
        """The bytes of the answer to it."""
        self.count += 1
        self.publish(subject, body, self.next_reply().encode(), headers)
        return self.answer(self.next_reply(), patience)

    def answer(self, reply, patience):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                line = self.file.readline().split()
            except (socket.timeout, OSError):
                return NO_ANSWER
            if not line:
                return NO_ANSWER
            if line[0] == b"PING":
                self.send(b"PONG\r\n")
            elif line[0] in (b"MSG", b"HMSG"):
                head = int(line[-2]) if line[0] == b"HMSG" else 0
                data = self.file.read(int(line[-1]) + 2)[head:-2]
                if line[1].decode() == reply:
                    return data
        return NO_ANSWER


class Story:
    def __init__(self, url, code, audit, canary, folder):
        self.bus = Bus(url)
        self.subject = "agents.%s.cmd." % code
        self.audit = open(audit, "rb")
        self.audit.seek(0, os.SEEK_END)
        self.canary = canary
        self.folder = folder
        self.patience = PATIENCE
        self.rest = b""

    def lines(self):
        """The audit file's new lines; waits for one, and no longer so when there was none."""
        end = time.monotonic() + self.patience
        found = []
        while not found and time.monotonic() < end:
            self.rest += self.audit.read()
            found = self.rest.splitlines(keepends=True)
            # what is being written has no end yet
            self.rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
            if not found:
                time.sleep(0.002)
        if not found:
            self.patience = 0.2
        return found

    def canary_died(self):
        """Whether something ran; the next case has a canary again."""
        try:
            os.unlink(self.canary)
        except FileNotFoundError:
            return False
        return True

    def judge_audit(self, phase="refused"):
        lines = self.lines()
        if len(lines) != 1:
            return "%d audit lines" % len(lines)
        if any(byte < 0x20 or byte > 0x7E for byte in lines[0].rstrip(b"\n")):
            return "an audit line that does not show"
        line = json.loads(lines[0])
        return "" if line["phase"] == phase and line["outcome"] else "phase %s" % line["phase"]

    def judge(self, data):
        """What is wrong, and the reason that was given."""
        if data is NO_ANSWER:
            return "no answer", ""
        try:
            answer = json.loads(data)
        except ValueError:
            return "no JSON", ""
        reason = answer.get("error") or ""
        if answer.get("status") != "error" or not reason:
            self.lines()
            return "taken: %s%s" % (data[:80], ", ran" if self.canary_died() else ""), ""
        fault = self.judge_audit()
        if fault:
            return fault, reason
        if self.canary_died():
            return "the canary is dead", reason
        ping = self.bus.request((self.subject + "ping").encode(), b"")
        if ping is NO_ANSWER or b"pong" not in ping:
            return "no ping", reason
        return "refused", reason

    def say(self, row, name, verdict, reason=""):
        shown = "".join(c if 0x20 <= ord(c) < 0x7F else "?" for c in name)[:70]
        print("%s\t%s\t%s\t%s" % (row, shown, verdict, reason[:120].replace("\t", " ")), flush=True)

    def case(self, row, command, body, name=None, headers=None):
        if not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogateescape")
        shown = name if name is not None else body.decode("utf-8", "replace")
        verdict, reason = self.judge(self.bus.request((self.subject + command).encode(), body,
                                                      headers))
        self.say(row, "%s %s" % (command, shown), verdict, reason)

    def line(self, row, text, name=None):
        self.case(row, "exec", {"command": text}, name)

    def arg(self, row, command, value, name=None):
        body = json.dumps({"command": command, "args": value}) if not isinstance(value, bytes) \
            else b'{"command":"%s","args":%s}' % (command.encode(), value)
        self.case(row, "exec", body if isinstance(body, bytes) else body.encode(), name)


def lines(story):
    touch = "touch " + story.canary
    scripts = story.folder + "/scripts"
    evil = story.folder + "/evil/hello.sh"

    story.line(1, "%s; true %s/hello.sh" % (touch, scripts))
    story.line(1, "id; true /x/hello.sh")
    for text in (evil, "/tmp/evil/hello.sh"):
        story.line(2, text)
    for text in ("../evil/hello.sh", "..\\hello.ps1", "hello.sh/../../evil/hello.sh",
                 "./hello.sh", scripts + "/../evil/hello.sh", scripts + "//hello.sh",
                 scripts + "/./hello.sh", "scripts/hello.sh"):
        story.line(3, text)
    for body in (b'{"command":"hello.sh\\u0000;%s"}' % touch.encode(),
                 b'{"command":"hello.sh\x00;%s"}' % touch.encode(),
                 b'{"command":"hello.sh"}\x00', b'{"comm\\u0000and":"hello.sh","command":1}'):
        story.case(4, "exec", body)
    for sign in ("\n", "\r", "\r\n", "\u2028", "\u2029", "\v", "\f", "\x85", "\x1b", "\x7f", "\b"):
        story.line(5, "hello.sh%s %s" % (sign, touch), "hello.sh %r touch" % sign)
        story.line(5, "hello.sh" + sign, "hello.sh %r" % sign)
        story.line(5, sign + "hello.sh", "%r hello.sh" % sign)
    for sign in "\t\n\r\v\f\x85\u00a0\u1680\u2000\u2002\u2003\u2009\u200a\u200b\u2028\u202f\u205f\u3000\ufeff\x1c\x1f":
        story.line(6, "echo%sallowed" % sign, "echo %r allowed" % sign)
        story.line(6, "echo %sallowed" % sign, "echo %r allowed, with a space" % sign)
    for tail in ("$(%s)", "`%s`", "${IFS}%s", "<(%s)", "&& %s", "|| %s", "| %s", "; %s", "& %s",
                 "\n%s", "> %s", ">> %s", "< %s", "* %s", "~ %s", "{a,b} %s", "# %s", "! %s",
                 "'%s'", '"%s"', "\\%s", "$%s", "%%s %s", "((%s))", "[[ %s ]]"):
        story.line(7, "echo allowed " + tail % touch if "%%" not in tail else "echo allowed %s " + touch)
        story.line(7, "hello.sh " + (tail % touch if "%%" not in tail else touch))
    for text in ("echo allowed\uff1b" + touch, "h\u0435llo.sh", "hello.s\u04bb", "hello\uff0esh",
                 "echo cafe\u0301", "echo caf\u00e9\u200d", "echo allowe\u0501", "hello\u202e.sh",
                 "\u2066hello.sh\u2069", "hello\u00ad.sh"):
        story.line(8, text, ascii(text))
    for raw in (b"hello.sh\xff", b"\xc0\xaehello.sh", b"hello\xc0\xaesh", b"hello.sh\xed\xa0\x80",
                b"echo allowed\xfe", b"echo\xc0\xa0allowed", b"echo\xe0\x80\xa0allowed",
                b"hello.sh\xf4\x90\x80\x80", b"\x80hello.sh"):
        story.case(8, "exec", b'{"command":"%s"}' % raw, repr(raw))
    for text in ("hello.sh.", "hello.sh::$DATA", "HELLO.SH", "HELLO~1.SH", "\\\\?\\hello.sh",
                 "\\\\host\\share\\hello.sh", "CON", "NUL", "Hello.sh", "ECHO allowed"):
        story.line(9, text)
    for text, name in (("", "nothing"), (".", None), ("..", None), ("/", None), (" ", "a space"),
                       ("-", None), ("a" * 60000, "60,000 letters"), ("a " * 30000, "words"),
                       ("hello.sh" + " " * 50000 + "x", "spaces"), (".hidden.sh", None),
                       ("-x.sh", None)):
        story.line(10, text, name)
    for size in (65537, 1024 * 1024 - 200):
        story.line(10, "a" * (size - 14), "a body of %d bytes" % size)


def arguments(story):
    touch = "touch " + story.canary

    for value in ("-", "--", "-x", "--checkpoint-action=exec=" + touch, "-oProxyCommand=" + touch,
                  "--pager=" + touch, "-exec", "-e" + touch):
        story.arg(11, "free", {"x": value})
        story.arg(11, "attached-dash", {"x": value})
    for value in ("ok\n" + touch, "ok\n", "\nok", "ok\r", "ok\x00x", "ok\u2028", "OK", "ok ok",
                  "ok;" + touch, "$(%s)" % touch, "", "o" * 65):
        story.arg(12, "word", {"x": value}, "word %s" % ascii(value)[:50])
    began = time.monotonic()
    for value in ("a" * 250 + "!", "a" * 255 + "b!", "ab" * 120 + "c"):
        story.arg(13, "costly", {"x": value}, "costly %d letters" % len(value))
    took = time.monotonic() - began
    story.say(13, "costly patterns together took %.0f ms, less than 5 s" % (took * 1000),
              "refused" if took < 5 else "slow")
    for value in ({}, {"x": "ok", "y": "ok"}, {"x": ["ok"]}, {"x": {"x": "ok"}}, {"x": 1},
                  {"x": None}, {"x": True}, {"X ": "ok"}, {"": "ok"},
                  {"x%d" % i: "ok" for i in range(200)}, [], ["ok"], "ok", 1, True):
        story.arg(14, "word", value, "word %s" % json.dumps(value)[:60])
    for value in (b'{"x":"ok","x":"ok"}', b'{"x":"ok","X":"evil"}', b'{"x":"ok"', b'{"x":ok}',
                  b"{x:1}", b'{"x":"ok"}}', b"[" * 5000, b'{"x":' * 2000,
                  b'{"x":"ok"}, "command":"%s"' % touch.encode()):
        story.arg(14, "word", value, "word %s" % value[:50].decode())
    for value in (b"1e309", b"-1e309", b"1.5", b"0", b"11", b"-1", b"9223372036854775808",
                  b"1e18", b"0x5", b"05", b'"5 "', b'" 5"', b'"5\\n"', b'"+5"', b'"5.0"', b'"1e0"',
                  b'"\\u0665"', b"NaN", b"Infinity", b"true", b"null", b"[5]"):
        story.arg(14, "number", b'{"n":%s}' % value, "number %s" % value.decode())
    for body in (b'{"command":"echo allowed","command":"%s"}' % touch.encode(),
                 b'{"command":"echo allowed","COMMAND":"%s"}' % touch.encode(),
                 b'{"command":"%s","command":"echo allowed"}' % touch.encode(),
                 b'{"command":{"command":"echo allowed"}}', b'{"command":["echo","allowed"]}',
                 b'["echo allowed"]', b'"echo allowed"', b"echo allowed", b"\xef\xbb\xbf{}",
                 b'{"command":"echo allowed"}{"command":"x"}', b"{" * 60000,
                 b'{"command":"echo allowed","args":{"x":"y"}}',
                 b'{"command":"hello.sh","args":{"x":"y"}}'):
        story.case(14, "exec", body, repr(body[:60]))
    for value in ("three", "ONE", "one ", "one\n", "--", ""):
        story.arg(14, "choice", {"x": value}, "choice %r" % value)
    for value in ("/etc/passwd", story.folder + "/tree/../evil", story.folder + "/tree/link",
                  story.folder + "/tree//sub", story.folder + "/tree/./sub", "tree/sub", "sub",
                  story.folder + "/tree/", story.folder + "/treetop", story.folder + "/tree/absent",
                  story.folder + "/tree/sub\n", "/proc/self/root" + story.folder + "/tree", "~", ""):
        story.arg(14, "path", {"x": value}, "path %r" % value[-40:])
    for value in ("ssh", "stone-age-absent.timer", "*", "-", "stone-age-absent; x", ""):
        story.arg(14, "unit", {"x": value}, "unit %r" % value)
    for value in ("true", 1, 0, None, "--all"):
        story.arg(14, "switch", {"x": value}, "switch %r" % value)


def scripts(story):
    for row, name in ((18, "link.sh"), (18, "hard.sh"), (19, "group.sh"), (19, "world.sh"),
                      (19, "foreign.sh"), (20, "fifo.sh"), (20, "folder.sh"), (20, "empty.sh"),
                      (20, "plain.sh"), (20, "crlf.sh"), (20, "nowhere.sh"), (20, "setuid.sh"),
                      (20, "device.sh"), (20, "unrunnable.sh"), (20, "socket.sh"),
                      (20, "dangling.sh"), (20, "binary.sh")):
        story.line(row, name)


def envelopes(story):
    allowed = json.dumps({"command": "touch " + story.canary}).encode()
    subject = (story.subject + "exec").encode()

    for reply in (b"$JS.API.STREAM.DELETE.X", b"agents.other.cmd.exec", b"$SYS.REQ.SERVER.PING",
                  b"agents.t1.heartbeat", b"$KV.twin.thing.t1.status", b"_INBOXES.x", b"_INBOX",
                  b"x" * 3500, b"_INBOX." + b"x" * 300):
        story.bus.publish(subject, allowed, reply)
        fault = story.judge_audit()
        dead = story.canary_died()
        story.say(37, "reply to %s" % reply[:40].decode(), fault or ("dead" if dead else "refused"))
    for header in (b"Stone-Age-Expires: 2020-01-01T00:00:00Z", b"Stone-Age-Expires: yesterday",
                   b"Stone-Age-Expires: 2020-01-01", b"Stone-Age-Expires: -1",
                   b"Stone-Age-Expires: 1h", b"Stone-Age-Expires: 1970-01-01T00:00:00Z"):
        story.case(39, "exec", allowed, header.decode(), header + b"\r\n")
    many = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 10) for i in range(1000))
    story.case(40, "exec", allowed, "a thousand headers", many)
    story.case(40, "exec", allowed, "one of 60,000 bytes", b"X: " + b"y" * 60000 + b"\r\n")
    for header in (b"Stone-Age-Request-Id: a b", b"Stone-Age-Request-Id: " + b"x" * 65,
                   b"Stone-Age-Request-Id: a\rStone-Age-Requester: root",
                   b"Stone-Age-Request-Id: \xff\xfe", b"Stone-Age-Requester: a\x1b[2J",
                   b"Stone-Age-Requester: " + b"x" * 129):
        story.case(40, "exec", allowed, repr(header[:50]), header + b"\r\n")
    story.case("-", "rm", allowed, "a command that there is not")
    story.case("-", "exec%s" % ("x" * 200), allowed, "a long name")


def logs(story):
    folder = story.folder + "/logs/"

    def log(row, path, more=None, name=None):
        body = {"log_path": path, "lines": 10}
        body.update(more or {})
        story.case(row, "logs", body, name or path.replace(story.folder, ""))

    for name in ("shadow.log", "dirlink/app.log"):
        log(41, folder + name)
    log(43, folder + "hard.log")
    for name in ("environ.log", "root.log", "fd.log", "mem.log"):
        log(44, folder + name)
    for path in ("/proc/self/environ", "/proc/1/root/etc/shadow", "/dev/fd/3", "/dev/stdin"):
        log(44, path)
    for name in ("fifo.log", "socket.log", "zero.log", "tty.log", "folder.log"):
        log(45, folder + name)
    for path in ("../agent.yaml", "app.log/", "./app.log", "/app.log", "*", "app.*", "[a]pp.log",
                 "{app,b}.log", "**", "?pp.log", "x/../app.log", "app.log/..", ".hidden.log",
                 "app.log\\", "sub/app.log", "app.log.gz"):
        log(46, folder + path)
    log(46, "logs/app.log")
    log(46, "")
    for path in ("app.log\n", "app.log\r", "app\u2028.log", "app.log\u0000", "app.lo\u0261"):
        log(47, folder + path, name=ascii(path))
    story.case(47, "logs", b'{"log_path":"%sapp\xff.log"}' % folder.encode(), "invalid UTF-8")
    for body in (b'{"log_path":"%sapp.log","lines":%s}', ):
        for lines_ in (b"0", b"-1", b"2147483648", b"10001", b"1e18", b"1e309", b'"10"', b"1.5",
                       b"[10]", b"NaN"):
            story.case(50, "logs", body % (folder.encode(), lines_), "lines %s" % lines_.decode())
    for more in ({"since": "tomorrow"}, {"since": 5}, {"since": "-1h"}, {"grep": 5},
                 {"grep": "x" * 2000}, {"follow": "1h", "stream": True}, {"follow": "1s"},
                 {"rotated": "yes"}, {"unit": "ssh"}, {"unit": "*"}, {"stream": "yes"}):
        log(50, folder + "app.log", more, str(more)[:50])
    for path in (story.folder + "/agent.yaml", story.folder + "/state/audit.log",
                 story.folder + "/state/spool.db", story.folder + "/state/lock", folder + "own.log",
                 folder + "config.log", folder + "spoollink.log"):
        log(53, path)


def services(story):
    for name in ("nginx; reboot", "--now", "-H evil", "stone-age-absent.service/../x", "ssh",
                 "ssh@$(id)", "*", "stone-age-*", "dbus-org.freedesktop.timedate1.service",
                 "stone-age-agent", "stone-age-agent.service", "", "-", "stone-age-absent.timer",
                 "stone-age-absent\n", "stone-age-absent ", "STONE-AGE-ABSENT",
                 "stone-age-absent@x", "/etc/systemd/system/x.service", "[s]tone-age-absent",
                 "stone-age-absent.service.service", "x" * 300):
        for action in ("stop", "start"):
            story.case(55, "service", {"action": action, "service_name": name},
                       "%s %r" % (action, name[:40]))
    for action in ("", "kill", "enable", "mask", "daemon-reload", "stop --now", "STOP", "isolate"):
        story.case(55, "service", {"action": action, "service_name": "stone-age-absent"},
                   "action %r" % action)


def quantile(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def ping_times(bus, subject, count=0, until=None):
    """COUNT of them, or as many as come before UNTIL() is true."""
    times = []
    while (until and not until()) or len(times) < count:
        began = time.monotonic()
        if bus.request(subject, b"") is NO_ANSWER:
            times.append(PATIENCE * 1e6)
            break
        times.append((time.monotonic() - began) * 1e6)
        time.sleep(0.001)
    return times


def gather(bus, count, found):
    """Answers to COUNT requests of BUS, by status and error; twice is worse than never."""
    end = time.monotonic() + 60
    seen = {}
    while len(seen) < count and time.monotonic() < end:
        line = bus.file.readline().split()
        if line and line[0] == b"PING":
            bus.send(b"PONG\r\n")
        elif line and line[0] in (b"MSG", b"HMSG"):
            head = int(line[-2]) if line[0] == b"HMSG" else 0
            answer = json.loads(bus.file.read(int(line[-1]) + 2)[head:-2])
            seen[line[1]] = seen.get(line[1], 0) + 1
            word = answer.get("error") or answer["status"]
            found[word] = found.get(word, 0) + 1
    found["unanswered"] = count - len(seen)
    found["twice"] = sum(1 for times in seen.values() if times > 1)


def crowd(url, code, body, count):
    asker, pinger = Bus(url), Bus(url)
    pinger.inbox += "p"
    pinger.send(b"SUB %s.* 2\r\n" % pinger.inbox.encode())
    ping = ("agents.%s.cmd.ping" % code).encode()
    idle = ping_times(pinger, ping, count=500)
    found = {}
    for i in range(count):
        asker.publish(("agents.%s.cmd.exec" % code).encode(), body.encode(),
                      b"%s.%d" % (asker.inbox.encode(), i))
    thread = threading.Thread(target=gather, args=(asker, count, found))
    thread.start()
    busy = ping_times(pinger, ping, until=lambda: not thread.is_alive())
    thread.join()
    found["pings"] = len(busy)
    for name, times in (("idle", idle), ("loaded", busy)):
        found[name + "_p50"] = round(quantile(times, 0.5))
        found[name + "_p99"] = round(quantile(times, 0.99))
    print(json.dumps(found))


LIBC = ctypes.CDLL(None)
AT_FDCWD = -100
RENAME_EXCHANGE = 2


def swap(first, second):
    return LIBC.renameat2(AT_FDCWD, first.encode(), AT_FDCWD, second.encode(),
                          RENAME_EXCHANGE) == 0


def exchange(first, second, tell):
    """Until we are ended, and a byte to TELL for each hundred of them."""
    count = 0
    while True:
        if swap(first, second):
            count += 1
            if count % 100 == 0:
                os.write(tell, b".")
        if os.getppid() == 1:
            os._exit(0)


def race(url, code, seconds, first, second, command, body, good):
    listen, tell = os.pipe()
    place = os.lstat(first).st_ino
    child = os.fork()
    if child == 0:
        exchange(first, second, tell)
    os.close(tell)
    bus = Bus(url)
    found = {"good": 0, "refused": 0, "wrong": 0}
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            data = bus.request(("agents.%s.cmd.%s" % (code, command)).encode(), body.encode())
            answer = {} if data is NO_ANSWER else json.loads(data)
            if answer.get("status") == "success" and good in data.decode():
                found["good"] += 1
            elif answer.get("status") == "error" and "exit_code" not in answer:
                found["refused"] += 1
            else:
                found["wrong"] += 1
                found["first"] = found.get("first", str(data)[:200])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if os.lstat(first).st_ino != place:
        swap(first, second)
    swaps = 0
    while True:
        dots = os.read(listen, 65536)
        if not dots:
            break
        swaps += 100 * len(dots)
    found["exchanges"] = swaps
    print(json.dumps(found))


def main():
    if sys.argv[1] == "race":
        race(sys.argv[2], sys.argv[3], float(sys.argv[4]), *sys.argv[5:10])
        return
    if sys.argv[1] == "crowd":
        crowd(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
        return
    story = Story(*sys.argv[1:6])
    for part in (lines, arguments, scripts, envelopes, logs, services):
        part(story)


if __name__ == "__main__":
    main()
