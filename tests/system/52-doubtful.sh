#!/bin/sh
# Acknowledgements that were lost, beyond the duplicate window: looked for, not stored twice.
. "${0%/*}/../lib.sh"
story "Acknowledgements are lost for longer than the stream remembers: stored once all the same"

# The stream knows for one second what it has; whoever comes back later must look.
server()
{
    cat >"$WORK/nats.conf" <<END2
authorization {
    users = [
        {user: admin, password: admin}
        {user: agent, password: s3cret, permissions: {publish: {deny: [$1]}}}
    ]
}
END2
}
echo s3cret >"$WORK/password"
chmod 600 "$WORK/password"
start_quick_exporter
server '"none"'
start_nats jetstream config "$WORK/nats.conf"
NATS_URL=nats://admin:admin@127.0.0.1:$NATS_PORT
add_stream()
{
    bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 1
}
add_stream
bus kv-add twin --file
start_proxy
busy_config 5 | sed "s|$AGENT_URL|$PROXY_URL|
    s|type: none|type: userpass, username: agent, password_file: $WORK/password|
    s/^  heartbeat:/  agent_metrics: {interval: 1s}\n&/" >"$WORK/agent.yaml"
echo 'spool: {duplicate_window: 1s, ack_timeout: 10s, drain_spread: 0s}' >>"$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "reports arrive" wait_for 20 has_messages REPORTS 15

messages()
{
    bus stream-info REPORTS | jq .messages
}

# lose COUNT: that many reports are stored, and the agent does not hear of it; then
# the connection ends.  FIRST is the first of them, DOUBTFUL how many there are.
lose()
{
    wait_for 10 spool_is_below 8
    proxy swallow down
    sleep 0.2
    FIRST=$(spool 'SELECT coalesce(min(seq), 0) FROM report')
    [ "$FIRST" -gt 0 ] || FIRST=$(($(spool_highest) + 1))
    _stored=$(messages)
    wait_for 10 has_messages REPORTS $((_stored + $1))
    proxy refuse
    DOUBTFUL=$(bus stream-dump REPORTS | jq --argjson first "$FIRST" -s \
        '[.[] | select((.headers["Nats-Msg-Id"] | split("-")[-1] | tonumber) >= $first)] | length')
}

# After twice the window nothing is remembered.
forget()
{
    sleep 2.2
}

# counter NAME: the newest that the agent said of itself, in this life.
counter()
{
    bus stream-dump REPORTS --data | jq -r 'select(.subject == "agents.t1.telemetry.metrics.agent").data' |
        sed -n "s/^stone_age_agent_$1{.*} \([0-9]*\) .*/\1/p" | tail -n 1
}

# back TEXT: let it come back, and see what has become of the numbers since FIRST.
back()
{
    proxy pass
    check "$1: back, the backlog drains" wait_for 30 spool_is_below 8
    # what is stored now is acknowledged
    sleep 0.3
    _numbers=$(bus numbers REPORTS | sed 's/^[^ ]* //')
    note "$1: $_numbers"
    match "$1: none is missing, none is there twice ($DOUBTFUL were in doubt)" ' gaps=0 doubles=0$' "$_numbers"
    compare "$1: nor at the beginning" "$(echo "$_numbers" | sed 's/.*lowest=\([0-9]*\) .*/\1/')" -le "$FIRST"
}

found=0
lose 12
forget
back "lost with the connection"
sleep 1.1
found=$(counter reports_found_total)
compare "looked for, $found of them were found in the stream" "$found" -ge $((DOUBTFUL * 3 / 4))

lose 12
kill_agent
forget
start_agent "$WORK/agent.yaml"
back "lost, and then the agent was killed"
sleep 1.1
compare "$(counter reports_found_total) of them were found" "$(counter reports_found_total)" -ge $((DOUBTFUL * 3 / 4))

lose 12
forget
bus req '$JS.API.STREAM.PURGE.REPORTS' >"$WORK/purged"
back "lost, and then the stream was purged"

lose 12
forget
bus stream-del REPORTS
add_stream
back "lost, and then the stream was made anew"

# The new stream's places are far below the old one's: what stands there is not old.
wait_for 10 has_messages REPORTS 60
wait_for 10 spool_is_below 8
proxy swallow down
bus stream-del REPORTS
add_stream
lose 12
forget
back "lost in a stream that was made anew meanwhile"
stop_agent
equal "the spool is empty" 0 "$(spooled)"

# ---- a role that does not let it look

bus stream-del REPORTS
add_stream
rm -rf "$STATE"
proxy pass
server '"$JS.API.>"'
kill -HUP "$NATS_PID"
wait_for 10 has_line "$NATS_LOG" 'Reloaded server configuration'
# Each subject waits for its answer; a few will do.
sed -i '/name: e[3-9]/d' "$WORK/agent.yaml"
start_agent "$WORK/agent.yaml"
check "it may not look: reports arrive" wait_for 20 has_messages REPORTS 6
lose 6
forget
began=$(date +%s%3N)
proxy pass
check "the log says that they are sent again unchecked" wait_for 10 agent_says ' doubt_unchecked'
note "after $(($(date +%s%3N) - began)) ms, of which three seconds are for an answer"
match "with the subject, and how to let it look" 'doubt_unchecked.*subject=agents\.t1\.telemetry\.' \
    "$(grep doubt_unchecked "$AGENT_LOG")"
check "the backlog drains" wait_for 60 spool_is_below 8
stop_agent
numbers=$(bus numbers REPORTS || true)
note "$numbers"
highest=$(spool_highest)
match "none is missing" "^t1-[^ ]+ count=[0-9]+ lowest=1 highest=$highest gaps=0 " "$numbers"
compare "only those in doubt ($DOUBTFUL) are there twice" "${numbers##*doubles=}" -le "$DOUBTFUL"
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
