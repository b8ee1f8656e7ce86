#!/bin/sh
# exec and what is around it on a real agent, without systemd: what runs and what does not,
# streams, cancelling, many at once, the audit file.
. "${0%/*}/../lib.sh"
story "Commands: the device's file decides, nothing outlives its time, and all of it is recorded"

exec_subject=agents.t1.cmd.exec
canary=$WORK/canary
audit=$STATE/audit.log
# A time that no other sleep on this machine has.
mark=$((700000 + $$ % 100000))

mkdir "$STATE" "$WORK/scripts"
chmod 700 "$STATE"
chmod 755 "$WORK" "$WORK/scripts"
printf '#!/bin/sh\necho script "$0"\n' >"$WORK/scripts/hello.sh"
printf '#!/bin/sh\ntouch %s\n' "$canary" >"$WORK/scripts/open.sh"
printf '#!/bin/sh\ntouch %s\n' "$canary" >"$WORK/evil.sh"
chmod 755 "$WORK/scripts/hello.sh" "$WORK/evil.sh"
chmod 777 "$WORK/scripts/open.sh"

start_nats
cat >"$WORK/agent.yaml" <<END
code: t1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 100ms,
       drain_timeout: 2s}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
commands:
  scripts_directory: $WORK/scripts
  allowed_commands:
    - "echo allowed line"
    - "echo '{\"json\": true}'"
    - "echo out; echo err >&2; exit 3"
    - "for i in 1 2 3; do echo line \$i; sleep 0.2; done"
    - "sleep 0.2"
    - name: greet
      run: [echo, hello, "{who}"]
      args: {who: {pattern: "[a-z]+"}}
    - {name: leaves, run: [sh, -c, "sleep $mark & echo x"], timeout: 5s}
    - {name: hangs, run: [sh, -c, "trap '' TERM; sleep $mark & echo x; wait"], timeout: 1s}
    - {name: long, run: [sleep, "$mark"], timeout: 10m}
    - {name: much, run: [sh, -c, "yes 0123456789abcdef | head -c 200000000"], timeout: 5m}
END
start_agent "$WORK/agent.yaml"

# ask BODY [OPTION...]: exec, one answer.
ask()
{
    _body=$1
    shift
    bus req "$exec_subject" "$_body" -t 20 "$@"
}

# of FILTER: what jq makes of standard input.
of()
{
    jq -c "$1"
}

none_left()
{
    ! pgrep -f "sleep $mark" >/dev/null
}

audited()
{
    [ "$(grep -c "$1" "$audit")" -ge "${2:-1}" ]
}

check "the agent answers" wait_for 10 sh -c "'$BUILD/tests/tools/bus' -s '$NATS_URL' req agents.t1.cmd.ping"

match "the log says once how they are held together" '^1$' \
    "$(grep -cE ' commands_(in_cgroups: .* limits_memory=|without_cgroup: .* reason=)' "$AGENT_LOG")"

# ---- the three forms

equal "an allowed line runs" '["success","allowed line\n",0]' \
    "$(ask '{"command":"echo allowed line"}' | of '[.status, .output, .exit_code]')"
equal "spaces do not matter, and what ran is the file's entry" '"echo allowed line"' \
    "$(ask '{"command":"  echo   allowed line "}' | of .command)"
equal "output that is JSON comes as JSON" '{"json":true}' \
    "$(ask '{"command":"echo '"'"'{\"json\": true}'"'"'"}' | of .output)"
equal "a failure tells its code and its output" \
    '["error","command exited with code 3",3,"out\n\nSTDERR:\nerr\n"]' \
    "$(ask '{"command":"echo out; echo err >&2; exit 3"}' |
        of '[.status, .error, .exit_code, .output]')"
match "a script runs by its bare name" '^"script .*"$' "$(ask '{"command":"hello.sh"}' | of .output)"
equal "a named command takes its argument" '"hello world\n"' \
    "$(ask '{"command":"greet","args":{"who":"world"}}' | of .output)"

# ---- what does not run

refused=0
while IFS= read -r body; do
    [ -n "$body" ] || continue
    refused=$((refused + 1))
    answer=$(ask "$(printf '%s' "$body" | sed "s|CANARY|$canary|g; s|EVIL|$WORK/evil.sh|g")")
    equal "refused: $body" '"error"' "$(printf '%s' "$answer" | of .status)"
done <<'END'
{"command":"touch CANARY"}
{"command":"echo allowed line; touch CANARY"}
{"command":"EVIL"}
{"command":"../evil.sh"}
{"command":"hello.sh; touch CANARY"}
{"command":"hello.sh/../../evil.sh"}
{"command":"$(touch CANARY)"}
{"command":"open.sh"}
{"command":"echo allowed line","command":"touch CANARY"}
{"command":"greet","args":{"who":"-x"}}
{"command":"greet","args":{"who":"a\nb"}}
{"command":"hello.sh\u0000"}
END
check_not "no canary died" test -e "$canary"
check "each refusal is recorded" wait_for 10 audited '"phase":"refused"' "$refused"
match "with its reason" 'open.sh cannot be run safely.*chmod' "$(grep '"refused"' "$audit")"

# ---- time

began=$(date +%s%3N)
equal "what it leaves behind is ended, and the answer does not wait for it" '"success"' \
    "$(ask '{"command":"leaves"}' | of .status)"
in_time "within a second" $(($(date +%s%3N) - began)) 1000
began=$(date +%s%3N)
equal "a deadline is kept, also by who is deaf to TERM" \
    '["command execution timeout (1s)","x\n"]' \
    "$(ask '{"command":"hangs"}' | of '[.error, .output]')"
in_time "the answer comes a second later at most" $(($(date +%s%3N) - began)) 2000
check "no process is left" wait_for 2 none_left

# ---- streams

stream=$(bus req "$exec_subject" --until-empty -t 20 -H 'Stone-Age-Request-Id: s1' \
    '{"command":"for i in 1 2 3; do echo line $i; sleep 0.2; done","stream":true}')
equal "a stream comes line by line, then the answer" \
    '["running",1,"line 1\n"] ["running",2,"line 2\n"] ["running",3,"line 3\n"] ["success",3,null]' \
    "$(printf '%s\n' "$stream" | of '[.status, .seq, .data]' | tr '\n' ' ' | sed 's/ $//')"
nats=${SA_NATS_CLI:-nats}
if command -v "$nats" >/dev/null; then
    equal "nats req --wait-for-empty reads it" 4 "$("$nats" -s "$NATS_URL" req --wait-for-empty --raw \
        "$exec_subject" '{"command":"for i in 1 2 3; do echo line $i; sleep 0.2; done","stream":true}' |
        grep -c '"status"')"
else
    skip "nats req --wait-for-empty reads it" "there is no nats command here"
fi
equal "the same id runs once" '"a request with the id s1 came before; it runs once"' \
    "$(ask '{"command":"echo allowed line"}' -H 'Stone-Age-Request-Id: s1' | of .error)"
before=$(awk '/VmHWM/ {print $2}' "/proc/$AGENT_PID/status")
bytes=$(bus req "$exec_subject" --until-empty -t 100 '{"command":"much","stream":true}' |
    jq -j 'select(.stream) | .data' | wc -c)
equal "200 MB arrive whole" 200000000 "$bytes"
compare "and the agent's memory is as before" \
    $(($(awk '/VmHWM/ {print $2}' "/proc/$AGENT_PID/status") - before)) -lt 4096

# ---- cancel

spawn "$WORK/cancelled" "$BUILD/tests/tools/bus" -s "$NATS_URL" req "$exec_subject" --until-empty \
    -t 30 -H 'Stone-Age-Request-Id: c1' '{"command":"long","stream":true}'
asker=$SPAWNED
check "a long command runs" wait_for 10 audited '"phase":"begin","id":"c1"'
equal "another requester cannot cancel it" "\"the request c1 is another requester's\"" \
    "$(bus req agents.t1.cmd.cancel '{"id":"c1"}' -H 'Stone-Age-Requester: mallory' | of .error)"
equal "its own can" '["success","c1","running"]' \
    "$(bus req agents.t1.cmd.cancel '{"id":"c1"}' | of '[.status, .cancelled, .was]')"
check "the stream ends" wait_for 10 _ended "$asker"
equal "and says why" '"cancelled"' "$(head -n 1 "$WORK/cancelled" | of .error)"
check "no process is left" wait_for 2 none_left
spawn "$WORK/gone" "$BUILD/tests/tools/bus" -s "$NATS_URL" req "$exec_subject" --until-empty -t 60 \
    -H 'Stone-Age-Request-Id: c2' '{"command":"long","stream":true}'
asker=$SPAWNED
check "another long one runs" wait_for 10 audited '"phase":"begin","id":"c2"'
stop "$asker"
check "a requester that is gone ends it" wait_for 20 audited 'nobody listens to the answers'
check "no process is left" wait_for 2 none_left

# ---- many at once

listen "$WORK/flood" '_INBOX.flood.*' -n 500 -t 60
bus pub "$exec_subject" '{"command":"sleep 0.2"}' -n 500 --reply '_INBOX.flood.{n}'
began=$(date +%s%3N)
pongs=0
while [ "$pongs" -lt 20 ]; do
    [ "$(bus req agents.t1.cmd.ping | of .status)" = '"pong"' ] || break
    pongs=$((pongs + 1))
done
equal "ping answers meanwhile" 20 "$pongs"
in_time "at once" $(($(date +%s%3N) - began)) 4000
check "all 500 are answered" wait_for 60 _ended "$LISTENER"
done_count=$(cut -f 2 "$WORK/flood" | grep -c '"status":"success"' || true)
busy_count=$(cut -f 2 "$WORK/flood" | grep -c '"error":"busy"' || true)
equal "as done or as busy" 500 $((done_count + busy_count))
compare "one requester gets half of the room" "$done_count" -ge 34
match "health counts the busy ones" '^[1-9]' "$(health .agent.commands_busy)"
equal "and names what is allowed" '["echo allowed line",10]' \
    "$(health '[.config.allowed_commands[0], (.config.allowed_commands | length)]')"
equal "the micro service names the commands" '["cancel","exec","health","logs","nebula","ping","rotate_creds","service"]' \
    "$(bus req '$SRV.INFO.stone-agent' | of '[.endpoints[].name] | sort')"

# ---- the audit file, and the agent's end

bus req "$exec_subject" '{"command":"long"}' -t 10 -H 'Stone-Age-Request-Id: c3' >"$WORK/stopped" &
waiter=$!
check "one more runs" wait_for 10 audited '"phase":"begin","id":"c3"'
stop_agent
wait "$waiter" || true
equal "a stop ends it and says so" '"the agent is stopping"' "$(of .error <"$WORK/stopped")"
check "no process is left" wait_for 2 none_left
equal "the audit file is the agent's alone" 600 "$(stat -c %a "$audit")"
equal "all of it is JSON" "$(wc -l <"$audit")" "$(jq -c . "$audit" | wc -l)"
equal "what began ended" "$(jq -r 'select(.phase == "begin") | .id' "$audit" | sort)" \
    "$(jq -r 'select(.phase == "end" and .command == "exec") | .id' "$audit" | sort)"
match "with what, as whom, from whom and how" \
    '"what":"greet: .*hello.*world.*","as":"user [^"]+","outcome":"exit 0".*"reply":"_INBOX' \
    "$(grep '"phase":"end"' "$audit")"

start_agent "$WORK/agent.yaml"
bus req "$exec_subject" '{"command":"long"}' -t 5 -H 'Stone-Age-Request-Id: c4' >/dev/null 2>&1 &
waiter=$!
check "one runs while the agent is killed" wait_for 10 audited '"phase":"begin","id":"c4"'
kill_agent
wait "$waiter" || true
check "nothing is left of it" wait_for 5 none_left
equal "and its beginning is recorded" 1 "$(grep -c '"id":"c4"' "$audit")"

# ---- what is not recorded does not run

mv "$audit" "$audit.aside"
ln -s "$WORK/elsewhere" "$audit"
start_agent "$WORK/agent.yaml"
equal "with a link in the audit file's place nothing runs" \
    '"the command cannot be recorded in the audit file"' \
    "$(ask '{"command":"echo allowed line"}' | of .error)"
check_not "and nothing is written through it" test -e "$WORK/elsewhere"
check "the log says what to mend" wait_for 10 agent_says audit_failed
rm "$audit"
equal "once it is mended it runs" '"success"' "$(ask '{"command":"echo allowed line"}' | of .status)"
stop_agent
