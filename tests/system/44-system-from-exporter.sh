#!/bin/sh
# Two agents beside each other, one for each source.
. "${0%/*}/../lib.sh"
story "telemetry.system from a node_exporter says what the agent itself would say"

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
start_exporter

# config CODE SOURCE
config()
{
    cat <<END
code: $1
nats: {urls: ["$NATS_URL"], auth: {type: none}, connect_spread: 0s}
paths: {state: "$WORK/state-$1"}
tasks:
  agent_metrics: {enabled: false}
  inventory: {enabled: false}
  system_metrics: {interval: 30s, source: $2, exporter_url: "${3:-$EXPORTER_URL}"}
END
}

# Load that stays the same, so that two looks at different moments can agree.
spawn "$WORK/load.log" sh -c 'while :; do :; done'
config own builtin >"$WORK/own.yaml"
config page exporter >"$WORK/page.yaml"
start_agent "$WORK/own.yaml"
first=$AGENT_PID
start_agent "$WORK/page.yaml"

# newest CODE: its newest report.
newest()
{
    bus stream-dump REPORTS --data | jq -c "select(.subject == \"agents.$1.telemetry.system\") | .data
        | fromjson" | tail -n 1
}

reports()
{
    [ "$(bus stream-dump REPORTS | grep -c "agents.$1.telemetry.system")" -ge "$2" ]
}

check "the built-in collector reports" wait_for 75 reports own 2
check "the exporter's page too" wait_for 75 reports page 2
newest own >"$WORK/own"
newest page >"$WORK/page"
note "built-in: $(cat "$WORK/own")"
note "exporter: $(cat "$WORK/page")"
equal "both have the same members" "$(jq -c 'keys' "$WORK/own")" "$(jq -c 'keys' "$WORK/page")"

# near TEXT FILTER TOLERANCE
near()
{
    equal "$1" true "$(jq -n --slurpfile a "$WORK/own" --slurpfile b "$WORK/page" --argjson most "$3" \
        "((\$a[0] | $2) - (\$b[0] | $2) | fabs) <= \$most")"
}
near "CPU usage within 20 points" .cpu_usage_percent 20
near "total memory is the same" .memory_total_gb 0.01
near "free memory within half a GB" .memory_free_gb 0.5
equal "the same disks of the same size" "$(jq -c '[.disks[] | [.drive, .total_gb]]' "$WORK/own")" \
    "$(jq -c '[.disks[] | [.drive, .total_gb]]' "$WORK/page")"
near "with the same room, within a tenth of a GB each" '[.disks[].free_gb] | add // 0' 0.5
compare "the machine was at work" "$(jq '.cpu_usage_percent | floor' "$WORK/page")" -gt 10
no_match "nothing was wrong" task_failed "$(cat "$AGENT_LOG")"
stop_agent
AGENT_PID=$first
stop_agent

# ---- no exporter there

config gone exporter "http://127.0.0.1:$(free_port)/metrics" >"$WORK/gone.yaml"
start_agent "$WORK/gone.yaml"
check "without its exporter it says so" wait_for 10 reports gone 1
equal "as an error" error "$(newest gone | jq -r .status)"
match "that names the reason" 'no connection' "$(newest gone | jq -r .error)"
stop_agent
