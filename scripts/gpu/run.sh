#!/bin/sh
# sh run.sh [--sanitize]: checks mixwright's CUDA engine on this machine (Linux x86-64, an NVIDIA driver; nothing is installed,
# nothing fetched) and prints what it found as Markdown. Exit status: 0 all well, 1 something failed, 2 there is no device.
# --sanitize runs the tests of the ops under compute-sanitizer, where that is found.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
xz -dc "$here/payload.tar.xz" | tar -x -C "$work" || exit 1
"$work/node" "$work/app/scripts/gpu/check.js" "$@"
