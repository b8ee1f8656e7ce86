#!/bin/sh
# also: asan
. "${0%/*}/../lib.sh"
story "The configuration: checked, shown, and read again while running"

# try ARGUMENT...: run the agent's program; OUTPUT has all it says, STATUS how it ended.
try()
{
    STATUS=0
    OUTPUT=$("$AGENT" "$@" 2>&1) || STATUS=$?
}

cat >"$WORK/small.yaml" <<END
code: t1
nats: {urls: ["nats://127.0.0.1:4222"], auth: {type: none}}
END
try check-config --config "$WORK/small.yaml"
equal "a good file is good" 0 $STATUS

# ---- all that is wrong, at once

bad=$TOP/tests/data/config/bad.yaml
try check-config --config "$bad"
equal "a bad one is status 1" 1 $STATUS
match "a complaint has file, line, path, value and range" \
    "^$bad:12: tasks\.heartbeat\.interval: \"5s\" must be from 10s to 24h\$" "$OUTPUT"
match "and the nearest name for one that is none" 'did you mean tasks\.heartbeat\.interval\?' "$OUTPUT"
compare "all of them come at once" "$(echo "$OUTPUT" | grep -c "^$bad:")" -ge 15
try check-config --json --config "$bad"
check "as JSON too" jq -e . <<END
$OUTPUT
END
try run --config "$bad"
equal "the agent does not start with it, status 78" 78 $STATUS
try check-config --config "$WORK/none.yaml"
equal "a file that is not there is status 1" 1 $STATUS
match "and named" 'none\.yaml' "$OUTPUT"
try frobnicate
equal "wrong use is status 2" 2 $STATUS

for file in brief go-linux go-platform platform stone-age minimal; do
    try check-config --config "$TOP/tests/data/config/$file.yaml"
    no_match "$file.yaml of the public documents has no unknown option" 'is not an option' "$OUTPUT"
done

# ---- where a value comes from

mkdir "$WORK/agent.d"
cp "$WORK/small.yaml" "$WORK/agent.yaml"
echo 'tasks: {heartbeat: {interval: 40s}}' >"$WORK/agent.d/10-beat.yaml"
echo 'tasks: {heartbeat: {interval: 50s}}' >"$WORK/agent.d/20-beat.yaml"
try config show --config "$WORK/agent.yaml" --set spool.window=7
match "from the file" "^code +t1 +# $WORK/agent.yaml:1\$" "$OUTPUT"
match "from the last drop-in that has it" \
    "^tasks\.heartbeat\.interval +50s +# $WORK/agent.d/20-beat.yaml:1\$" "$OUTPUT"
match "from the command line" '^spool\.window +7 +# --set$' "$OUTPUT"
match "from nowhere" '^spool\.max_age +168h +# default$' "$OUTPUT"
try check-config --config "$WORK/agent.yaml" --set spool.window=many
match "a bad --set is named" 'spool\.window: "many"' "$OUTPUT"
rm -r "$WORK/agent.d"

# ---- secrets

echo s3cret-t0ken >"$WORK/token"
cat >"$WORK/secret.yaml" <<END
code: t1
nats: {urls: ["nats://127.0.0.1:4222"], auth: {type: token, token_file: "$WORK/token"}}
END
chmod 644 "$WORK/token"
try check-config --config "$WORK/secret.yaml"
equal "a secret that others can read is refused" 1 $STATUS
match "with the mend" "0644.*chmod 600 $WORK/token" "$OUTPUT"
chmod 600 "$WORK/token"
try config show --config "$WORK/secret.yaml"
equal "a private one is taken" 0 $STATUS
no_match "and never shown" s3cret "$OUTPUT"
sed "s|token_file: \"[^\"]*\"|token: s3cret-t0ken|" "$WORK/secret.yaml" >"$WORK/open.yaml"
try check-config --config "$WORK/open.yaml"
equal "a secret in the file itself is refused" 1 $STATUS
no_match "and not repeated" s3cret "$OUTPUT"

# ---- hostile files: an answer, in time and memory that are bounded

{ # each alias is nine of the one before
    echo 'a: &a ["x","x","x","x","x","x","x","x","x"]'
    last=a
    for next in b c d e f g h i j; do
        echo "$next: &$next [*$last,*$last,*$last,*$last,*$last,*$last,*$last,*$last,*$last]"
        last=$next
    done
} >"$WORK/bomb.yaml"
{ printf 'code: '; head -c 100000 /dev/zero | tr '\0' '['; } >"$WORK/deep.yaml"
printf 'code:\tt1\n\tnats: x\n' >"$WORK/tabs.yaml"
truncate -s 1G "$WORK/large.yaml"
for file in bomb deep tabs large; do
    STATUS=0
    OUTPUT=$(ulimit -v $((256 * 1024 * (WAIT_FACTOR > 1 ? 1000000 : 1)))
        timeout $((5 * WAIT_FACTOR)) "$AGENT" check-config --config "$WORK/$file.yaml" 2>&1) || STATUS=$?
    equal "$file.yaml is refused" 1 $STATUS
    match "$file.yaml is named with the reason" "$file\.yaml" "$OUTPUT"
done
rm "$WORK/large.yaml"
printf '\357\273\277' | cat - "$WORK/small.yaml" >"$WORK/bom.yaml"
try check-config --config "$WORK/bom.yaml"
equal "a byte order mark harms nobody" 0 $STATUS

# ---- SIGHUP

start_quick_exporter
start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin
config()
{
    cat <<END
code: ${CODE:-t1}
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
logging: {level: ${LEVEL:-info}}
tasks:
  heartbeat: {interval: ${BEAT:-1m}}
  exporters: [${EXPORTERS:-}]
END
}
twin_interval()
{
    [ "$(bus kv-get twin thing.t1.heartbeat | jq -r .interval)" = "$1" ]
}
arrived()
{
    bus stream-dump REPORTS | grep -q "telemetry.metrics.$1\""
}
reload()
{
    cat >"$WORK/run.yaml"
    kill -HUP "$AGENT_PID"
}
config >"$WORK/run.yaml"
start_agent "$WORK/run.yaml"
check "it runs, with a beat a minute" wait_for 10 twin_interval 1m

printf 'code: t1\ntasks: {heartbeat: {interval: 1s}}\n' | reload
check "a bad file is refused" wait_for 10 agent_says ' config_bad'
match "with its complaints" 'tasks\.heartbeat\.interval: ."1s.*must be' "$(cat "$AGENT_LOG")"
equal "and changes nothing" '[true,"healthy"]' "$(health '[.nats.connected, .status]')"

BEAT=10s LEVEL=debug EXPORTERS="{name: one, url: \"$EXPORTER_URL\", interval: 1h}" config | reload
check "a good one is taken" wait_for 10 agent_says ' config_reloaded'
check "the heartbeat has its new interval" wait_for 10 twin_interval 10s
check "the new exporter is read" wait_for 10 arrived one
equal "health knows" '["heartbeat","system_metrics","exporters","inventory"]' "$(health .config.enabled_tasks)"
equal "the connection stayed" 0 "$(health .nats.reconnects)"

EXPORTERS="{name: two, url: \"$EXPORTER_URL\", interval: 1h}" config | reload
check "one exporter goes, another comes" wait_for 10 arrived two
CODE=t2 config | reload
check "what needs a restart is said" wait_for 10 agent_says ' config_needs_restart.*code'
equal "and waits for it" pong "$(bus req agents.t1.cmd.ping | jq -r .status)"
stop_agent
