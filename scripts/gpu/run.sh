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
here=$(cd "$(dirname "$0")" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
unpack='import shutil, sys, lzma; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)'
if command -v xz >/dev/null; then
  xz -dc "$here/payload.tar.xz" | tar -x -C "$work" || exit 1
else
  command -v python3 >/dev/null || { echo "run.sh: neither xz nor python3 was found, one of them must unpack" >&2; exit 1; }
  python3 -c "$unpack" "$here/payload.tar.xz" | tar -x -C "$work" || exit 1
fi
"$work/node" "$work/app/scripts/gpu/check.js" "$@"
