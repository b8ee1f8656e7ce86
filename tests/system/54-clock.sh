#!/bin/sh
# The wall clock steps under a running agent (faketime).
. "${0%/*}/../lib.sh"
story "The wall clock jumps by hours, both ways, and was never set at the start: nothing is lost"

"${CC:-cc}" -shared -fPIC -o "$WORK/clock.so" "$TOP/tests/tools/clock.c"
# set_clock HOURS: from now on the agent's wall clock is that far from ours.
set_clock()
{
    set_clock_by $(($1 * 3600))
}
set_clock_by()
{
    python3 -c 'import os, struct, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
os.write(file, struct.pack("=q", int(sys.argv[2]) * 10**9))' "$WORK/clock" "$1"
}
real_agent=$AGENT
cat >"$WORK/agent-elsewhen" <<END2
#!/bin/sh
CLOCK_FILE="$WORK/clock" LD_PRELOAD="$WORK/clock.so" exec "$real_agent" "\$@"
END2
chmod +x "$WORK/agent-elsewhen"
AGENT=$WORK/agent-elsewhen
set_clock 0

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
bus stream-add BEATS 'agents.*.heartbeat' --file
bus kv-add twin --file
start_proxy
busy_config 20 | sed "s|$AGENT_URL|$PROXY_URL|; s/^  connect_spread:/  ping_interval: 2s\n&/" >"$WORK/agent.yaml"
# Shorter than the ways of the clock together, longer than each.
echo 'spool: {max_age: 6h, drain_spread: 0s}' >>"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 40

# The last beat's clock against ours when it was stored, in minutes.
beat_offset()
{
    bus stream-dump BEATS --data | jq '((.data | fromjson.ts | fromdateiso8601) - .ts / 1000) / 60 | round' | tail -n 1
}
# The same of the last page: of the time that its first sample has.
page_offset()
{
    bus stream-dump REPORTS --data | jq -r 'select(.subject | endswith(".e1")) |
        ((.data | split("\n") | map(select(test("^[a-z]"))) | .[0] | split(" ") | .[-1] | tonumber) - .ts)
        / 60000 | round' | tail -n 1
}
# step OFFSET MINUTES TEXT: the clock is moved; all goes on with the new time.
step()
{
    beats=$(bus stream-info BEATS | jq .messages)
    reports=$(bus stream-info REPORTS | jq .messages)
    set_clock "$1"
    began=$(date +%s%3N)
    check "$3: reports go on" wait_for 5 has_messages REPORTS $((reports + 40))
    in_time "$3: 40 of them" $(($(date +%s%3N) - began)) 4000
    check "$3: the next beat comes, not late" wait_for 11 has_messages BEATS $((beats + 1))
    equal "$3: with the new time" "$2" "$(beat_offset)"
    equal "$3: as have the pages" "$2" "$(page_offset)"
    equal "$3: it answers, and is healthy" '["healthy",0]' "$(health '[.status, .delivery.dropped]')"
}
step 5 300 "five hours forward"
step -4 -240 "nine hours back"

# nats.c tests a silent connection by the wall clock, and would have nine hours to wait.
check "set back, it connects anew" wait_for 15 agent_says ' link_up' 2
match "and says why" ' link_down.*the wall clock was set back' "$(cat "$AGENT_LOG")"
proxy swallow both
began=$(date +%s%3N)
check "then the connection goes silent: noticed" wait_for 15 agent_says ' link_(stale|down)' 2
note "after $(($(date +%s%3N) - began)) ms, with nats.ping_interval 2 s"
proxy drop
proxy pass
check "it comes back" wait_for 10 agent_says ' link_up' 3
check "what waited drains" wait_for 20 spool_is_below 20

# ---- while the server is away

kill_nats
check "back to the truth, with the server away: reports pile up" wait_for 20 spool_holds 40
set_clock 0
check "some more of the right time" wait_for 20 spool_holds 80
set_clock 3
check "and some of three hours ahead" wait_for 20 spool_holds 120
kill_agent
set_clock -2
start_agent "$WORK/agent.yaml"
check "and, killed and started anew, some of five hours before those" wait_for 20 spool_holds 160
ages=$(spool 'SELECT (max(made_at) - min(made_at)) / 3600000000 FROM report')
equal "they are of seven hours" 7 "$ages"
set_clock 0
waiting=$(spooled)
restart_nats
check "the server is back: the $waiting drain" wait_for 20 spool_is_below 20
equal "none was dropped for its age" 0 "$(health .delivery.dropped)"
stop_agent
all_arrived REPORTS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"

# ---- a machine without a battery: it starts in 1970

bus stream-del REPORTS
bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
kill_nats
rm -rf "$STATE"
set_clock_by $((10 - $(date +%s)))
start_agent "$WORK/agent.yaml"
check "in 1970: it starts, and accepts reports" wait_for 20 spool_holds 40
match "they say so" '^1970' "$(spool "SELECT datetime(min(made_at) / 1000000, 'unixepoch') FROM report")"
set_clock 0
check "the clock is set: it goes on" wait_for 20 spool_holds 80
restart_nats
check "the server comes: all drain" wait_for 20 spool_is_below 20
equal "none was dropped for its age" 0 "$(health .delivery.dropped)"
equal "it has run for seconds, not for decades" true "$(health '.agent.uptime_seconds < 300')"
stop_agent
all_arrived REPORTS
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
