#!/bin/sh
# Publishes a version of a deployment and waits until it is everywhere. Needs a POSIX shell and curl.
#
#   CTRLPLANE_URL=https://ctrlplane.example CTRLPLANE_API_KEY=... CTRLPLANE_WORKSPACE=acme \
#   CTRLPLANE_DEPLOYMENT=web CTRLPLANE_VERSION=v1.4.0 publish.sh
#
# CTRLPLANE_CONFIG      lines KEY=VALUE that templates read as version.config.KEY
# CTRLPLANE_METADATA    lines KEY=VALUE, notes on the version
# CTRLPLANE_UPSERT      true: a version of that tag is replaced (a pipeline that runs again)
# CTRLPLANE_WAIT        false: do not wait
# CTRLPLANE_TIMEOUT     seconds to wait at most (1800)
#
# Exit codes: 0 it is everywhere (or published, without waiting), 1 refused, 2 wrong usage, 3 the rollout failed, 4 time is
# over and it is not done, 5 the API cannot be reached.
set -u
for needed in CTRLPLANE_URL CTRLPLANE_API_KEY CTRLPLANE_WORKSPACE CTRLPLANE_DEPLOYMENT CTRLPLANE_VERSION; do
    eval "value=\${$needed:-}"
    [ -n "$value" ] || { echo "set $needed" >&2; exit 2; }
done
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
# The key stands in a file, not on a command line that others can see.
(umask 077 && printf 'header = "X-API-Key: %s"\n' "$CTRLPLANE_API_KEY" > "$dir/auth")
base=${CTRLPLANE_URL%/}/api/v1/workspaces/$CTRLPLANE_WORKSPACE

# json TEXT: as a JSON string.
json() {
    printf '%s' "$1" | tr '\n\r\t' '   ' | sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/"/'
}

# pairs LINES: lines KEY=VALUE as a JSON object.
pairs() {
    printf '%s\n' "$1" | {
        object='' line=''
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
                *=*) object="$object${object:+,}$(json "${line%%=*}"):$(json "${line#*=}")" ;;
            esac
        done
        printf '{%s}' "$object"
    }
}

# segment TEXT: as one segment of a URL's path.
segment() {
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# call METHOD PATH [BODY]: the status; the body is in a file. What may pass is tried again for two minutes.
call() {
    tries=0
    while :; do
        status=$(curl -sS -K "$dir/auth" -X "$1" -o "$dir/body" -w '%{http_code}' --max-time 60 \
            -H 'content-type: application/json' ${3:+--data} ${3:+"$3"} "$base$2" 2> "$dir/error") || status=000
        case $status in
            000 | 429 | 502 | 503 | 504) tries=$((tries + 1)) ;;
            *) return ;;
        esac
        if [ $tries -ge "${CTRLPLANE_TRIES:-24}" ]; then
            echo "the API at $CTRLPLANE_URL does not answer: $status $(cat "$dir/error")" >&2
            exit 5
        fi
        sleep 5
    done
}

# said: what the API says, for people.
said() {
    detail=$(sed -n 's/.*"detail":"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$dir/body")
    if [ -n "$detail" ]; then printf '%s\n' "$detail"; else head -c 400 "$dir/body"; echo; fi
}

name="$CTRLPLANE_DEPLOYMENT:$CTRLPLANE_VERSION"
upsert=false
[ "${CTRLPLANE_UPSERT:-}" != true ] || upsert=true
call POST "/deployments/$(segment "$CTRLPLANE_DEPLOYMENT")/versions?upsert=$upsert" \
    "{\"tag\":$(json "$CTRLPLANE_VERSION"),\"config\":$(pairs "${CTRLPLANE_CONFIG:-}"),\"metadata\":$(pairs "${CTRLPLANE_METADATA:-}")}"
case $status in
    2??) echo "$name is published" ;;
    *) echo "$name is refused ($status): $(said)" >&2; exit 1 ;;
esac
[ "${CTRLPLANE_WAIT:-}" != false ] || exit 0

began=$(date +%s) timeout=${CTRLPLANE_TIMEOUT:-1800} told=''
while :; do
    left=$((timeout - ($(date +%s) - began)))
    if [ $left -lt 0 ]; then left=0; elif [ $left -gt 20 ]; then left=20; fi
    call GET "/deployment-versions/$(segment "$name")/outcome?waitSeconds=$left"
    case $status in
        200) echo "$name is everywhere, after $(($(date +%s) - began)) s"; exit 0 ;;
        408)
            now=$(said)
            if [ "$now" != "$told" ]; then echo "$(($(date +%s) - began)) s: $now"; fi
            told=$now
            if [ $(($(date +%s) - began)) -ge "$timeout" ]; then
                echo "not done within $timeout s" >&2
                exit 4
            fi
            ;;
        409) said >&2; exit 3 ;;
        *) echo "the API refuses ($status): $(said)" >&2; exit 1 ;;
    esac
done
