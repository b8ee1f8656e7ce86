#!/bin/sh
# long
# Needs root (small disks of its own, in a mount namespace; another user).
. "${0%/*}/../lib.sh"
own_namespace --mount --propagation private
story "The spool's disk: full or read-only at the start, failing, lying; the wrong file, the wrong owner"

mkdir "$STATE"
at_end 'umount "$STATE" 2>/dev/null || true'
mount -t tmpfs -o size=8m,mode=700 tmpfs "$STATE"
start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
listen "$WORK/beats" 'agents.*.heartbeat'
busy_config 20 >"$WORK/agent.yaml"

fill()
{
    dd if=/dev/zero of="$STATE/filler" bs=4k 2>/dev/null || true
}
beats()
{
    grep -c heartbeat "$WORK/beats" || true
}
unhealthy()
{
    [ "$(health .status)" != '"healthy"' ]
}
answers()
{
    [ "$(bus req agents.t1.cmd.ping -t 1 2>/dev/null | jq -r .status)" = pong ]
}
says_more()
{
    # says_more EVENT: once more than before
    agent_says "$1" $((_said + 1))
}
said()
{
    _said=$(grep -Ec -e "$1" "$AGENT_LOG" || true)
}
AGENT_LOG=$WORK/agent.log
: >"$AGENT_LOG"

# live_without_disk WHAT: an agent that runs, and cannot write.
live_without_disk()
{
    check "$1: the log says so" wait_for 30 says_more ' error +spool_failed'
    check "$1: health says so" wait_for 20 unhealthy
    check "$1: it answers" wait_for 20 answers
    _seen=$(beats)
    check "$1: the heartbeat goes on" wait_for 25 eval '[ "$(beats)" -gt "$_seen" ]'
}

# boot_arrived: after a clean stop the spool is empty, and each number of the
# present boot is in the stream, once.
boot_arrived()
{
    equal "the spool is empty" 0 "$(spooled)"
    _highest=$(spool_highest)
    _boot=$(spool "SELECT value FROM meta WHERE key = 'boot'")
    _numbers=$(bus numbers REPORTS || true)
    note "$_numbers"
    match "all $_highest numbers of this boot are in the stream, once" \
        "^t1-$_boot count=$_highest lowest=1 highest=$_highest gaps=0 doubles=0\$" "$_numbers"
}
delivered()
{
    [ "$(bus stream-info REPORTS | jq .messages)" -ge "$1" ] && spool_is_below 30
}

# ---- full from the first start on

fill
said ' error +spool_failed'
start_agent "$WORK/agent.yaml"
live_without_disk "full at the first start"
equal "nothing was sent without a number" 0 "$(bus stream-info REPORTS | jq .messages)"
said ' spool_recovered'
rm "$STATE/filler"
check "room: the log says so" wait_for 40 says_more ' spool_recovered'
check "room: reports arrive" wait_for 40 has_messages REPORTS 60
check "room: health is healthy" wait_for 20 eval '[ "$(health .status)" = "\"healthy\"" ]'

# ---- full, with a backlog of an outage

kill_nats
check "reports pile up" wait_for 20 spool_holds 60
kill_agent
fill
restart_nats
said ' error +spool_failed'
start_agent "$WORK/agent.yaml"
live_without_disk "full, with a backlog"
rm "$STATE/filler"
check "room: the backlog arrives" wait_for 60 delivered 120
stop_agent
boot_arrived

# ---- read-only, and then not

start_agent "$WORK/agent.yaml"
kill_nats
check "reports pile up" wait_for 20 spool_holds 60
kill_agent
mount -o remount,ro "$STATE"
restart_nats
said ' error +spool_failed'
start_agent "$WORK/agent.yaml"
live_without_disk "read-only at the start"
check "the error names it" agent_says 'spool_failed.*spool\.db.*Read-only file system'
status=0
"$AGENT" run --config "$WORK/agent.yaml" >"$WORK/second" 2>&1 || status=$?
compare "read-only: a second agent is refused" $status -ne 0
match "it says why" 'another agent' "$(cat "$WORK/second")"
said ' spool_recovered'
mount -o remount,rw "$STATE"
check "writable: the log says so" wait_for 40 says_more ' spool_recovered'
check "writable: the backlog arrives" wait_for 60 delivered 180
stop_agent
boot_arrived
equal "no damage was seen in all this" 0 "$(grep -c spool_damaged "$AGENT_LOG" || true)"

# ---- a bit of a lying disk

# flip OFFSET: turn one byte of the database round.
flip()
{
    _byte=$(od -An -tu1 -j "$1" -N 1 "$STATE/spool.db" | tr -d ' ')
    printf "\\$(printf %03o $((_byte ^ 16)))" |
        dd of="$STATE/spool.db" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
start_agent "$WORK/agent.yaml"
kill_nats
check "reports pile up" wait_for 20 spool_holds 200
stop_agent
before=$(spooled)
old_boot=$(spool "SELECT value FROM meta WHERE key = 'boot'")
root=$(spool "SELECT rootpage FROM sqlite_master WHERE name = 'report'")
flip $(((root - 1) * 4096 + 5))
restart_nats
said ' error +spool_damaged'
start_agent "$WORK/agent.yaml"
check "a flipped bit in the structure: the log says so" wait_for 30 says_more ' error +spool_damaged'
note "$(grep spool_damaged "$AGENT_LOG" | tail -n 1)"
check "delivery goes on" wait_for 60 spool_is_below 30
stop_agent
boot_arrived
check_not "under a new boot" [ "$old_boot" = "$(spool "SELECT value FROM meta WHERE key = 'boot'")" ]
aside=$(ls "$STATE" | grep '^spool\.db\.damaged-[0-9]*$' || true)
check "the old database stays aside" test -s "$STATE/$aside"
match "the event names it" "aside=$STATE/$aside" "$(grep spool_damaged "$AGENT_LOG")"
equal "sqlite3 can look into it" "$old_boot" "$(sqlite3 "$STATE/$aside" "SELECT value FROM meta WHERE key = 'boot'")"
rm "$STATE"/spool.db.damaged-*

start_agent "$WORK/agent.yaml"
kill_nats
check "reports pile up" wait_for 20 spool_holds 100
stop_agent
seq=$(spool 'SELECT min(seq) + 20 FROM report')
spool "UPDATE report SET data = CAST(replace(CAST(data AS TEXT), '1', '2') AS BLOB) WHERE seq = $seq"
restart_nats
start_agent "$WORK/agent.yaml"
check "one changed report: the log says so" wait_for 30 agent_says " error +report_quarantined.*seq=$seq"
check "the others arrive" wait_for 60 spool_is_below 30
stop_agent
boot=$(spool "SELECT value FROM meta WHERE key = 'boot'")
equal "it is in the quarantine, alone" "$seq" "$(spool 'SELECT seq FROM quarantine')"
match "it was not sent, and all others were" " gaps=1 doubles=0\$" "$(bus numbers REPORTS | grep "^t1-$boot ")"
equal "the database is sound" ok "$(spool 'PRAGMA integrity_check')"

# ---- something else in its place

rm "$STATE"/spool.db*
sqlite3 "$STATE/spool.db" "CREATE TABLE people (name TEXT); INSERT INTO people VALUES ('x')"
said ' error +spool_damaged.*not a spool'
start_agent "$WORK/agent.yaml"
check "a foreign database: the log says so" wait_for 30 says_more ' error +spool_damaged.*not a spool'
aside=$(ls "$STATE" | grep '^spool\.db\.damaged-[0-9]*$' || true)
equal "it lies aside, whole" x "$(sqlite3 "$STATE/$aside" 'SELECT name FROM people')"
check "delivery goes on" wait_for 30 eval '[ "$(spool_highest)" -gt 40 ]'
stop_agent
boot_arrived

rm "$STATE"/spool.db*
mkdir "$STATE/spool.db"
status=0
"$AGENT" run --config "$WORK/agent.yaml" >"$WORK/directory" 2>&1 || status=$?
compare "a directory in its place: it says so and ends" $status -ne 0
match "naming it and what to do" "$STATE/spool.db is not a regular file; move it away" "$(cat "$WORK/directory")"
rmdir "$STATE/spool.db"

# ---- another owner

chmod 711 "$WORK"
chown nobody "$STATE"
as_nobody()
{
    exec setpriv --reuid nobody --regid nogroup --clear-groups "$_true_agent" "$@"
}
rm -f "$STATE/lock"
sqlite3 "$STATE/spool.db" 'VACUUM'
chmod 600 "$STATE/spool.db"
status=0
_true_agent=$AGENT
(as_nobody run --config "$WORK/agent.yaml") >"$WORK/owner" 2>&1 || status=$?
equal "another owner: it ends at once" 1 "$status"
match "naming the file and what to do" "$STATE/spool.db belongs to another user.*give it to the agent's user" "$(cat "$WORK/owner")"
rm -f "$STATE"/spool.db*
AGENT=as_nobody
start_agent "$WORK/agent.yaml"
AGENT=$_true_agent
check "its own: it delivers" wait_for 30 eval '[ "$(spool_highest)" -gt 40 ]'
stop_agent
boot_arrived
umount "$STATE"

# ---- a disk that fails under the running agent

dd if=/dev/zero of="$WORK/disk" bs=1M count=32 2>/dev/null
mkfs.ext4 -q -F "$WORK/disk"
if ! mount -o loop "$WORK/disk" "$STATE"; then
    skip "a disk that fails under the running agent" "no file can be mounted here"
    exit 0
fi
chmod 700 "$STATE"
start_agent "$WORK/agent.yaml"
check "reports are numbered" wait_for 30 eval '[ "$(spool_highest)" -gt 40 ]'
boot=$(spool "SELECT value FROM meta WHERE key = 'boot'")
said ' error +spool_failed'
mount -o remount,abort "$STATE"
live_without_disk "the file system gave up"
check "the agent stops in time" stop "$AGENT_PID" 20
umount "$STATE"
check "the administrator repairs it" eval 'e2fsck -fy "$WORK/disk"; [ $? -le 2 ]'
mount -o loop "$WORK/disk" "$STATE"
start_agent "$WORK/agent.yaml"
check "repaired: reports arrive" wait_for 40 eval '[ "$(bus numbers REPORTS | grep -c "^t1-$boot ")" -eq 1 ] && [ "$(spool_highest)" -gt 100 ]'
stop_agent
equal "with the same boot" "$boot" "$(spool "SELECT value FROM meta WHERE key = 'boot'")"
boot_arrived
