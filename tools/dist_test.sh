#!/usr/bin/env bash
# tools/test.py in several processes: one a GPU, or on the CPU where there is none.
#     tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# On several machines start it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
exec "$(dirname "$0")/torchrun.sh" test.py "$3" "${@:1:2}" "${@:4}"
