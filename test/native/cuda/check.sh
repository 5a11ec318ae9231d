#!/bin/sh
# One kernel file, for development: nvcc for two architectures with warnings as errors, then the emulated engine and the op's tests.
# sh test/native/cuda/check.sh OP [test names…]
set -e
op=$1; shift
nvcc -std=c++17 -O3 -Inative -DMW_CUDA --Werror all-warnings -Xcompiler -Wall -Xptxas -v -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -c native/ops/$op.cuda.cu -o /dev/null 2>&1 | grep -E "error|warning|registers|spill" | grep -v " 0 bytes spill stores, 0 bytes spill loads" | sort | uniq -c | sort -rn | head -30
make -s -f test/native/cuda/Makefile -j2
MIXWRIGHT_ENGINE=build/emulated/mixwright.node MIXWRIGHT_TEST_DEVICE=cuda npx vitest run ${@:-test/ops/$op.test.ts}
