#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "status and tail: how the agent is and what it says, from outside and without the bus"

CONFIG=$WORK/agent.yaml
# status [ARGUMENT...]: OUTPUT, STATUS.
status()
{
    STATUS=0
    OUTPUT=$("$AGENT" status --config "$CONFIG" "$@" 2>&1) || STATUS=$?
}
# is FILTER: of the state as JSON, true?
is()
{
    status --json
    [ "$(printf '%s\n' "$OUTPUT" | jq "$1")" = true ]
}

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin --file
cat >"$CONFIG" <<END
code: t1
location: here
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 200ms, reconnect_max: 500ms}
tasks: {heartbeat: {interval: 10s}}
commands: {allowed_commands: ["sleep 20"], timeout: 60s}
END
status
equal "before it runs: status 3" 3 $STATUS
match "in words" 'not running' "$OUTPUT"
STATUS=0
timeout 10 "$AGENT" tail --config "$CONFIG" >/dev/null 2>&1 || STATUS=$?
equal "tail too" 3 $STATUS

start_agent "$CONFIG"
check "it runs, and is well" wait_for 10 is '.running and .status == "healthy" and .link.connected'
equal "status 0" 0 $STATUS
check "with who it is" is '.code == "t1" and .location == "here" and .version != "" and .pid == '"$AGENT_PID"
check "with the bus" wait_for 10 is '.link.url == "'"$NATS_URL"'" and .link.tls == "in the clear" and (.link.since | length) == 20'
check "with what it sent" wait_for 15 is '.tasks.heartbeat.count >= 1 and .spool.stored >= 1 and .spool.waiting == 0'
check "and the way there and back" is '.link.rtt_ms > 0'
status
match "for people" "^bus +$NATS_URL, in the clear, [0-9.]+ ms, since" "$OUTPUT"
match "a line each" '^reports +heartbeat +' "$OUTPUT"
no_match "without colour, not on a terminal" "$(printf '\033')" "$OUTPUT"
coloured=$(script -qec "$AGENT status --config $CONFIG" /dev/null 2>/dev/null || true)
match "in colour on one" "$(printf '\033\\[32m')" "$coloured"
equal "its mode is 0640" 640 "$(stat -c %a "$WORK/run/status.json")"

bus req agents.t1.cmd.exec '{"command":"sleep 20"}' -t 30 >"$WORK/answer" 2>&1 &
asker=$!
check "a command that runs is shown" wait_for 10 is '.commands.running == 1 and .commands.children[0].command == "exec"'
kill "$asker"

# ---- a configuration that was broken since

cp "$CONFIG" "$WORK/good.yaml"
echo 'no: such: thing' >>"$CONFIG"
status
equal "a configuration that is broken now: the agent that runs is shown all the same" 0 $STATUS
match "with a word about it" 'looking in' "$OUTPUT"
cp "$WORK/good.yaml" "$CONFIG"

# ---- watching

spawn "$WORK/watch.log" "$AGENT" status --watch --config "$CONFIG"
watcher=$SPAWNED
check "watch draws it again and again" wait_for 10 has_line "$WORK/watch.log" '^agent ' 3
stop "$watcher" 10 INT
equal "until it is interrupted" 0 "$STATUS"

# ---- tail

spawn "$WORK/tail.log" "$AGENT" tail --config "$CONFIG"
tail=$SPAWNED
check "tail shows a beat" wait_for 25 has_line "$WORK/tail.log" 'agents\.t1\.heartbeat [0-9]+ B +\{"code":"t1"'
check "and the twin" wait_for 5 has_line "$WORK/tail.log" '\$KV\.twin\.thing\.t1\.status [0-9]+ B +online'
equal "what it reads is private" 600 "$(stat -c %a "$WORK/run/tail.log")"
bus req agents.t1.cmd.ping >/dev/null
check "and answers" wait_for 5 has_line "$WORK/tail.log" '_INBOX.* "?.*pong'
stop "$tail" 10 INT
equal "tail ends well" 0 "$STATUS"
check "the agent says that somebody looked on" agent_says ' info +tail_begun'
check "and takes the file away" wait_for 20 eval '[ ! -e "$WORK/run/tail.log" ]'
check "and says so" wait_for 5 agent_says ' info +tail_ended'
timeout 40 "$AGENT" tail --json --count 1 --config "$CONFIG" >"$WORK/one" || true
equal "as JSON, one" 1 "$(jq -s 'map(select(.subject and .bytes > 0 and .ts)) | length' "$WORK/one")"

# ---- the bus is away

stop_nats
check "the bus is away: it says so" wait_for 10 is '.link.connected | not'
equal "status 1" 1 $STATUS
check "with the reason and the mend" wait_for 10 is '(.link.error | length) > 0 and .link.event == "link_refused" and (.link.fix | test("Start the NATS server"))'
status
match "for people" '^bus +not connected, since .*nothing listens' "$OUTPUT"
match "the mend too" '-> Start the NATS server' "$OUTPUT"
restart_nats
check "and when it is back" wait_for 15 is '.link.connected and .link.reconnects == 1'
check "what went wrong last stays, with its time" is '(.last_error.event | startswith("link_")) and (.last_error.at | length) == 20'

# ---- one that was killed, and another process with its number

kill_agent
status
equal "killed: not running" 3 $STATUS
match "and said so" 'ended without a word' "$OUTPUT"
sleep 300 &
other=$!
sed -i "s/\"pid\":[0-9]*/\"pid\":$other/" "$WORK/run/status.json"
status
kill "$other"
equal "another process with its number is not taken for it" 3 $STATUS
printf '{"pid":' >"$WORK/run/status.json"
status
equal "a file that is broken is no agent, and no crash" 1 $STATUS

start_agent "$CONFIG"
check "it begins anew" wait_for 10 is '.running'
stop_agent
status
equal "stopped: not running" 3 $STATUS
equal "and nothing is left" "" "$(ls "$WORK/run")"
