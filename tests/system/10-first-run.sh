#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The first run: a config of three lines, and everything default works"

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin
listen "$WORK/beats" 'agents.*.heartbeat' --json
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}}
location: north-1
END
start_agent "$WORK/agent.yaml"

# ---- unasked

check "a heartbeat comes at once" wait_for 10 test -s "$WORK/beats"
beat=$(head -n 1 "$WORK/beats")
equal "on agents.t1.heartbeat" agents.t1.heartbeat "$(echo "$beat" | jq -r .subject)"
equal "it wants no answer" null "$(echo "$beat" | jq .reply)"
equal "it has code, location and ts, and nothing else" '["code","location","ts"]' \
    "$(echo "$beat" | jq -c '.data | fromjson | keys')"
check "its ts is the time of now" jq -e '.ts / 1000 - (.data | fromjson.ts | fromdateiso8601)
    | . > -0.5 and . < 3' "$WORK/beats"

# stored NAME: the first report of that name in the stream.
stored()
{
    bus stream-dump REPORTS --data | jq -c "select(.subject == \"agents.t1.telemetry.$1\")" | head -n 1
}
check "telemetry.system is in the stream" wait_for 10 eval '[ -n "$(stored system)" ]'
check "so is telemetry.inventory" wait_for 10 eval '[ -n "$(stored inventory)" ]'
system=$(stored system)
echo "$system" | jq -r .data >"$WORK/system.json"
equal "on its subject" agents.t1.telemetry.system "$(echo "$system" | jq -r .subject)"
match "with a message id" '^t1-[A-Za-z0-9]+-[0-9]+$' "$(echo "$system" | jq -r '.headers["Nats-Msg-Id"]')"
check "it has the contract's fields, with their types" jq -e '
    .code == "t1" and .location == "north-1"
    and (.ts | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"))
    and (.cpu_usage_percent | type == "number" and . >= 0 and . <= 100)
    and (.memory_free_gb | type == "number" and . > 0)
    and .memory_total_gb >= .memory_free_gb
    and (.memory_used_percent | . > 0 and . < 100)
    and (.disks | type == "array")
    and all(.disks[]; (.drive | type == "string") and .total_gb >= .free_gb
        and .free_percent >= 0 and .free_percent <= 100
        and .read_bytes_per_sec >= 0 and .write_bytes_per_sec >= 0)' "$WORK/system.json"
no_match "numbers have two decimals at most" '\.[0-9]{3}' "$(sed 's/"ts":"[^"]*"//' "$WORK/system.json")"
free=$(awk '$1 == "MemAvailable:" { printf "%d", $2 / 1048576 }' /proc/meminfo)
near=$(jq --argjson free "$free" '.memory_free_gb - $free | fabs < 3' "$WORK/system.json")
equal "memory_free_gb is what the kernel says" true "$near"

check "the twin says online" wait_for 10 eval '[ "$(bus kv-get twin thing.t1.status)" = online ]'
check "the twin's heartbeat is JSON with interval and status" jq -e '
    .code == "t1" and .interval == "30s" and .status == "online" and (.version | length > 0)' \
    <<END
$(bus kv-get twin thing.t1.heartbeat)
END
check "the twin knows the agent and its system" jq -e '
    (.version | length > 0) and .os.platform == "linux" and (.os.name | length > 0)' <<END
$(bus kv-get twin thing.t1.agent)
END

no_match "the log has no line that needs explaining" ' (warn|error|debug) ' "$(cat "$AGENT_LOG")"
compare "and it is short" "$(wc -l <"$AGENT_LOG")" -le 4

# ---- asked

# has_thread NAME
has_thread()
{
    cat "/proc/$AGENT_PID/task/"[0-9]*/comm | grep -qx "$1"
}
check_not "a thread for the audit file waits for the first command" has_thread audit
equal "ping" '{"status":"pong"}' "$(bus req agents.t1.cmd.ping | jq -c 'del(.ts)')"
equal "ping with a body that is no JSON: pings ignore theirs" pong \
    "$(bus req agents.t1.cmd.ping '{bad' | jq -r .status)"
match "its ts is whole seconds, UTC" '^[0-9-]{10}T[0-9:]{8}Z$' \
    "$(bus req agents.t1.cmd.ping '{}' | jq -r .ts)"
bus req agents.t1.cmd.health >"$WORK/health.json"
check "health: status and ts" jq -e '.status == "healthy" and (.ts | fromdateiso8601 > 0)' "$WORK/health.json"
check "health: agent" jq -e '.agent | .memory_usage_mb > 1 and .goroutines > 3 and .uptime_seconds >= 0
    and .commands_processed == 0 and .commands_errored == 0' "$WORK/health.json"
check "health: nats" jq -e --arg url "$NATS_URL" '.nats | .connected and .server_url == $url
    and (.server_id | length > 20) and .reconnects == 0 and .in_msgs > 0 and .out_msgs > 0
    and .in_bytes > 0 and .out_bytes > 0 and .jetstream' "$WORK/health.json"
check "health: tasks" jq -e '.tasks | (.last_heartbeat | fromdateiso8601 > 0)
    and (.last_metrics | fromdateiso8601 > 0) and .heartbeat_count >= 1 and .metrics_count >= 1
    and .metrics_failures == 0' "$WORK/health.json"
check "health: config" jq -e '.config | .code == "t1" and .location == "north-1"
    and .subject_prefix == "agents" and (.version | length > 0)
    and .enabled_tasks == ["heartbeat", "system_metrics", "inventory"]' "$WORK/health.json"
check "health: os" jq -e '.os | .platform == "linux" and (.name | length > 0)
    and (.version | type == "string") and (.build | length > 0)' "$WORK/health.json"

equal "a command that it does not have" '{"status":"error","error":"unknown command: reboot"}' \
    "$(bus req agents.t1.cmd.reboot '{}' | jq -c 'del(.ts, .id)')"
match "says so in a header as well" '"Nats-Service-Error-Code":"400"' \
    "$(bus req agents.t1.cmd.reboot '{}' --headers)"
head -c 66000 /dev/zero | tr '\0' x >"$WORK/large"
match "a request of more than 64 KiB" '"error":"a request of 66000 bytes; the limit is 65536"' \
    "$(bus req agents.t1.cmd.ping - <"$WORK/large")"

# ---- the micro service

for where in '' .stone-agent; do
    equal "\$SRV.PING$where" '["io.nats.micro.v1.ping_response","stone-agent"]' \
        "$(bus req "\$SRV.PING$where" | jq -c '[.type, .name]')"
done
id=$(bus req "\$SRV.PING" | jq -r .id)
equal "\$SRV.INFO of this one" '["ping","health","exec","logs","service","rotate_creds","nebula","cancel"]' \
    "$(bus req "\$SRV.INFO.stone-agent.$id" | jq -c '[.endpoints[].name]')"
equal "its metadata" '{"code":"t1","location":"north-1","os":"linux"}' \
    "$(bus req "\$SRV.INFO.stone-agent" | jq -c .metadata)"
check "\$SRV.STATS counts" jq -e '.endpoints | any(.name == "ping" and .num_requests >= 3)' <<END
$(bus req "\$SRV.STATS.stone-agent.$id")
END

# ---- a requester chooses where the answer goes

listen "$WORK/all" '>'
long=_INBOX.$(head -c 3900 /dev/zero | tr '\0' x)
for reply in "\$JS.API.STREAM.DELETE.REPORTS" agents.other.cmd.exec '>' '_INBOX.*' 'plain' "$long"; do
    bus pub agents.t1.cmd.ping '{}' --reply "$reply"
done
equal "it still answers" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"
answers=$(grep pong "$WORK/all" || true)
compare "only that one got an answer" "$(echo "$answers" | grep -c .)" -eq 1
match "in an inbox" '^_INBOX\.[A-Za-z0-9.]+	' "$answers"
check "the log says why the others got none" agent_says 'reply_refused.*STREAM\.DELETE'
has_messages REPORTS 1 || die "the stream is gone"

# ---- what it is, seen from outside

equal "it listens on no port" "" "$(ss -H -l -n -t -u -p | grep -w "pid=$AGENT_PID" || true)"
match "it leaves no core dump" '^Max core file size +0 +0 ' "$(cat /proc/"$AGENT_PID"/limits)"
check "the audit file has its thread now" has_thread audit
threads=$(cat /proc/"$AGENT_PID"/task/[0-9]*/comm)
equal "each thread but the first has a name of its own" 1 \
    "$(echo "$threads" | grep -c '^stone-age-agent$')"
compare "there are few of them" "$(echo "$threads" | wc -l)" -le 14
equal "its state is its own" "700 600" \
    "$(stat -c %a "$STATE") $(stat -c %a "$STATE/spool.db")"

status=0
"$AGENT" run --config "$WORK/agent.yaml" >"$WORK/second" 2>&1 || status=$?
compare "a second one on the same state refuses to start" $status -ne 0
match "naming the first" "(^|[^0-9])$AGENT_PID([^0-9]|\$)" "$(cat "$WORK/second")"
equal "which does not mind" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"

stop_agent
equal "the twin says offline" offline "$(bus kv-get twin thing.t1.status)"
equal "nothing waits" 0 "$(spooled)"

# ---- the example of the brief, unchanged

code=chicago-warehouse-vent-01
: >"$AGENT_LOG"
start_agent "$TOP/tests/data/config/brief.yaml" --set "nats.urls=$NATS_URL" --set "paths.state=$WORK/brief"
check "the brief's example works with a plain URL" \
    wait_for 10 grep -q "\"agents.$code.heartbeat\"" "$WORK/beats"
check "the twin says online" wait_for 10 eval '[ "$(bus kv-get twin thing.$code.status)" = online ]'
equal "it answers" pong "$(bus req "agents.$code.cmd.ping" | jq -r .status)"
no_match "the log has no line that needs explaining" ' (warn|error|debug) ' "$(cat "$AGENT_LOG")"
stop_agent
equal "the twin says offline" offline "$(bus kv-get twin thing.$code.status)"
