#!/bin/sh
# Needs a systemd of its own (tests/tools/sdbox): root, overlayfs, cgroup2; and polkitd.
# Where these are not, the story fails and says why; SA_NO_SYSTEMD=skip skips it instead.
. "${0%/*}/../lib.sh"
story "doctor on a machine with systemd: services that are not known, polkit's rule, the agent's user"

need_systemd

# box COMMAND...: inside.  as_agent COMMAND...: the same as nobody, whose the agent is.
box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&-
}
as_agent()
{
    box setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
        env RUNTIME_DIRECTORY="$WORK/run" "$@"
}
# config NAME...: one that allows these services.
config()
{
    printf 'code: t1\nnats: {urls: ["nats://127.0.0.1:1"], auth: {type: none}}\n'
    printf 'paths: {state: %s, runtime: %s}\ncommands:\n  allowed_services:\n' "$STATE" "$WORK/run"
    printf '    - %s\n' "$@"
}
# finds TEXT CHECK STATE DETAIL [MEND]; WHO is the user.
finds()
{
    REPORT=$($WHO "$WORK/stone-age-agent" doctor --json --config "$WORK/agent.yaml" 2>/dev/null) || true
    found=$(printf '%s\n' "$REPORT" | jq -r --arg name "$2" \
        '.checks[] | select(.name == $name) | .state + ": " + (.detail // "") + " -> " + (.fix // "")')
    match "$1" "^$3: .*$4.* -> .*${5:-}" "$found"
}

chmod 711 "$WORK"
cp "$AGENT" "$WORK/stone-age-agent"
mkdir "$STATE" "$WORK/run" "$WORK/box"
chown nobody "$STATE" "$WORK/run"
SDBOX_BIND=$WORK
export SDBOX_BIND
at_end '"$sdbox" down "$WORK/box"'
check "a systemd of our own boots" "$sdbox" up "$WORK/box"
box test -x /usr/lib/polkit-1/polkitd || die "no polkitd to test with: tests/setup installs it"
for name in web idle; do
    printf '[Service]\nExecStart=/bin/sleep 1d\n' |
        box sh -c 'cat >"/etc/systemd/system/$1.service"' sh $name
done
box ln -s /dev/null /etc/systemd/system/hidden.service
box systemctl daemon-reload
box systemctl start web

WHO=box
config web idle ghost >"$WORK/agent.yaml"
finds "a service that is not known" services warn 'ghost is not known' 'Correct the name in commands.allowed_services'
config web hidden >"$WORK/agent.yaml"
finds "one that is masked" services warn 'hidden is masked' 'systemctl unmask'
config web idle >"$WORK/agent.yaml"
finds "the others are" services ok '2 of 2 known'

finds "no rule of polkit's" polkit fail 'there is no /etc/polkit-1' 'stone-age-agent polkit'
WHO=as_agent
finds "its user finds that out too" polkit '(fail|skipped)' ''
WHO=box
rule=/etc/polkit-1/rules.d/50-stone-age-agent.rules
box sh -c "mkdir -p ${rule%/*}; '$WORK/stone-age-agent' polkit --config '$WORK/agent.yaml' >$rule"
finds "its mend works" polkit ok 'the rule is there, for nobody'
box chmod 700 /etc/polkit-1/rules.d
box chown polkitd /etc/polkit-1/rules.d 2>/dev/null || true
sleep 1
WHO=as_agent
finds "the agent's user, who cannot read the rule, tries without changing anything" polkit ok '2 of 2 tried'
check "what ran runs" box systemctl is-active --quiet web
check_not "what did not does not" box systemctl is-active --quiet idle
WHO=box
config web >"$WORK/agent.yaml"
finds "a rule for another list" polkit fail 'is not the rule for commands.allowed_services' 'stone-age-agent polkit'

# ---- who may look

chmod 700 "$STATE"
echo "nats: {urls: [\"nats://127.0.0.1:1\"], auth: {type: token, token_file: $WORK/token}}" >"$WORK/part"
echo s3cret >"$WORK/token"
chown nobody "$WORK/token"
chmod 600 "$WORK/token"
{ echo 'code: t1'; cat "$WORK/part"; echo "paths: {state: $STATE, runtime: $WORK/run}"; } >"$WORK/agent.yaml"
WHO=as_agent
finds "the agent's user reads its secrets" secrets ok '1, each private'
