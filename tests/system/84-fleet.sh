#!/bin/sh
# FLEET_LINKS (200): how many; more than 500 have the settings as they are delivered.
# RECONNECTS (100).  ROAD (ws): tcp, tls, ws or wss; whole agents by TCP are in 56-fleet.sh.
. "${0%/*}/../lib.sh"
ROAD=${ROAD:-ws}
FLEET_LINKS=${FLEET_LINKS:-200}
RECONNECTS=${RECONNECTS:-100}
story "$FLEET_LINKS links by $ROAD lose their server: all come back, once, and not at one moment"

# MIN_SPREAD: of their coming back, in ms.  BUSIEST: the most in one second, in percent.
if [ "$FLEET_LINKS" -gt 500 ]; then
    MIN_SPREAD=15000 BUSIEST=15 settings='--settle 3s'
else
    MIN_SPREAD=3000 BUSIEST=50
    settings='--set nats.reconnect_wait=4s --set nats.reconnect_max=4s --settle 1s'
fi
MONITOR=$(free_port)
echo "http: \"127.0.0.1:$MONITOR\"" >"$WORK/nats.conf"
start_nats jetstream config "$WORK/nats.conf"
bus stream-add FLEET 'fleet.*' --file --dedupe 3600
[ -z "$AGENT_TLS" ] || settings="$settings --ca $WORK/road-ca.pem"

# The fleet asks for the restart, and the story makes it: the server is the story's.
cat >"$WORK/restart.sh" <<END
touch "$WORK/asked"
until [ -e "$WORK/restarted" ]; do sleep 0.05; done
END
# shellcheck disable=SC2086 # words
spawn "$WORK/fleet.log" "$BUILD/tests/fleet/fleet" --links "$FLEET_LINKS" --url "$AGENT_URL" \
    --reports --restart "/bin/sh $WORK/restart.sh" --log "$WORK/links.log" $settings
FLEET_PID=$SPAWNED

# its WORD: the number behind WORD in the fleet's line about the restart.
its()
{
    sed -n "s/^restart: .* $1=\\([0-9-]*\\).*/\\1/p" "$WORK/fleet.log"
}
is_asked()
{
    [ -e "$WORK/asked" ] || _ended "$FLEET_PID"
}
check "all connect, and each one's report is stored" wait_for 90 is_asked
match "so it says" "^start: links=$FLEET_LINKS came=$FLEET_LINKS .* twice=0 lost=0" \
    "$(cat "$WORK/fleet.log")"
has_messages FLEET "$FLEET_LINKS" || die "the reports are not in the stream"
kill_nats
restart_nats
touch "$WORK/restarted"
check "the server is killed, and back: the fleet ends" wait_for 180 _ended "$FLEET_PID"
connections=$(fetch "http://127.0.0.1:$MONITOR/varz" | jq .total_connections)
_collect "$FLEET_PID"
equal "and is content" 0 "$STATUS"
while read -r line; do
    note "$line"
done <"$WORK/fleet.log"
equal "all are back" "$FLEET_LINKS" "$(its came)"
equal "none is lost" 0 "$(its lost)"
equal "none came twice, says the fleet" 0 "$(its twice)"
equal "nor does the server say so" "$FLEET_LINKS" "$connections"
first=$(its first_ms)
last=$(its last_ms)
compare "from $first to $last ms after the loss" "$((last - first))" -ge $MIN_SPREAD
compare "at most $BUSIEST % of them within a second: $(its most_in_1s)" \
    $((100 * $(its most_in_1s) / FLEET_LINKS)) -le $BUSIEST
numbers=$(bus numbers FLEET) || true
equal "of each one both reports are in the stream, once" "$FLEET_LINKS" \
    "$(echo "$numbers" | grep -c ' count=2 lowest=1 highest=2 gaps=0 doubles=0$')"

# ---- one link, again and again

# shellcheck disable=SC2086 # words
"$BUILD/tests/fleet/fleet" --reconnects "$RECONNECTS" --url "$AGENT_URL" \
    ${AGENT_TLS:+--ca "$WORK/road-ca.pem"} --set nats.reconnect_wait=10ms \
    --set nats.reconnect_max=10ms --set nats.connect_spread=0s >"$WORK/reconnects.log" 2>&1 &&
    STATUS=0 || STATUS=$?
while read -r line; do
    note "$line"
done <"$WORK/reconnects.log"
equal "$RECONNECTS connections of one link leave nothing behind" 0 "$STATUS"
