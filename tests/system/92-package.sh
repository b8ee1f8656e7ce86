#!/bin/sh
# FRESH (bookworm) is the Debian that it is tried on: `tests/setup root RELEASE` makes one.
# PACKAGE=FILE tries that one, and builds none; BEFORE=FILE is a version before it.
. "${0%/*}/../lib.sh"
story "The package: the same bytes twice, installed, upgraded under load, removed, purged"

FRESH=${FRESH:-bookworm}
root=$TOP/build/roots/$FRESH

# ---- built, twice

deps=$TOP/build/deps
[ -f "$deps/usr/include/nats/nats.h" ] || deps=/

# build FOLDER [VARIABLE=VALUE]...: into $WORK/FOLDER/dist.
build()
{
    _folder=$WORK/$1
    shift
    mkdir -p "$_folder"
    cp -R "$WORK/source" "$_folder/source"
    env "$@" sh "$TOP/debian/make-package" "$_folder/source" "$_folder/dist" "$deps"
}

build_second()
{
    umask 027
    build second/in-a-folder-with-a-longer-name TZ=Asia/Tokyo LC_ALL=C.UTF-8 LANG=fr_FR.UTF-8 \
        HOME=/nowhere JOBS=1
}

second=
if [ -z "${PACKAGE:-}" ]; then
    make -C "$BUILD" distdir distdir="$WORK/source" >"$WORK/distdir.txt" 2>&1 ||
        die "the sources cannot be gathered: $(tail -n 5 "$WORK/distdir.txt")"
    spawn "$WORK/second.txt" build_second
    second=$SPAWNED
    build first >"$WORK/first.txt" 2>&1 ||
        die "the package cannot be built: $(tail -n 20 "$WORK/first.txt")"
    PACKAGE=$(echo "$WORK"/first/dist/stone-age-agent_*.deb)
fi
check "the package is there: ${PACKAGE##*/}" test -s "$PACKAGE"
cp "$PACKAGE" "$WORK"
[ -n "$second" ] || PACKAGE=$WORK/${PACKAGE##*/}
version=$(dpkg-deb -f "$PACKAGE" Version)

# ---- what is in it

files=$(dpkg-deb -c "$PACKAGE" | awk '{ print $1, $2, $6 }')
for line in '-rwxr-xr-x root/root ./usr/bin/stone-age-agent' \
    '-rw-r--r-- root/root ./etc/stone-age/agent.yaml' \
    'drwxr-xr-x root/root ./etc/stone-age/agent.d/' \
    '-rw-r--r-- root/root ./usr/lib/sysusers.d/stone-age-agent.conf' \
    '-rw-r--r-- root/root ./usr/share/bash-completion/completions/stone-age-agent' \
    '-rw-r--r-- root/root ./usr/share/man/man8/stone-age-agent.8.gz' \
    '-rw-r--r-- root/root ./usr/share/man/man5/agent.yaml.5.gz' \
    '-rw-r--r-- root/root ./usr/share/doc/stone-age-agent/examples/config.example.yaml' \
    '-rw-r--r-- root/root ./usr/share/doc/stone-age-agent/examples/systemd/root.conf' \
    '-rw-r--r-- root/root ./usr/share/polkit-1/rules.d/40-stone-age-nebula.rules'; do
    check "it has ${line##* }" sh -c 'printf "%s\n" "$1" | grep -Fxq -e "$2"' sh "$files" "$line"
done
for unit in stone-age-agent.service stone-age-agent.path stone-age-nebula.service; do
    match "and the unit $unit" "^-rw-r--r-- root/root \./(usr/)?lib/systemd/system/$unit\$" "$files"
done
no_match "nothing in it is setuid, or writable for others" '^(.{2}[sS]|.{5}[sSwt]|.{8}[wt])' "$files"
equal "one configuration file is the administrator's" /etc/stone-age/agent.yaml \
    "$(dpkg-deb -I "$PACKAGE" conffiles)"
# Whoever has changed it would be asked about each change of ours.
equal "which is the same in all versions" 311fb69bb42fa617c846e344b2eda1ee26aa3788b8a7caba10230db6b7c1fd23 \
    "$(dpkg-deb --fsys-tarfile "$PACKAGE" | tar -xO ./etc/stone-age/agent.yaml | sha256sum | cut -d ' ' -f 1)"
no_match "nats.c is inside" 'libnats' "$(dpkg-deb -f "$PACKAGE" Depends)"
match "and said" 'nats\.c \(= 3\.' "$(dpkg-deb -f "$PACKAGE" Built-Using)"
if command -v lintian >/dev/null && [ -n "$second" ]; then
    equal "lintian has nothing to say" "" \
        "$(lintian --allow-root --fail-on none "${PACKAGE%/*}"/*.changes 2>&1 | grep -v '^running with root')"
fi

# as VERSION [SCRIPT]: print the path of the same package as that version, after SCRIPT has
# changed what is in it.
as()
{
    _tree=$WORK/as-$1
    dpkg-deb -R "$PACKAGE" "$_tree"
    sed -i "s/^Version: .*/Version: $1/" "$_tree/DEBIAN/control"
    sed -i "s/\"$version\"/\"$1\"/" "$_tree/DEBIAN/postinst"
    (cd "$_tree" && eval "${2:-}")
    dpkg-deb --root-owner-group -b "$_tree" "$WORK/as_$1.deb" >/dev/null
    rm -rf "$_tree"
    echo "$WORK/as_$1.deb"
}
if [ -n "${BEFORE:-}" ]; then
    cp "$BEFORE" "$WORK/before.deb"
    before=$WORK/before.deb
else
    before=$(as '0.3~before')
fi
after=$(as '9:9')

# ---- into a root where nothing runs

# all_in ROOT: what could be left behind.
all_in()
{
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./var/lib/dpkg \
        -o -path ./var/log -o -path ./var/cache -o -path ./tmp -o -path ./run \) -prune -o -print |
        grep -Ev '^./etc/(passwd|group|shadow|gshadow|\.pwd\.lock|subuid|subgid)-?$' | sort)
}

end_second()
{
    [ -n "$second" ] || return 0
    STATUS=0
    wait "$second" || STATUS=$?
    check "it is built once more, elsewhere and otherwise" test $STATUS = 0
    other=$(echo "$WORK"/second/*/dist/stone-age-agent_*.deb)
    equal "to the same bytes" "$(sha256sum <"$PACKAGE")" "$(sha256sum <"$other")"
    second=
}

if [ ! -d "$root" ]; then
    skip "it is installed into a bare $FRESH" "tests/setup could make none here"
    end_second
    exit 0
fi
cp -a --reflink=auto "$root" "$WORK/bare"
all_in "$WORK/bare" >"$WORK/before"
in_bare()
{
    chroot "$WORK/bare" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}
cp "$PACKAGE" "$WORK/bare/tmp/x.deb"
check "it is installed where no systemd runs" in_bare dpkg -i /tmp/x.deb
modes()
{
    in_bare stat -c '%A %U:%G %n' "$@"
}
equal "the configuration is for the agent to read, and for nobody else" \
    "drwxr-x--- root:stone-age /etc/stone-age
drwxr-x--- root:stone-age /etc/stone-age/agent.d
-rw-r----- root:stone-age /etc/stone-age/agent.yaml" \
    "$(modes /etc/stone-age /etc/stone-age/agent.d /etc/stone-age/agent.yaml)"
equal "the state is its own" "drwx------ stone-age:stone-age /var/lib/stone-age" "$(modes /var/lib/stone-age)"
match "its user cannot log in" '^stone-age:.*:/var/lib/stone-age:/usr/sbin/nologin$' "$(cat "$WORK/bare/etc/passwd")"
match "it starts with the machine" 'stone-age-agent.service' \
    "$(ls "$WORK/bare/etc/systemd/system/multi-user.target.wants")"
equal "the program runs there" 0 "$(in_bare stone-age-agent version >/dev/null && echo $?)"
in_bare chmod 600 /etc/stone-age/agent.yaml
echo 'code: t1' >>"$WORK/bare/etc/stone-age/agent.yaml"
cp "$WORK/bare/etc/stone-age/agent.yaml" "$WORK/changed.yaml"
cp "$(as '9:8' 'echo "# A change of the package." >>etc/stone-age/agent.yaml')" "$WORK/bare/tmp/x.deb"
check "an upgrade, even one with another" in_bare dpkg --force-confdef --force-confold -i /tmp/x.deb
check "leaves what the administrator has changed" cmp "$WORK/changed.yaml" "$WORK/bare/etc/stone-age/agent.yaml"
equal "modes too" "-rw------- root:stone-age /etc/stone-age/agent.yaml" "$(modes /etc/stone-age/agent.yaml)"
check "it is purged" in_bare dpkg -P stone-age-agent
all_in "$WORK/bare" >"$WORK/behind"
equal "and nothing is left" "" "$(diff "$WORK/before" "$WORK/behind" | grep '^>' || true)"
check "but its user" grep -q '^stone-age:' "$WORK/bare/etc/passwd"
rm -rf "$WORK/bare"

# ---- into one where all runs

sdbox=$TOP/tests/tools/sdbox
if ! why=$(SDBOX_ROOT=$root "$sdbox" can); then
    [ "${SA_NO_SYSTEMD:-}" = skip ] || die "no systemd to test with: $why"
    skip "it is installed, upgraded and purged on a running $FRESH" "$why"
    end_second
    exit 0
fi

box()
{
    "$sdbox" run "$WORK/box" "$@" 3>&- </dev/null
}

put()
{
    "$sdbox" run "$WORK/box" sh -c 'cat >"$1"' sh "$1" 3>&-
}

show()
{
    box systemctl show -P "$1" stone-age-agent.service
}

is_state()
{
    [ "$(show ActiveState)" = "$1" ]
}

install()
{
    _status=0
    box env DEBIAN_FRONTEND=noninteractive dpkg -i "$1" >"$WORK/dpkg.txt" 2>&1 || _status=$?
    cat "$WORK/dpkg.txt"
    return $_status
}

start_nats jetstream
bus stream-add REPORTS 'agents.*.telemetry.>' --file
bus kv-add twin --file
start_quick_exporter
SDBOX_ROOT=$root
SDBOX_BIND="$WORK $(readlink -f "$deps")"
SDBOX_FUSE=280
export SDBOX_ROOT SDBOX_BIND SDBOX_FUSE
at_end '"$sdbox" down "$WORK/box"'
mkdir "$WORK/box"
check "a bare $FRESH boots" "$sdbox" up "$WORK/box"
at_end 'box journalctl -q --no-pager -o short-precise -u stone-age-agent.service >"$WORK/agent.log"'
note "$(box systemctl --version | head -n 1)"

began=$(date +%s%3N)
check "first: dpkg -i, with nothing asked" install "$before"
check "it waits for its configuration, which is no failure" is_state inactive
match "and says so" 'Waiting for a configuration' "$(show StatusText)"
busy_config 50 | sed 's/interval: 10s/interval: 10s, twin: true/' | put /etc/stone-age/agent.yaml
is_online()
{
    [ "$(bus kv-get twin thing.t1.status 2>/dev/null)" = online ]
}
check "second: a configuration; it is seen in the twin" wait_for 30 is_online
says_where()
{
    box systemctl status --no-pager stone-age-agent | grep -q 'Status: "Connected to nats://127'
}
check "third: systemctl status says where it is connected" wait_for 5 says_where
took=$(($(date +%s%3N) - began))
in_time "from nothing to the twin: a minute at the most" $took 60000

# ---- upgraded and downgraded under load

settings=$(box sha256sum /etc/stone-age/agent.yaml)
has_reports()
{
    has_messages REPORTS "$1"
}
# pause SINCE: by the journal, the longest time from a stop until it was connected again, in
# ms, and how often it was stopped, since that time (us).
pause()
{
    box journalctl -q --no-pager -o json -u stone-age-agent.service | jq -r --argjson since "$1" -s '
        map({at: (.__REALTIME_TIMESTAMP | tonumber), what: (.MESSAGE | tostring)})
        | map(select(.at > $since and (.what | test("^(agent_stopping|link_up)"))))
        | reduce .[] as $line ({longest: 0, stops: 0};
            if $line.what | startswith("agent_stopping") then .from = $line.at | .stops += 1
            elif .from then .longest = ([.longest, $line.at - .from] | max) | .from = null
            else . end)
        | "\(.longest / 1000 | floor) \(.stops)"'
}
change_to()
{
    _pid=$(show MainPID)
    _messages=$(bus stream-info REPORTS | jq .messages)
    _since=$(date +%s%6N)
    check "$2 under load" install "$1"
    check "$2: another process runs" test "$(show MainPID)" != "$_pid"
    check "$2: and sends" wait_for 10 has_reports $((_messages + 100))
    _pause=$(pause "$_since")
    equal "$2: it was stopped once" 1 "${_pause#* }"
    _pause=${_pause% *}
    in_time "$2: from its stop until it was connected again" "$_pause" 1000
    equal "$2: every setting is kept" "$settings" "$(box sha256sum /etc/stone-age/agent.yaml)"
}
check "50 reports a second" wait_for 20 has_reports 150
change_to "$PACKAGE" "an upgrade"
change_to "$after" "another"
change_to "$PACKAGE" "a downgrade"

# What is in the state, out here.
STATE=$WORK/state
mkdir "$STATE"
fetch_state()
{
    rm -f "$STATE"/*
    box cp -R /var/lib/stone-age/. "$STATE"
}
box systemctl stop stone-age-agent
fetch_state
all_arrived REPORTS

# ---- from a version whose spool this one cannot read

kill_nats
box systemctl start stone-age-agent
keeps()
{
    fetch_state
    spool_holds 20
}
check "while the server is away reports are kept" wait_for 15 keeps
check "with a newer version" install "$after"
box systemctl stop stone-age-agent
fetch_state
spool 'PRAGMA user_version = 3; PRAGMA journal_mode = DELETE' >"$WORK/.output"
box sh -c 'cd /var/lib/stone-age && rm -f spool.db-* && cat "$1" >spool.db' sh "$STATE/spool.db"
check "and back" install "$PACKAGE"
match "its spool is set aside, in words" 'left reports in format 3, this one reads 2: they were set aside as .*spool\.db\.format-3-' \
    "$(cat "$WORK/dpkg.txt")"
check "the agent runs" wait_for 10 is_state active
equal "what was set aside is there" 1 "$(box sh -c 'ls /var/lib/stone-age/spool.db.format-3-*[0-9] | wc -l')"
restart_nats
check "and is connected again" wait_for 20 is_online

# ---- removed, installed again, purged

box sh -c 'echo kept >/etc/stone-age/agent.d/notes; chown root:stone-age /etc/stone-age/agent.d/notes'
box stone-age-agent unit --write
check "it is removed" box dpkg -r stone-age-agent
check "nothing of it runs" box sh -c '! pgrep -u stone-age'
check "its state is kept" box test -s /var/lib/stone-age/spool.db
equal "and its configuration" "$settings" "$(box sha256sum /etc/stone-age/agent.yaml)"
check "installed again" install "$PACKAGE"
check "it runs as before" wait_for 10 is_state active
check "as itself" wait_for 20 is_online
check "it is purged" box dpkg -P stone-age-agent
equal "and nothing is left but its user" "/etc/passwd" "$(box sh -c '
    for path in /etc/stone-age /var/lib/stone-age /var/log/stone-age /run/stone-age /usr/bin/stone-age-agent \
        /etc/systemd/system/stone-age* /etc/systemd/system/*/stone-age* /etc/polkit-1/rules.d/*stone-age* \
        /usr/share/doc/stone-age-agent /var/lib/systemd/deb-systemd-helper*/*stone-age*; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || echo "$path"
    done
    grep -l ^stone-age: /etc/passwd')"

# ---- as others test it (autopkgtest)

check "installed once more" install "$PACKAGE"
cp "$TOP/debian/tests/smoke" "$WORK/smoke"
check "debian/tests/smoke" box env PATH="$(readlink -f "$deps")/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin" \
    bash "$WORK/smoke"
end_second
