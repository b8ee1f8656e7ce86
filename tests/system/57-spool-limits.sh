#!/bin/sh
# spool.max_size and spool.max_age with the server away.
. "${0%/*}/../lib.sh"
story "The spool's limits: the oldest go first, are counted, and the next report says how many"

mkdir "$WORK/pages"
# 100 KB as they are sent: a dozen and a half of those are more than the spool may hold.
awk 'BEGIN { for (i = 0; i < 800; i++) printf "number_%04d{text=\"%040d\"} %d\n", i, i, i }' \
    >"$WORK/pages/numbers"
start_pages "$WORK/pages"
EXPORTER_URL=$PAGES_URL/numbers
start_nats jetstream
add_stream()
{
    bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600
}
add_stream
bus kv-add twin --file
busy_config 10 >"$WORK/agent.yaml"
echo 'spool: {max_size: 1MB, drain_spread: 0s}' >>"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 20

# numbers: of the stream's reports, in order, each with what it says was dropped.
numbers()
{
    bus stream-dump REPORTS | jq -r '[(.headers["Nats-Msg-Id"] | split("-")[-1]),
        (.headers["Stone-Age-Dropped"] // "-")] | @tsv' | sort -n
}
# dropped: how many the spool says that it has.
dropped()
{
    spool "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'dropped'"
}
# all_but_dropped TEXT: the numbers that never came are as many as were dropped, and
# the last header says the same.
all_but_dropped()
{
    numbers >"$WORK/numbers.txt"
    _highest=$(spool_highest)
    _lost=$(($_highest - $(cut -f 1 "$WORK/numbers.txt" | sort -nu | wc -l)))
    equal "$1: none is there twice" "$(wc -l <"$WORK/numbers.txt")" "$(cut -f 1 "$WORK/numbers.txt" | sort -nu | wc -l)"
    # one that was on its way when the server went may have arrived before it was dropped
    [ "$_lost" = "$DROPPED" ] || [ "$_lost" != $((DROPPED - 1)) ] || _lost=$DROPPED
    equal "$1: of $_highest numbers, as many are missing as were dropped" "$DROPPED" "$_lost"
    equal "$1: as the last Stone-Age-Dropped says" "$DROPPED" "$(cut -f 2 "$WORK/numbers.txt" | grep -v -- - | tail -n 1)"
}

# ---- by size

kill_nats
highest=$(spool_highest)
check "the server is away: more come than the spool may hold" wait_for 30 eval \
    '[ "$(spool_highest)" -ge $((highest + 60)) ]'
bytes=$(spool 'SELECT sum(length(data)) FROM report')
compare "it holds no more than spool.max_size: $bytes bytes" "$bytes" -le 1048576
equal "the oldest went: what is there is the newest, without a gap" "$(spooled)" \
    "$(spool 'SELECT max(seq) - min(seq) + 1 FROM report')"
compare "they are counted: $(dropped)" "$(dropped)" -ge 40
restart_nats
check "the server is back: what was kept drains" wait_for 20 spool_is_below 10
DROPPED=$(health .delivery.dropped)
note "$DROPPED were dropped by size"
# the report that says so may be one of the next second
sleep 1.2
stop_agent
equal "the spool is empty" 0 "$(spooled)"
all_but_dropped "by size"

# ---- by age: a wall clock of our own, since the shortest age is a minute

"${CC:-cc}" -shared -fPIC -o "$WORK/clock.so" "$TOP/tests/tools/clock.c"
set_clock()
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
bus stream-del REPORTS
add_stream
rm -rf "$STATE"
busy_config 10 >"$WORK/agent.yaml"
echo 'spool: {max_age: 1m, drain_spread: 0s}' >>"$WORK/agent.yaml"
kill_nats
start_agent "$WORK/agent.yaml"
check "the server is away: some are made" wait_for 20 spool_holds 30
kill_agent
old=$(spool_highest)
set_clock 40
start_agent "$WORK/agent.yaml"
check "40 s later: some more" wait_for 20 eval '[ "$(spool_highest)" -ge $((old + 30)) ]'
equal "none is too old" 1 "$(spool 'SELECT min(seq) FROM report')"
kill_agent
newer=$(spool_highest)
set_clock 80
start_agent "$WORK/agent.yaml"
check "80 s later: the first are too old and go" wait_for 10 eval '[ "$(spool "SELECT min(seq) FROM report")" -gt 1 ]'
equal "those and no others" $((old + 1)) "$(spool 'SELECT min(seq) FROM report')"
check "new ones are made" wait_for 20 eval '[ "$(spool_highest)" -ge $((newer + 30)) ]'
restart_nats
check "the server is back: what was kept drains" wait_for 20 spool_is_below 10
DROPPED=$(health .delivery.dropped)
equal "$old were made first, $DROPPED were dropped" "$old" "$DROPPED"
stop_agent
equal "the spool is empty" 0 "$(spooled)"
all_but_dropped "by age"
equal "it was the first after the drop that said so" "$((newer + 1))" \
    "$(awk '$2 != "-" { print $1; exit }' "$WORK/numbers.txt")"
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
