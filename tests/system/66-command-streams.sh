#!/bin/sh
# What a requester sees of a stream, and what the agent does when the requester or the bus
# is not as it should be.  STREAM_MB (256): how much the large one is.
. "${0%/*}/../lib.sh"
story "Streams: nothing is lost, nobody is waited for in vain, and memory stays flat"

exec_subject=agents.t1.cmd.exec
audit=$STATE/audit.log
mb=${STREAM_MB:-256}
# Numbers that no other sleep, no other sequence on this machine has.
mark=$((800000 + $$ % 100000))
number=$((20000000 + $$ % 1000000))

mkdir "$STATE" "$WORK/logs"
chmod 700 "$STATE"
chmod 755 "$WORK" "$WORK/logs"
printf 'one\ntwo\nthree\n' >"$WORK/logs/app.log"

# config URL STATE MARK: print it.
config()
{
    cat <<END
code: t1
nats: {urls: ["$1"], auth: {type: none}, connect_spread: 0s, reconnect_wait: 500ms,
       reconnect_max: 1s, drain_timeout: 2s}
paths: {state: $2}
tasks:
  system_metrics: {enabled: false}
  inventory: {enabled: false}
commands:
  allowed_log_paths: ["$WORK/logs/*.log"]
  allowed_commands:
    - "echo hello"
    - {name: both, run: [sh, -c, "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three; exit 3"]}
    - {name: bytes, run: [sh, -c, "printf 'a\\\\377b'; sleep 0.3; printf '\\\\303'; sleep 0.3; printf '\\\\251'"]}
    - {name: quiet, run: [sh, -c, "sleep 11; echo late"]}
    - {name: ticks, run: [sh, -c, "while echo tick; do sleep 0.1; done; sleep $3"], timeout: 10m}
    - {name: silent, run: [sleep, "$3"], timeout: 10m}
    - {name: numbers, run: [seq, "$number"], timeout: 5m}
    - {name: slowly, run: [sh, -c, "for i in \$(seq 100); do echo \$i; sleep 0.05; done"], timeout: 5m}
    - {name: late, run: [sh, -c, "sleep 1; echo late"]}
    - {name: large, run: [sh, -c, "head -c ${mb}M /dev/zero | tr '\\\\0' x"], timeout: 5m}
END
}

start_nats
config "$NATS_URL" "$STATE" $mark >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

# pour NAME COMMAND [OPTION...]: a stream: its bytes to NAME.out, what came to NAME.err.
pour()
{
    _name=$1
    _command=$2
    shift 2
    bus pour "$exec_subject" "{\"command\":\"$_command\",\"stream\":true}" "$@" \
        >"$WORK/$_name.out" 2>"$WORK/$_name.err" || true
}

# pour_aside: the same in the background; POURER.
pour_aside()
{
    pour "$@" &
    POURER=$!
    _pids="$_pids $POURER"
}

# said NAME FILTER
said()
{
    jq -c "$2" "$WORK/$1.err"
}

none_left()
{
    ! pgrep -f "sleep $mark" >/dev/null
}

audited()
{
    has_line "$audit" "$@"
}

# since BEGAN: milliseconds.
since()
{
    echo $(($(date +%s%3N) - $1))
}

memory()
{
    awk '/^'"$1"':/ {print $2}' "/proc/$AGENT_PID/status"
}

check "the agent answers" wait_for 10 sh -c "'$BUILD/tests/tools/bus' -s '$NATS_URL' req agents.t1.cmd.ping"

# ---- a second agent on a bus that will be away for more than 30 s; looked at below

other=$WORK/other
mkdir -m 700 "$other" "$other/run"
other_port=$(free_port)
other_url=nats://127.0.0.1:$other_port
spawn "$other/nats.log" nats-server -a 127.0.0.1 -p "$other_port"
other_nats=$SPAWNED
wait_for 20 has_line "$other/nats.log" 'Server is ready'
config "$other_url" "$other/state" $((mark + 100000)) >"$other/agent.yaml"
spawn "$other/agent.log" env STATE_DIRECTORY="$other/state" RUNTIME_DIRECTORY="$other/run" \
    "$AGENT" run --config "$other/agent.yaml"
other_agent=$SPAWNED
wait_for 20 has_line "$other/agent.log" link_up
spawn "$other/asked" "$BUILD/tests/tools/bus" -s "$other_url" pour "$exec_subject" \
    '{"command":"ticks","stream":true}' -t 100 -H 'Stone-Age-Request-Id: o1'
other_asker=$SPAWNED
wait_for 10 has_line "$other/asked" tick 3
kill_hard "$other_nats"
other_away=$(date +%s%3N)

# ---- what a requester sees

pour both both
equal "both streams come by name, in order" 'one
two
three' "$(cat "$WORK/both.out")"
equal "... numbered without a gap, each with the request's id, and an empty message ends it" \
    '[{"stdout":10,"stderr":4},3,0,0,true]' \
    "$(said both '[.streams, .last_seq, .gaps, .nameless, .ended]')"
equal "... and the answer has the last number, the code and no output" \
    '["error","command exited with code 3","both",3,3,false]' \
    "$(said both '.last | [.status, .error, .command, .exit_code, .seq, has("output")]')"
pour bytes bytes
equal "what is no text comes as base64, a character in two pieces as one" '[3,1,true]' \
    "$(said bytes '[.messages, .base64, .ended]' | sed 's/^\[2,/[3,/')"
equal "... and nothing of it is changed" "$(printf 'a\377b\303\251' | od -An -tx1)" \
    "$(od -An -tx1 "$WORK/bytes.out")"
pour_aside quiet quiet
quiet=$POURER
equal "a request that is refused has its answer and its end" '["error",0,true]' \
    "$(pour refused 'rm -rf /'; said refused '[.last.status, .last.seq, .ended]')"

# ---- logs, followed

bus pour agents.t1.cmd.logs -t 30 \
    "{\"log_path\":\"$WORK/logs/app.log\",\"lines\":2,\"follow\":\"3s\",\"stream\":true}" \
    >"$WORK/follow.out" 2>"$WORK/follow.err" &
follower=$!
_pids="$_pids $follower"
check "a followed log begins with what there is" wait_for 10 has_line "$WORK/follow.out" three
echo four >>"$WORK/logs/app.log"
check "... and goes on with what comes" wait_for 2 has_line "$WORK/follow.out" four
check "... until its time is over" wait_for 10 _ended "$follower"
equal "... and ends as a stream does" '["success",3,true,0,{"log":15}]' \
    "$(said follow '[.last.status, .last.total_lines, .ended, .gaps, .streams]')"
equal "... with those lines" 'two
three
four' "$(cat "$WORK/follow.out")"

# ---- requesters that go

# gone NAME TEXT SECONDS: the command of id NAME is ended in that time, and the audit file says why.
gone()
{
    check "$2: the child is ended" wait_for "$3" none_left
    note "$2: after $(since "$began") ms"
    check "... and the audit file says why" wait_for 2 audited \
        "\"phase\":\"end\",\"id\":\"$1\".*nobody listens to the answers"
}

pour_aside g1 ticks -H 'Stone-Age-Request-Id: g1'
asker=$POURER
check "a command that writes runs" wait_for 10 has_line "$WORK/g1.out" tick 3
began=$(date +%s%3N)
pkill -KILL -P "$asker"
gone g1 "a requester that is killed" 5
pour_aside g2 ticks -n 5 -t 8 -H 'Stone-Age-Request-Id: g2'
check "one more" wait_for 10 audited '"phase":"begin","id":"g2"'
began=$(date +%s%3N)
gone g2 "a requester that unsubscribes" 5
pour_aside g3 silent -H 'Stone-Age-Request-Id: g3'
asker=$POURER
check "a silent command runs" wait_for 10 audited '"phase":"begin","id":"g3"'
began=$(date +%s%3N)
pkill -KILL -P "$asker"
gone g3 "a requester of a silent one" 7

# ---- silence

check "the silent stream ends" wait_for 20 _ended "$quiet"
equal "a word every five seconds of silence" '[2,"late\n",true,0,3]' \
    "$(said quiet "[.silent, \"$(cat "$WORK/quiet.out")\\n\", .ended, .gaps, .last.seq]")"
in_time "... and never less" "$(said quiet .longest_ms)" 5500

# ---- much

idle=$(memory VmRSS)
began=$(date +%s%3N)
bus pour "$exec_subject" '{"command":"large","stream":true}' -t 300 2>"$WORK/large.err" |
    tr -d x | wc -c >"$WORK/large.rest"
took=$(since "$began")
equal "$mb MB arrive whole" "[$((mb * 1048576)),0,true]" "$(said large '[.bytes, .gaps, .ended]')"
equal "... and nothing else" 0 "$(cat "$WORK/large.rest")"
peak=$(memory VmHWM)
note "$mb MB in $took ms; memory of the agent: $idle KB before, $peak KB at most, $(memory VmRSS) KB after"
compare "memory of the agent: no more than 4 MB above what it had" $((peak - idle)) -le 4096

# ---- a server that is frozen

child_wrote()
{
    awk '/^wchar/ {print $2}' "/proc/$1/io"
}

child_runs()
{
    child=$(pgrep -f "^seq $number\$")
}

pour_aside frozen numbers -t 60 -H 'Stone-Age-Request-Id: f1'
asker=$POURER
check "a command that writes much runs" wait_for 10 child_runs
freeze_nats
sleep 0.5
before=$(child_wrote "$child")
compare "it has written something" "$before" -gt 0
sleep 3
equal "with a frozen server the child waits" "$before" "$(child_wrote "$child")"
check "... and lives" alive "$child"
compare "... and memory stays" $(($(memory VmHWM) - idle)) -le 4096
thaw_nats
check "it goes on, and ends" wait_for 30 _ended "$asker"
equal "nothing is lost" "[$(seq $number | wc -c),0,true,\"success\"]" \
    "$(said frozen '[.bytes, .gaps, .ended, .last.status]')"
equal "... or changed" "$(seq $number | cksum)" "$(cksum <"$WORK/frozen.out")"

# ---- a server that dies

# Who asks must be back before the agent is: what is sent to nobody is lost.
stop_agent
start_proxy
config "$PROXY_URL" "$STATE" $mark >"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"

# away SECONDS: the server dies, and comes back; then the agent is connected again.
away()
{
    _ups=$(grep -c link_up "$AGENT_LOG")
    proxy refuse
    kill_nats
    sleep "$1"
    restart_nats
    sleep "$WAIT_FACTOR"
    proxy pass
    wait_for 10 agent_says link_up $((_ups + 1))
}

pour_aside short slowly -t 60 -H 'Stone-Age-Request-Id: d1'
asker=$POURER
check "a command that writes now and then runs" wait_for 10 has_line "$WORK/short.out" '^20$'
bus req "$exec_subject" '{"command":"late"}' -t 20 >"$WORK/late" &
late=$!
_pids="$_pids $late"
check "and one that answers later" wait_for 10 audited '"phase":"begin".*"what":"late'
away 1
check "the answer of what ended meanwhile comes" wait_for 10 _ended "$late"
equal "... and is whole" '["success","late\n"]' "$(jq -c '[.status, .output]' "$WORK/late")"
check "the stream of a server that was away for two seconds ends" wait_for 30 _ended "$asker"
equal "... as if nothing had been" "[$(seq 100 | wc -c),0,true,\"success\"]" \
    "$(said short '[.bytes, .gaps, .ended, .last.status]')"
equal "... with its last line in the audit file" 1 "$(grep -c '"phase":"end","id":"d1"' "$audit")"

pour_aside sleepy ticks -t 60 -H 'Stone-Age-Request-Id: d2'
asker=$POURER
check "a requester listens" wait_for 10 has_line "$WORK/sleepy.out" tick 3
sleeper=$(pgrep -P "$asker")
kill -STOP "$sleeper"
away 0
sleep 2
kill -CONT "$sleeper"
ticks=$(wc -l <"$WORK/sleepy.out")
check "one that comes back some seconds after us still has its stream" wait_for 10 \
    has_line "$WORK/sleepy.out" tick $((ticks + 20))
began=$(date +%s%3N)
pkill -KILL -P "$asker"
gone d2 "and when it goes" 7

# ---- a server that was away for more than 30 s

check "a stream that nobody can hear for 30 s is ended" wait_for 40 has_line \
    "$other/state/audit.log" '"phase":"end","id":"o1".*the bus was away for too long'
note "after $(since "$other_away") ms"
check_not "... and so is its child" pgrep -f "sleep $((mark + 100000))"
check "the agent lives" alive "$other_agent"
spawn "$other/nats.log" nats-server -a 127.0.0.1 -p "$other_port"
other_nats=$SPAWNED
check "... and comes back" wait_for 20 has_line "$other/agent.log" link_up 2
equal "... to answer the next request" '"hello\n"' \
    "$("$BUILD/tests/tools/bus" -s "$other_url" req "$exec_subject" '{"command":"echo hello"}' | jq -c .output)"
note "who had asked: $(tail -n 1 "$other/asked" | cut -c 1-200)"

# ---- the command line of NATS

nats=${SA_NATS_CLI:-nats}
if command -v "$nats" >/dev/null; then
    equal "nats req --wait-for-empty reads a stream" 'running running running error' \
        "$("$nats" -s "$NATS_URL" req --wait-for-empty --raw "$exec_subject" \
            '{"command":"both","stream":true}' | grep '^{' | jq -r .status | tr '\n' ' ' | sed 's/ $//')"
else
    skip "nats req --wait-for-empty reads a stream" "there is no nats command here"
fi

# ---- the end

equal "the next request is as ever" '["success","hello\n"]' \
    "$(bus req "$exec_subject" '{"command":"echo hello"}' | jq -c '[.status, .output]')"
equal "each beginning in the audit file has its end" \
    "$(jq -r 'select(.phase == "begin") | .id' "$audit" | sort)" \
    "$(jq -r 'select(.phase == "end") | .id' "$audit" | sort)"
check "nothing is left" none_left
stop_agent
stop "$other_agent"
equal "the other ends with status 0" 0 "$STATUS"
