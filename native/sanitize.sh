#!/bin/sh
# The tests of the kernel with every read, write and shift of it watched: sh native/sanitize.sh PYTHON
# Needs gcc with its sanitizers, and an environment with the tests' libraries.
set -e
python=${1:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir "$made/streamrnn_native"
cp "$root"/native/streamrnn_native/* "$made/streamrnn_native/"
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
gcc -O1 -g -std=gnu11 -Wall -Wextra -Werror -ffp-contract=off -fno-omit-frame-pointer -fPIC -shared \
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -I"$include" "$root"/native/src/*.c \
    -o "$made/streamrnn_native/_kernel.abi3.so" -lm
cd "$root"
# The interpreter frees little on its way out: leaks are not looked for.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
    PYTHONPATH="$root:$made" "$python" -m pytest tests/test_native.py -q -p no:cacheprovider --timeout=1200
