#!/bin/sh
# Streams that are missing, deleted, full, or not allowed, while reports are made.
. "${0%/*}/../lib.sh"
story "The stream under load: made anew, too small, an account without JetStream, one with too little"

# accounts DEVICES: the server's config; DEVICES is what the devices' account has.
accounts()
{
    cat >"$WORK/nats.conf" <<END2
accounts {
    DEVICES { users: [{user: device, password: s3cret}]; $1 }
    OTHERS { users: [{user: other, password: s3cret}]; jetstream: enabled }
}
END2
}
reload()
{
    _reloads=$(grep -c 'Reloaded server configuration' "$NATS_LOG" || true)
    accounts "$1"
    kill -HUP "$NATS_PID"
    wait_for 10 has_line "$NATS_LOG" 'Reloaded server configuration' $((_reloads + 1))
}
echo s3cret >"$WORK/password"
chmod 600 "$WORK/password"
start_quick_exporter
accounts ''
start_nats jetstream config "$WORK/nats.conf"
busy_config 30 | sed "s|type: none|type: userpass, username: device, password_file: $WORK/password|" \
    >"$WORK/agent.yaml"
echo 'spool: {ack_timeout: 2s, drain_spread: 0s}' >>"$WORK/agent.yaml"
NATS_URL=nats://device:s3cret@127.0.0.1:$NATS_PORT
add_stream()
{
    bus stream-add REPORTS 'agents.*.telemetry.>' --file --dedupe 3600 "$@"
}
delivery()
{
    health '[.status, .nats.jetstream, .delivery.error]'
}

# ---- an account without JetStream, then with it, then without, then with it

start_agent "$WORK/agent.yaml"
check "no JetStream for the account: the log says that nothing is stored" wait_for 10 agent_says ' delivery_stalled'
check "reports wait" wait_for 10 spool_holds 60
equal "health names the reason" '["degraded",false,"no stream binds the subject"]' "$(delivery)"
equal "the connection stands" 0 "$(health .nats.reconnects)"
reload 'jetstream: enabled'
add_stream
bus kv-add twin --file
waiting=$(spooled)
began=$(date +%s%3N)
check "JetStream is switched on: what waited ($waiting) arrives" wait_for 30 spool_is_below 31
note "within $(($(date +%s%3N) - began)) ms of the stream being there"
equal "health: healthy" '["healthy",true,null]' "$(delivery)"
reload ''
check "it is switched off under the load: reports wait" wait_for 20 spool_holds 60
check "health names a reason" wait_for 10 eval 'delivery | grep -q "degraded.*false,\"..*\""'
note "which is $(health .delivery.error)"
reload 'jetstream: enabled'
check "and on again: they arrive" wait_for 60 spool_is_below 31
stop_agent
all_arrived REPORTS

# ---- the account has too little room

reload 'jetstream: {max_memory: 1M, max_file: 100K, max_streams: 10}'
bus stream-del REPORTS
add_stream
rm -rf "$STATE"
start_agent "$WORK/agent.yaml"
check "an account with 100 KB: it fills, reports wait" wait_for 30 spool_holds 90
check "health has the server's reason" wait_for 40 eval 'delivery | grep -q "degraded.*false,.*[a-z] "'
note "which is $(health .delivery.error)"
before=$(bus stream-info REPORTS | jq .messages)
reload 'jetstream: {max_memory: 1M, max_file: 64M, max_streams: 10}'
check "with 64 MB: all of it arrives" wait_for 60 spool_is_below 31
note "$before reports were in it when it was full, $(bus stream-info REPORTS | jq .messages) are now"
equal "health: healthy" '["healthy",true,null]' "$(delivery)"
stop_agent
all_arrived REPORTS

# ---- a stream with too little room: by bytes, by messages; it takes what is new or nothing

bus stream-del REPORTS
add_stream --discard-new --max-bytes 60000
rm -rf "$STATE"
start_agent "$WORK/agent.yaml"
check "a stream of 60 KB: it fills, reports wait" wait_for 30 spool_holds 60
check "health has the server's reason" wait_for 10 eval 'health .delivery.error | grep -q "maximum bytes"'
bus stream-edit REPORTS --max-msgs 200
check "of any size, but 200 messages: it fills, reports wait" wait_for 60 has_messages REPORTS 200
check "health has the server's reason" wait_for 30 eval 'health .delivery.error | grep -q "maximum messages"'
check "more reports wait" wait_for 20 spool_holds 60
equal "there are 200 and no more" 200 "$(bus stream-info REPORTS | jq .messages)"
bus stream-edit REPORTS
check "without limits: all of it arrives" wait_for 60 spool_is_below 31
stop_agent
all_arrived REPORTS

# ---- deleted and made anew, again and again, while reports are on their way

start_agent "$WORK/agent.yaml"
check "it goes on" wait_for 20 has_messages REPORTS 230
for turn in 1 2 3 4; do
    bus stream-del REPORTS
    # What was acknowledged went with the stream; the rest is here.
    sleep 0.3
    first=$(spool 'SELECT coalesce(min(seq), 0) FROM report')
    [ "$first" -gt 0 ] || first=$(($(spool_highest) + 1))
    add_stream
    check "turn $turn: reports arrive" wait_for 30 has_messages REPORTS 40
    check "turn $turn: none waits" wait_for 30 spool_is_below 31
done
stop_agent
highest=$(spool_highest)
numbers=$(bus numbers REPORTS | sed 's/^[^ ]* //')
note "$numbers"
equal "the spool is empty" 0 "$(spooled)"
match "each report since the last deletion is there once" " highest=$highest gaps=0 doubles=0\$" "$numbers"
compare "from the first that was not acknowledged" "$(echo "$numbers" | sed 's/.*lowest=\([0-9]*\) .*/\1/')" -le "$first"
no_match "the log has no error" ' error ' "$(cat "$AGENT_LOG")"
