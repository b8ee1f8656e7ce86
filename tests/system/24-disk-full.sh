#!/bin/sh
# Needs root (a small disk of its own, in a mount namespace).
. "${0%/*}/../lib.sh"
own_namespace --mount --propagation private
story "The disk is full, then not; it is read-only, then not"

mkdir "$STATE"
mount -t tmpfs -o size=8m,mode=700 tmpfs "$STATE"
at_end 'umount "$STATE"'
start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus kv-add twin --file
listen "$WORK/beats" 'agents.*.heartbeat'
busy_config 20 >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 20

# fill: not a byte left.
fill()
{
    dd if=/dev/zero of="$STATE/filler" bs=4k 2>/dev/null || true
}
beats()
{
    grep -c heartbeat "$WORK/beats" || true
}

for turn in 1 2; do
    fill
    check "full: the log says so" wait_for 30 agent_says ' error +spool_failed' 1
    check "full: health says so" wait_for 10 eval '[ "$(health .status)" != "\"healthy\"" ]'
    check "full: the twin says error" wait_for 25 eval '[ "$(bus kv-get twin thing.t1.status)" = error ]'
    seen=$(beats)
    check "full: the heartbeat goes on" wait_for 25 eval '[ "$(beats)" -gt "$seen" ]'
    equal "full: it answers" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"
    before=$(bus stream-info REPORTS | jq .messages)
    rm "$STATE/filler"
    check "room again: the log says so" wait_for 40 agent_says ' spool_recovered'
    check "room again: reports arrive" wait_for 40 has_messages REPORTS $((before + 40))
    check "room again: health is healthy" wait_for 10 eval '[ "$(health .status)" = "\"healthy\"" ]'
done

# ---- an outage on a full disk: what was accepted is kept

kill_nats
check "reports pile up" wait_for 20 spool_holds 40
fill
sleep 3
restart_nats
check "what is on the full disk is sent" wait_for 30 eval '[ "$(health .nats.connected 2>/dev/null)" = true ]'
rm -f "$STATE/filler"
check "and drains" wait_for 60 spool_is_below 20
stop_agent
all_arrived REPORTS
equal "the database is sound" ok "$(spool 'PRAGMA integrity_check')"

# ---- read-only

start_agent "$WORK/agent.yaml"
check "it starts again" wait_for 20 eval '[ "$(bus req agents.t1.cmd.ping -t 1 | jq -r .status)" = pong ]'
kill_agent
mount -o remount,ro "$STATE"
start_agent "$WORK/agent.yaml"
check "read-only from the start: it runs and says so" wait_for 10 agent_says "spool_failed.*$STATE.*Read-only"
mount -o remount,rw "$STATE"
check "what the killed one left drains" wait_for 30 spool_is_below 20
stop_agent
all_arrived REPORTS
