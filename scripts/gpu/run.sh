#!/bin/sh
# sh run.sh [--only ops,models,train,peers] [--out DIR] [--limit SECONDS] [--sanitize] [--small]
#
# Checks mixwright's CUDA engine on this machine (Linux x86-64 with glibc 2.34 or newer, an NVIDIA driver; nothing is installed,
# nothing fetched) and prints what it found as Markdown; with --out also into DIR/report.md, and every figure into DIR/raw.jsonl,
# as it goes. Exit status: 0 all well, 1 something failed, 2 there is no device.
#   ops     the tests of every op against float64 and the CPU, then timings; at most 300 s
#   models  whole models, adapters, training against reference numbers; at most 120 s
#   train   training and writing in f32 and bf16 on both devices, the quickstart; at most 120 s
#   peers   figures G1 to G12 against PyTorch, transformers, peft (and Liger) of python3, or of $MIXWRIGHT_PEERS_PYTHON; at most
#           350 s
# --limit sets these bounds; --sanitize runs the tests of the ops under compute-sanitizer's four tools as well, for twice as
# long again; --small takes sizes at which only the plumbing is tried.
# About 120 MB go to a folder in $TMPDIR (or /tmp) from which programs can be run, and are removed at the end. Set TMPDIR for another.
unset CDPATH NODE_OPTIONS
me=$(readlink -f -- "$0") && here=$(dirname -- "$me") || exit 1
work=$(mktemp -d) || exit 1
child=
trap 'rm -rf "$work"' EXIT
trap '[ -n "$child" ] && kill "$child" 2>/dev/null; exit 130' HUP INT TERM
unpack='import shutil, sys, lzma; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)'
stop() {
  echo "run.sh: $1" >&2
  exit 1
}
[ -f "$here/payload.tar.xz" ] || stop "$here/payload.tar.xz is missing: copy the whole folder again"
if command -v xz >/dev/null; then
  xz -dc "$here/payload.tar.xz" >"$work/payload.tar" 2>"$work/log"
else
  command -v python3 >/dev/null || stop "neither xz nor python3 was found, one of them must unpack"
  python3 -c "$unpack" "$here/payload.tar.xz" >"$work/payload.tar" 2>"$work/log"
fi || stop "the payload doesn't unpack into $work ($(tail -n 1 "$work/log")). It takes 240 MB there for a moment: set TMPDIR, or copy \
the bundle again"
tar -xf "$work/payload.tar" -C "$work" 2>"$work/log" ||
  stop "the payload doesn't unpack into $work ($(head -n 1 "$work/log")). Set TMPDIR to a folder with 240 MB of room"
rm "$work/payload.tar"
"$work/node" --version >"$work/log" 2>&1 ||
  stop "$work/node doesn't run ($(head -n 1 "$work/log")). Set TMPDIR to a folder from which programs can be run"
"$work/node" "$work/app/scripts/gpu/check.js" "$@" &
child=$!
wait "$child"
