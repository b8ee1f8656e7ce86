"""What the checks of this folder share: finding the files, reading C."""

import os
import re
import subprocess
import sys

SKIPPED_FOLDERS = re.compile(
    r"^(\.git|\.deps|build.*|_build|_inst|autom4te\.cache|__pycache__)$")
WALKED = ("include", "src", "tests", "docs", "m4", ".ci",
          "debian", "freebsd", "nsis", "win32")
TOP_FILES = ("configure.ac", "Makefile.am", "README.md", ".editorconfig",
             ".clang-format", ".gitignore")

TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|/\*.*?\*/"
    r"|//[^\n]*", re.DOTALL)


class Complaints:
    """Collects file:line: text, prints them in order."""

    def __init__(self):
        self.rows = []

    def add(self, path, line, text):
        self.rows.append((path, line, text))

    def end(self, what):
        for path, line, text in sorted(set(self.rows)):
            print(f"{path}:{line}: {text}")
        if self.rows:
            print(f"{what}: {len(set(self.rows))} complaints")
            return 1
        return 0


def top_folder():
    """The first argument, else the sources that this script lies in."""
    if len(sys.argv) > 1:
        return os.path.abspath(sys.argv[1])
    return os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def git_files(top):
    """What git tracks or would, or None where git does not say."""
    try:
        out = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            cwd=top, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    if out.returncode != 0:
        return None
    names = {name for name in out.stdout.split("\0") if name}
    return sorted(name for name in names if os.path.isfile(os.path.join(top, name)))


def project_files(top):
    """Paths below TOP: git's, or in a tarball all that look like ours."""
    names = git_files(top) if os.path.exists(os.path.join(top, ".git")) else None
    if names is not None:
        return names
    names = [name for name in TOP_FILES if os.path.isfile(os.path.join(top, name))]
    for folder in WALKED:
        for where, folders, files in os.walk(os.path.join(top, folder)):
            folders[:] = [name for name in folders if not SKIPPED_FOLDERS.match(name)]
            relative = os.path.relpath(where, top)
            names += [os.path.join(relative, name) for name in files
                      if not name.endswith((".o", ".a", ".log", ".trs", ".pyc"))]
    return sorted(names)


def read_text(top, name):
    """The text of a file, or None when it is not text."""
    with open(os.path.join(top, name), "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace")


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def only_code(text):
    """TEXT of C with comments and the insides of literals blanked, the lines and
    columns kept; and the offsets of // comments."""
    slashes = []

    def replace(match):
        found = match.group(0)
        if found.startswith("//"):
            slashes.append(match.start())
            return blank(found)
        if found.startswith("/*"):
            return blank(found)
        return found[0] + blank(found[1:-1]) + found[-1]

    return TOKEN.sub(replace, text), slashes


def closing(code, opening):
    """The offset of the bracket that closes the one at OPENING, or -1."""
    depth = 0
    for offset in range(opening, len(code)):
        if code[offset] == "(":
            depth += 1
        elif code[offset] == ")":
            depth -= 1
            if depth == 0:
                return offset
    return -1
