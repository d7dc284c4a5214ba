# What the lines of all cases begin with: values for the words of the page, and a few commands.
set -e
AT=$REGISTRY
IMAGE=hello:1.0.0
FILE=app
ORIGIN=$REGISTRY
ABSENT=sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9

# A file of the page.
file() { sed "s/HOST:PORT/$AT/g" "page/$1"; }

# What a registry answers.
ask() { curl --silent --fail --noproxy '*' "$@"; }

# Waits until it answers, which it does as soon as it has noticed what was put into its folder.
served() {
    for attempt in $(seq 200); do
        ask "http://$1" >/dev/null && return
        sleep 0.1
    done
    echo "$1 is not served after $attempt attempts"
    return 1
}

# The digest of what a tag stands for, as `curl -I` shows it.
digest() { ask --head "http://$AT/v2/$1/manifests/$2" | tr -d '\r' | sed -n 's/^docker-content-digest: //p'; }

# Has docker read the page's daemon.json beside the settings that it has.
reload_docker() {
    cp -n dockerd.json before.json
    sed "s|^{|{ $(file daemon.json | tr -d '\n{}'),|" before.json >dockerd.json
    kill -s HUP "$(cat docker.pid)"
    until docker info | grep -q "^  $AT$"; do sleep 0.1; done
}

# Adds an archive that has what the registry at $INCOMPLETE lacks.
complete() {
    AT=$INCOMPLETE
    cp shelf/hello.tar holes/whole.tar
    served "$AT/v2/hello/blobs/$LAYER"
}

# Puts the archive as it was before it was damaged into the folder of a registry.
repair() {
    AT=$1
    IMAGE=damaged:1.0.0
    cp whole/damaged.tar "$2/damaged.tar"
    served "$AT/v2/damaged/blobs/$LAYER"
}

# Runs a command on a machine whose only neighbor cannot be reached.
alone() {
    unshare --net sh -c 'ip link set lo up; ip route add unreachable 192.0.2.1; exec "$@"' sh "$@"
}

# Leaves the registry at $EXHAUSTED one descriptor for a connection, and none for a file.
exhaust() {
    number=0
    while [ -e "/proc/$EXHAUSTED_PID/fd/$number" ]; do number=$((number + 1)); done
    prlimit --pid "$EXHAUSTED_PID" --nofile="$((number + 1)):"
}

# Gives it descriptors again.
relieve() {
    AT=$EXHAUSTED
    prlimit --pid "$EXHAUSTED_PID" --nofile=1024:
}
