#!/bin/sh
# What the commands answer, text for text: tests/golden/commands.txt, and here what is too
# large or too alive to stand there.  The success and failure texts of service need a
# systemd: 61-service-control.sh.  What is refused, deadlines with all that a command leaves
# running, crowds, the audit file: 60-commands.sh.  Streams and requesters: 66-command-streams.sh.
# also: asan
. "${0%/*}/../lib.sh"
story "Goldens: each command answers as the contract has it, to the letter"

mkdir "$STATE" "$WORK/scripts" "$WORK/logs" "$WORK/logs/folder.log"
chmod 700 "$STATE"
chmod 755 "$WORK" "$WORK/scripts" "$WORK/logs"
printf '#!/bin/sh\necho hello from a script\n' >"$WORK/scripts/hello.sh"
chmod 755 "$WORK/scripts/hello.sh"
printf 'one\ntwo\nthree\nfour\nfive\n' >"$WORK/logs/app.log"
printf 'before 1\nbefore 2\nbefore 3\n' >"$WORK/logs/app.log.1"
: >"$WORK/logs/empty.log"
printf 'first\n\ncrlf\r\n\r\nb\377d \303\251\nlast' >"$WORK/logs/odd.log"
printf '%s\n' '2020-01-01T00:00:00Z old' '2022-01-01T00:00:00Z new' '  and more of it' \
    '2023-01-01T00:00:00Z newest' >"$WORK/logs/timed.log"
seq -f 'line %.0f' 20000 >"$WORK/logs/long.log"
ln -s ../agent.yaml "$WORK/logs/own.log"
ln -s /etc/passwd "$WORK/logs/link.log"

start_nats
cat >"$WORK/agent.yaml" <<END
code: t1
location: hall
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 100ms}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
commands:
  scripts_directory: $WORK/scripts
  allowed_services: [stone-age-absent]
  allowed_log_paths: ["$WORK/logs/*.log"]
  allowed_commands:
    - "echo hello world"
    - "true"
    - "printf ' \\\\n\\\\t'"
    - "echo '{\"a\": [1.50, true], \"b\": \"x\"}'"
    - "echo 42"
    - "echo null"
    - "echo '\"quoted\"'"
    - "echo 042"
    - "echo out; exit 3"
    - "echo '{\"status\":\"success\"}'; exit 4"
    - "echo out; echo err >&2"
    - "echo err >&2"
    - "printf 'a\\\\000b\\\\377\\\\351c'"
    - "kill -9 \$\$"
    - {name: slow, run: [sh, -c, "echo begun; sleep 100"], timeout: 2s}
    - {name: limited, run: [sh, -c, "yes y | tr -d '\\\\n' | head -c 100"], max_output: 10B}
    - {name: leaves, run: [sh, -c, "sleep 1000 & echo x"]}
    - {name: greet, run: [echo, hello, "{who}"], args: {who: {pattern: "[a-z]+"}}}
    - {name: capped, run: [sh, -c, "yes 0123456 | head -c 12000000"]}
    - {name: tail, run: [sh, -c, "yes ééé | head -c 3000004"]}
    - {name: deaf, run: [sh, -c, "trap '' TERM; echo deaf; sleep 600 & wait"], timeout: 10m}
    - {name: waits, run: [sleep, "600"], timeout: 10m}
END
start_agent "$WORK/agent.yaml"
check "the agent answers" wait_for 30 sh -c "'$BUILD/tests/tools/bus' -s '$NATS_URL' req agents.t1.cmd.ping"

# ask COMMAND BODY [OPTION...]: ANSWER and its HEADERS.
ask()
{
    _subject=agents.t1.cmd.$1
    _body=$2
    shift 2
    bus req "$_subject" "$_body" -t 20 --headers "$@" >"$WORK/answer"
    ANSWER=$(sed -n 1p "$WORK/answer")
    HEADERS=$(sed -n 2p "$WORK/answer")
}

of()
{
    printf '%s' "$ANSWER" | jq -c "$1"
}

# Without what is another one each time.
plain()
{
    printf '%s' "$1" | sed -E "s|$WORK|@WORK@|g"'; s/"id":"[A-Za-z0-9]{22}",("seq":[0-9]+,)?"ts"/"id":"ID",\1"ts"/
        s/"ts":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"\}$/"ts":"TS"}/'
}

# golden TEXT COMMAND BODY EXPECTED
golden()
{
    ask "$2" "$(printf '%s' "$3" | sed "s|@WORK@|$WORK|g")"
    equal "$1" "$4" "$(plain "$ANSWER")"
    if [ "$(of .status)" = '"error"' ]; then
        equal "... and the headers say so" "[$(of '.error | rtrimstr(" ")'),\"400\"]" \
            "$(printf '%s' "$HEADERS" | jq -c '[."Nats-Service-Error", ."Nats-Service-Error-Code"]')"
    elif [ "$HEADERS" != '{}' ]; then
        equal "... without a header" '{}' "$HEADERS"
    fi
}

# ---- those of the file

count=0
while IFS= read -r line; do
    case $line in
    '? '*) text=${line#? } ;;
    '> '*)
        request=${line#> }
        body=
        case $request in
        *' '*) body=${request#* } ;;
        esac
        ;;
    '= '*)
        golden "$text" "${request%% *}" "$body" "${line#= }" </dev/null
        count=$((count + 1))
        ;;
    esac
done <"$TOP/tests/golden/commands.txt"
compare "all of the file were asked" "$count" -eq "$(grep -c '^? ' "$TOP/tests/golden/commands.txt")"

# ---- health

ask health ''
equal "health has the groups and members of the contract" \
    '["commands_errored","commands_processed","goroutines","last_error","last_error_time","memory_usage_mb","uptime_seconds"]
["connected","in_bytes","in_msgs","jetstream","out_bytes","out_msgs","reconnects","server_id","server_url"]
["heartbeat_count","inventory_count","last_heartbeat","metrics_count","metrics_failures","service_check_count"]
["allowed_commands","allowed_log_paths","allowed_services","code","enabled_tasks","location","subject_prefix","version"]
["build","name","platform","version"]' "$(printf '%s' "$ANSWER" | jq -c '
        def those($names): keys | map(select(. as $key | $names | index($key)));
        (.agent | those(["memory_usage_mb", "goroutines", "uptime_seconds", "commands_processed",
            "commands_errored", "last_error", "last_error_time"])),
        (.nats | keys), (.tasks | those(["last_heartbeat", "heartbeat_count", "metrics_count",
            "metrics_failures", "service_check_count", "inventory_count"])),
        (.config | keys), (.os | keys)')"
equal "with the types of the contract" \
    '["string","string","number","number","number","number","string","boolean","string","number","array","string"]' \
    "$(of '[.status, .ts, .agent.memory_usage_mb, .agent.goroutines, .agent.uptime_seconds,
        .agent.commands_processed, .agent.last_error_time, .nats.connected, .nats.server_url,
        .nats.reconnects, .config.enabled_tasks, .os.build] | map(type)')"
equal "all are counted but ping, health and what is no command; errors are" "[$((count - 3)),true]" \
    "$(of '[.agent.commands_processed, .agent.commands_errored > 10]')"
equal "it says who it is" '["t1","hall","agents",["heartbeat"],["stone-age-absent"]]' \
    "$(of '.config | [.code, .location, .subject_prefix, .enabled_tasks, .allowed_services]')"

# ---- service, where there is no systemd

if [ -d /run/systemd/system ]; then
    skip "service: a machine without systemd says so" "this machine has a systemd"
else
    golden "service: a machine without systemd says so" service \
        '{"action":"start","service_name":"stone-age-absent"}' '{"status":"error","error":"systemctl start stone-age-absent failed: systemd does not run this machine: no services to watch","service_name":"stone-age-absent","action":"start","id":"ID","ts":"TS"}'
fi

# ---- many lines, much output

ask logs '{"log_path":"'"$WORK"'/logs/long.log","lines":10000}'
equal "logs: 10000 lines" '[10000,10000,"line 10001","line 20000"]' \
    "$(of '[.total_lines, (.lines | length), .lines[0], .lines[-1]]')"
# output: status, truncated, the bytes of the output and of what is omitted, and what the
# output is made of: whole units of UNIT, where it begins and ends within them, and END.
output()
{
    python3 - "$WORK/answer" "$1" "$2" <<'END'
import json
import sys

answer = json.loads(open(sys.argv[1], encoding="utf-8").readline())
unit, end = sys.argv[2].encode().decode("unicode_escape").encode("latin-1").decode(), sys.argv[3]
output = answer["output"]
body = output[:len(output) - len(end)]
made = (unit * (len(body) // len(unit) + 2))
whole = output.endswith(end) and any(made[i:i + len(body)] == body for i in range(len(unit)))
print(answer["status"], answer["truncated"], len(body.encode()) + answer["omitted_bytes"],
      "whole" if whole else repr(output[:20] + "..." + output[-60:]))
END
}

note_text='
[output truncated: exceeded 10MB limit]'
ask exec '{"command":"capped"}'
equal "exec: past 10 MiB the text of the contract, and of it the end that the bus takes" \
    "success True 12000000 whole" "$(output '0123456\n' "$note_text")"
compare "... as much as the bus takes" "${#ANSWER}" -gt 1000000
compare "... and no more" "${#ANSWER}" -le 1048576
ask exec '{"command":"tail"}'
equal "exec: the end is kept, cut at a character" "success True 3000004 whole" \
    "$(output '\xc3\xa9\xc3\xa9\xc3\xa9\n' '')"
compare "... as much as the bus takes" "${#ANSWER}" -gt 1000000
compare "... and no more" "${#ANSWER}" -le 1048576

# ---- ids

ask exec '{"command":"true"}' -H 'Stone-Age-Request-Id: mine-1'
equal "an id of one's own comes back" '"mine-1"' "$(of .id)"
equal "... also as a header" '{"Stone-Age-Request-Id":"mine-1"}' "$HEADERS"
ask exec '{"command":"true"}' -H 'Nats-Msg-Id: mine-2'
equal "... and so does that of JetStream" '"mine-2"' "$(of .id)"
ask exec '{"command":"false"}' -H 'Stone-Age-Request-Id: mine-3'
equal "an error has it too" '{"Nats-Service-Error":"command not in allowed list or scripts directory","Nats-Service-Error-Code":"400","Stone-Age-Request-Id":"mine-3"}' "$HEADERS"

# ---- cancel

# begin NAME ID [OPTION...]: a long command in the background; ASKER.
begin()
{
    _name=$1
    _id=$2
    shift 2
    spawn "$WORK/asked.$_id" "$BUILD/tests/tools/bus" -s "$NATS_URL" req agents.t1.cmd.exec \
        "{\"command\":\"$_name\"}" -t 60 -H "Stone-Age-Request-Id: $_id" "$@"
    ASKER=$SPAWNED
    check "$_name runs" wait_for 10 has_line "$STATE/audit.log" "\"phase\":\"begin\",\"id\":\"$_id\""
}

begin waits c1 -H 'Stone-Age-Requester: alice'
golden "cancel: another's" cancel '{"id":"c1"}' \
    '{"status":"error","error":"the request c1 is another requester'"'"'s","id":"ID","ts":"TS"}'
ask cancel '{"id":"c1"}' -H 'Stone-Age-Requester: alice'
equal "cancel: one's own" '{"status":"success","cancelled":"c1","was":"running","id":"ID","ts":"TS"}' \
    "$(plain "$ANSWER")"
check "it ends" wait_for 10 _ended "$ASKER"
equal "and answers who asked for it" \
    '{"status":"error","error":"cancelled","command":"waits","exit_code":143,"output":"","id":"c1","ts":"TS"}' \
    "$(plain "$(cat "$WORK/asked.c1")")"
ask cancel '{"id":"c1"}' -H 'Stone-Age-Requester: alice'
equal "cancel: what has ended" '{"status":"error","error":"the request c1 has ended","id":"ID","ts":"TS"}' \
    "$(plain "$ANSWER")"
begin deaf c2
bus pub agents.t1.cmd.cancel '{"id":"c2"}' --reply _INBOX.nobody
golden "cancel: twice" cancel '{"id":"c2"}' \
    '{"status":"error","error":"the request c2 is being ended already","id":"ID","ts":"TS"}'
check "it ends as well" wait_for 10 _ended "$ASKER"
match "... by force" '"error":"cancelled","command":"deaf","exit_code":137' "$(cat "$WORK/asked.c2")"

# ---- the end

equal "each but ping, health and what is no command has its last line in the audit file" "" \
    "$(jq -r 'select(.phase == "begin") | .id' "$STATE/audit.log" | sort >"$WORK/began"
        jq -r 'select(.phase == "end") | .id' "$STATE/audit.log" | sort >"$WORK/ended"
        comm -23 "$WORK/began" "$WORK/ended")"
stop_agent
