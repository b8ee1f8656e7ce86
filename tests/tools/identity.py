#!/usr/bin/env python3
"""Make identities for nats-server and the agent, fresh ones each time.

usage: identity.py FOLDER

user.seed, user.public   an NKey
operator.conf            for nats-server: an operator with one account, which may use JetStream
user.creds               a user of that account
admin.creds              another
short.creds              one that expires in SECONDS (5, or $SECONDS)
stranger.creds           a user of an account that the server does not know

The formats are those of nkeys and of JWT version 2 (nats-io); openssl signs.
mini_platform.py uses it as a module.
"""
import base64
import binascii
import json
import os
import subprocess
import sys
import tempfile
import time

PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
NO_LIMITS = {"subs": -1, "data": -1, "payload": -1}
CLAIMS = {
    "operator": {},
    "account": {"limits": dict(NO_LIMITS, imports=-1, exports=-1, wildcards=True, conn=-1,
                               leaf=-1)},
    "user": dict(NO_LIMITS, pub={}, sub={}),
}


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def sealed(data):
    """DATA with its checksum, as text."""
    data += binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data).decode().rstrip("=")


def base64_url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Identity:
    def __init__(self, folder, kind):
        self.folder = folder
        self.kind = kind
        self.key = openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=self.key)
        prefix = PREFIXES[kind]
        # Both DER forms end with the 32 bytes themselves.
        self.public = sealed(bytes([prefix]) + public[-32:])
        self.seed = sealed(bytes([18 << 3 | prefix >> 5, (prefix & 31) << 3]) + self.key[-32:])

    def sign(self, message):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            write(folder, "key", self.key)
            write(folder, "text", message)
            return openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER",
                           "-inkey", os.path.join(folder, "key"),
                           "-in", os.path.join(folder, "text"))

    def vouch(self, subject, expires=0, **claims):
        """The JWT in which we say who SUBJECT is, and CLAIMS of it."""
        body = {"jti": claims.pop("jti", subject.public), "iat": int(time.time()),
                "iss": self.public, "name": claims.pop("name", subject.kind),
                "sub": subject.public,
                "nats": dict(CLAIMS[subject.kind], type=subject.kind, version=2, **claims)}
        if expires:
            body["exp"] = expires
        text = b".".join(base64_url(json.dumps(part, separators=(",", ":")).encode())
                         for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return (text + b"." + base64_url(self.sign(text))).decode()


def write(folder, name, data):
    """A private file, of text or of bytes."""
    descriptor = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def creds(jwt, seed):
    """What a .creds file says."""
    return ("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n"
            "NKEYs are sensitive and should be treated as secrets.\n\n"
            "-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n\n"
            "*************************************************************\n" % (jwt, seed))


def write_creds(folder, name, account, expires=0):
    user = Identity(folder, "user")
    write(folder, name, creds(account.vouch(user, expires), user.seed))


def main():
    folder = sys.argv[1]
    user = Identity(folder, "user")
    write(folder, "user.seed", user.seed + "\n")
    write(folder, "user.public", user.public + "\n")
    operator = Identity(folder, "operator")
    account = Identity(folder, "account")
    system = Identity(folder, "account")
    limits = dict(CLAIMS["account"]["limits"], mem_storage=-1, disk_storage=-1, streams=-1,
                  consumer=-1)
    write(folder, "operator.conf",
          "operator: %s\nsystem_account: %s\nresolver: MEMORY\n"
          "resolver_preload: {%s: %s, %s: %s}\n"
          % (operator.vouch(operator), system.public, system.public, operator.vouch(system),
             account.public, operator.vouch(account, limits=limits)))
    write_creds(folder, "user.creds", account)
    write_creds(folder, "admin.creds", account)
    write_creds(folder, "stranger.creds", Identity(folder, "account"))
    write_creds(folder, "short.creds", account,
                int(time.time()) + int(os.environ.get("SECONDS", "5")))


if __name__ == "__main__":
    main()
