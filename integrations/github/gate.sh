#!/usr/bin/env bash
# The step that judges. It ends as `refute gate` does: 0 for GO, 1 for NO-GO, 3 for WARN, else nothing was signed. Reads
# RELEASE, ARGUMENTS (one a line) and JUDGE; writes `ruling` and `run`, relative to this folder, into GITHUB_OUTPUT.
set -uo pipefail

# Runs are named by the moment of their start.
newest() { find .refute/runs -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' 2>/dev/null | sort | tail -n 1; }

# An empty list is an unbound variable to the bash of macOS, hence ${arguments[@]+...} below.
arguments=()
[ -z "${RELEASE:-}" ] || arguments+=(--release "$RELEASE")
while IFS= read -r line; do
  [ -z "$line" ] || arguments+=("$line")
done <<<"${ARGUMENTS:-}"

before=$(newest)
status=0
if [ "${JUDGE:-true}" = false ]; then
  # Recorded, not judged, is status 6, and here what was asked for.
  python -m pytest --falsifiers --no-judge ${arguments[@]+"${arguments[@]}"} </dev/null || status=$?
  [ "$status" -ne 6 ] || status=0
else
  refute gate ${arguments[@]+"${arguments[@]}"} </dev/null || status=$?
fi

# A workspace that was used before holds a run that is not this one's.
run=""
ruling=""
if [ "$(newest)" != "$before" ]; then
  run=$(newest)
  [ ! -f "$run/report.json" ] || ruling=$(python -c 'import json, sys; print(json.load(sys.stdin)["verdict"])' <"$run/report.json")
fi
printf 'run=%s\nruling=%s\n' "$run" "$ruling" >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$status"
