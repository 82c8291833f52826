#!/usr/bin/env bash
# Train on two machines with four GPUs each: eight processes, as the configs for COCO expect.
#     sbatch cluster/slurm.sh CONFIG [options of tools/train.py]
# Submit it in the checkout, on a file system that both machines share. A job that is requeued, and a
# process that is killed, resume from the newest whole checkpoint.
#SBATCH --job-name=mmvmlp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=6
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.out
set -euo pipefail

source "${VENV:-.venv}/bin/activate"
# Another port for each job, since jobs may share a machine.
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

for _ in 1 2 3 4; do
  status=0
  # One process that ends with an error, or is killed, ends the others, which would wait for it.
  srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    python -u tools/train.py "$@" --launcher slurm --resume || status=$?
  # Above 128 it was killed by a signal; any other error would come again.
  [ "$status" -gt 128 ] || exit "$status"
  echo "killed (status $status): resuming"
done
exit "$status"
