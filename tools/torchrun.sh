#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: start a script of this folder in several processes.
#     tools/torchrun.sh SCRIPT PROCESSES [arguments of the script]
set -euo pipefail
tools=$(dirname "$0")
script=$1 processes=$2
case $processes in
  '' | *[!0-9]* | 0)
    echo "error: PROCESSES is '$processes': a positive number is accepted" >&2
    exit 2
    ;;
esac
# Outside any environment, the one that `make env` made.
if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$tools/../.venv/bin/python" ]; then
  PYTHON=${PYTHON:-$tools/../.venv/bin/python}
fi
# Not torchrun's static rendezvous, which cannot start killed processes again.
if [ "${NNODES:-1}" = 1 ]; then
  rendezvous=(--standalone --local_addr 127.0.0.1)
else
  rendezvous=(
    --nnodes "$NNODES" --rdzv_backend c10d --rdzv_id "${RUN_ID:-mmvmlp}"
    --rdzv_endpoint "${MASTER_ADDR:?the first machine}:${PORT:-29500}"
    --rdzv_conf "is_host=$([ "${NODE_RANK:?0 on the first machine}" = 0 ] && echo 1 || echo 0)"
  )
fi
exec "${PYTHON:-python}" "$tools/torchrun.py" "${rendezvous[@]}" \
  --max_restarts "${MAX_RESTARTS:-0}" --nproc_per_node "$processes" \
  "$tools/$script" "${@:3}" --launcher pytorch
