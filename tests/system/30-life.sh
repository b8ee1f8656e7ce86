#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The life of a service: what it tells its manager, its log, its end"

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin --file
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, drain_timeout: 2s}
END

# ---- sd_notify

spawn "$WORK/notify" python3 "$TOP/tests/tools/notify.py" "$WORK/notify.socket"
wait_for 20 has_line "$WORK/notify" '^listening'
NOTIFY_SOCKET=$WORK/notify.socket
WATCHDOG_USEC=2000000
export NOTIFY_SOCKET WATCHDOG_USEC
start_agent "$WORK/agent.yaml"
unset NOTIFY_SOCKET WATCHDOG_USEC
says()
{
    has_line "$WORK/notify" "$@"
}
check "READY=1" wait_for 10 says ' READY=1( |$)'
check "STATUS says where it is connected" wait_for 10 says " STATUS=Connected to $NATS_URL"
check "WATCHDOG=1, again and again" wait_for 10 says ' WATCHDOG=1' 4
in_time "well within the watchdog's 2 s" "$(awk '/WATCHDOG=1/ {
        if (last && $1 - last > most) most = $1 - last
        last = $1
    } END { print most + 0 }' "$WORK/notify")" 1500
kill_nats
check "STATUS says when it is not" wait_for 10 says ' STATUS=Not connected: .'
restart_nats
check "and when it is again" wait_for 30 says " STATUS=Connected to $NATS_URL" 2
before=$(awk '{ printf "%d", $1 * 1000000 }' /proc/uptime)
kill -HUP "$AGENT_PID"
check "RELOADING=1" wait_for 10 says ' RELOADING=1 MONOTONIC_USEC=[0-9]+'
moment=$(sed -n 's/.*MONOTONIC_USEC=\([0-9]*\).*/\1/p' "$WORK/notify")
compare "with its moment" "$moment" -ge $((before - 20000))
check "then READY=1 again" wait_for 10 says ' READY=1' 2
stop_agent
check "STOPPING=1" says ' STOPPING=1'
equal "which is the last that it says" 0 \
    "$(sed '1,/STOPPING=1/d' "$WORK/notify" | grep -c READY || true)"

# ---- the log as a file

cat >>"$WORK/agent.yaml" <<END
logging: {file: "$WORK/log/agent.jsonl", level: debug, max_size_mb: 1, max_backups: 2}
END
mkdir "$WORK/log"
spawn "$WORK/agent.log" "$AGENT" run --config "$WORK/agent.yaml"
AGENT_PID=$SPAWNED
wait_for 20 has_line "$WORK/log/agent.jsonl" '"event":"agent_ready"'
# An answer wanted in the wrong place is a line of log; no two are alike.
filler=$(head -c 200 /dev/zero | tr '\0' x)
round=0
while [ $round -lt 200 ] && [ ! -e "$WORK/log/agent.jsonl.2" ]; do
    round=$((round + 1))
    bus pub agents.t1.cmd.ping -n 200 --reply "$filler.$round.{n}"
    bus req agents.t1.cmd.ping >/dev/null
done
check "the file is rotated" test -s "$WORK/log/agent.jsonl.1"
check "as often as it fills" test -s "$WORK/log/agent.jsonl.2"
equal "no file is larger than it may be" "" "$(find "$WORK/log" -size +1024k)"
stop_agent
equal "old files beyond max_backups are gone" "agent.jsonl agent.jsonl.1 agent.jsonl.2" \
    "$(cd "$WORK/log" && echo *)"
cat "$WORK/log/agent.jsonl.2" "$WORK/log/agent.jsonl.1" "$WORK/log/agent.jsonl" >"$WORK/all.jsonl"
check "each line is a JSON object with time, level and event" jq -e -s '
    length > 1000 and all(.[]; (.ts | length > 0) and (.level | length > 0) and (.event | length > 0))' \
    "$WORK/all.jsonl"
equal "nothing is lost between the files" "$((200 * round))" \
    "$(grep -c '"event":"reply_refused"' "$WORK/all.jsonl")"
equal "others cannot write it" 0 "$(find "$WORK/log" -type f -perm /022 | wc -l)"

# ---- SIGTERM at bad moments

# took: milliseconds since $began.
took()
{
    echo $(($(date +%s%3N) - began))
}
sed -i '/^logging/d' "$WORK/agent.yaml"
rm -rf "$STATE"
closed=$(free_port)
start_agent "$WORK/agent.yaml" --set "nats.urls=nats://127.0.0.1:$closed"
began=$(date +%s%3N)
stop_agent
in_time "while it waits to connect again: at once" "$(took)" 2000

freeze_nats
start_agent "$WORK/agent.yaml"
sleep 0.5
began=$(date +%s%3N)
stop_agent
in_time "while a frozen server does not answer the greeting" "$(took)" 5000
thaw_nats

start_agent "$WORK/agent.yaml"
wait_for 10 agent_says ' link_up'
freeze_nats
began=$(date +%s%3N)
stop_agent
in_time "while its server is frozen: drain_timeout for each of two" "$(took)" 6000
thaw_nats

start_agent "$WORK/agent.yaml"
note "SIGTERM three times in a row:"
kill -TERM "$AGENT_PID"
kill -TERM "$AGENT_PID"
stop_agent

# timeout signals its child by PID, from the very moment that it is there.
ends=
for moment in 0.001 0.003 0.006 0.01 0.02 0.04; do
    status=0
    timeout --preserve-status -k 10 $moment "$AGENT" run --config "$WORK/agent.yaml" \
        >>"$WORK/agent.log" 2>&1 || status=$?
    ends="$ends $status"
done
no_match "in its first moments: it ends as a whole or by the signal, not by force" \
    '137| [^01]' "$(echo "$ends" | sed 's/ 143/ 0/g')"

# ---- exit codes

status=0
"$AGENT" run --config "$WORK/agent.yaml" --set paths.state=/proc/nowhere >"$WORK/output" 2>&1 || status=$?
equal "a state directory that cannot be: status 1" 1 $status
match "with its name" /proc/nowhere "$(cat "$WORK/output")"
