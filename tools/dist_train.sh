#!/usr/bin/env bash
# tools/train.py in several processes: one a GPU, or on the CPU where there is none.
#     tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines start it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
exec "$(dirname "$0")/torchrun.sh" train.py "$2" "${@:1:1}" "${@:3}"
