#!/usr/bin/env bash
# tools/train.py in several processes, through torchrun: one a GPU, or on the CPU where there is none.
#     tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines start it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
arguments=("${@:1:1}")
processes=$2
case $processes in
  '' | *[!0-9]* | 0)
    echo "error: PROCESSES is '$processes': a positive number is accepted" >&2
    exit 2
    ;;
esac
tools=$(dirname "$0")
# Outside any environment, the one that `make env` made.
if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$tools/../.venv/bin/python" ]; then
  PYTHON=${PYTHON:-$tools/../.venv/bin/python}
fi
exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" \
  --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}" \
  --nproc_per_node "$processes" \
  "$tools/train.py" "${arguments[@]}" --launcher pytorch "${@:3}"
