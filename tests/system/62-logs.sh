#!/bin/sh
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2.  Where these
# are not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "Logs: the journal of a unit is read as journalctl reads it, and nobody else's"

need_systemd

# box COMMAND...: inside.
box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}

# journal UNIT COUNT [OPTION...]: as the agent reads it.  messages: without what is before.
journal()
{
    box "$WORK/journal" "$@"
}

messages()
{
    journal "$@" | sed 's/^[^]]*]: //'
}

# as GROUPS UNIT COUNT: without root's rights, with the groups that setpriv(1) is told.
as()
{
    _groups=$1
    shift
    box setpriv --reuid=nobody --regid=nogroup "$_groups" "$WORK/journal" "$@" 2>&1
}

chmod 711 "$WORK"
cp "$BUILD/tests/tools/journal" "$WORK/journal"
SDBOX_BIND=$WORK
SDBOX_FUSE=600
export SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
mkdir "$WORK/box"
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
note "$(box systemctl --version | head -n 1)"

printf '[Service]\nType=oneshot\nSyslogIdentifier=web\nExecStart=/bin/sh -c "%s"\n' \
    'for i in 1 2 3 4 5; do echo line $i; done' | box sh -c 'cat >/etc/systemd/system/web.service'
printf '[Service]\nType=oneshot\nExecStart=/bin/echo canary of another\n' |
    box sh -c 'cat >/etc/systemd/system/other.service'
box systemctl daemon-reload
box systemctl start web other
box journalctl --sync

journal_holds()
{
    journal web 100 | grep -q "Finished web.service"
}
check "what the unit and systemd say of it arrives" wait_for 10 journal_holds

# ---- what comes out

match "an entry looks as journalctl shows it" \
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+0000 [^ ]+ web\[[0-9]+\]: line 3$' \
    "$(journal web 100)"
equal "all entries are those of journalctl" \
    "$(box journalctl --utc --no-pager -q -o short-iso -u web)" "$(journal web 100)"
equal "with the whole name as well" "$(journal web 100)" "$(journal web.service 100)"
equal "the newest, oldest first" "$(journal web 100 | tail -n 3)" "$(journal web 3)"
equal "the newest first" "$(journal web 3 | tac)" "$(journal web 3 newest-first)"
no_match "nothing of another unit" canary "$(journal web 100)"
equal "a unit without entries has none" "" "$(journal none 100)"

# ---- filters

equal "grep is a fixed text" "line 2" "$(messages web 100 grep 'line 2')"
equal "and no pattern" "" "$(messages web 100 grep 'line .')"
equal "its newest" "line 4
line 5" "$(messages web 2 grep 'line ')"
equal "since long ago" "$(journal web 100)" "$(journal web 100 since 3600)"
equal "since a moment that is to come" "" "$(journal web 100 since -3600)"
equal "since that moment, newest first" "" "$(journal web 100 since -3600 newest-first)"

# ---- hostile senders

printf 'MESSAGE=forged canary\nUNIT=web.service\n_SYSTEMD_UNIT=web.service\nOBJECT_SYSTEMD_UNIT=%s\n' \
    web.service | box setpriv --reuid=nobody --regid=nogroup --clear-groups logger --journald
box journalctl --sync
match "the forged entry is in the journal" 'forged canary' "$(box journalctl -q --no-pager)"
no_match "but not the unit's" 'forged canary' "$(journal web 100)"
box sh -c 'cat >/run/multi.py' <<'END'
import socket
text = b"one\n2026-01-01T00:00:00+0000 host sshd[1]: two\nthree\n"
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"SYSLOG_IDENTIFIER=multi\nMESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\n",
               "/run/systemd/journal/socket")
    out.sendto(b"MESSAGE\n" + (200000).to_bytes(8, "little") + b"x" * 200000 + b"\n",
               "/run/systemd/journal/socket")
END
printf '[Service]\nType=oneshot\nExecStart=/usr/bin/python3 /run/multi.py\n' |
    box sh -c 'cat >/etc/systemd/system/multi.service'
box systemctl daemon-reload
box systemctl start multi
box journalctl --sync
no_match "a message of several lines cannot pretend to be another" '^2026-01-01' \
    "$(journal multi 100)"
match "its lines are indented" '^ +2026-01-01T00:00:00.0000 host sshd\[1\]: two$' \
    "$(journal multi 100)"
compare "a long message is cut" "$(journal multi 100 | wc -c)" -lt 80000

# ---- following

spawn "$WORK/followed" "$sdbox" run "$WORK/box" "$WORK/journal" other 1 follow 20
follower=$SPAWNED
wait_for 10 grep -q "Finished other" "$WORK/followed"
box systemctl start other
check "a new entry comes while we follow" wait_for 10 has_line "$WORK/followed" canary 1
stop "$follower"
spawn "$WORK/followed-new" "$sdbox" run "$WORK/box" "$WORK/journal" later 1 follow 20
follower=$SPAWNED
sleep 1
box systemd-run --quiet --wait --unit=later /bin/echo first of all
check "also of a unit that had none" wait_for 10 has_line "$WORK/followed-new" 'first of all'
stop "$follower"

# ---- rights

refusal=$(as --clear-groups web 100) || true
equal "without rights it says what is missing" "there is no journal that the agent may read; is its \
user in the group systemd-journal?" "$refusal"
equal "the group systemd-journal suffices" "$(journal web 100)" \
    "$(as "--groups=$(box getent group systemd-journal | cut -d: -f3)" web 100)"
nothing=$(box unshare -m sh -c 'mount -t tmpfs none /run/log; mount -t tmpfs none /var/log
    exec "$@" 2>&1' sh "$WORK/journal" web 100) || true
equal "a machine without a journal says so" "this machine keeps no journal" "$nothing"
