"""Files of ``cluster/``: accepted by the schemas of their programs, with commands that exist."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from torch.distributed.run import parse_args

from mmvmlp.cli import train

SCHEMAS = Path('tests/data/cluster')


def problems(name, document):
    schema = json.loads((SCHEMAS / f'{name}.schema.json').read_text())
    Draft202012Validator.check_schema(schema)
    return [
        f'{"/".join(map(str, error.path))}: {error.message}'
        for error in Draft202012Validator(schema).iter_errors(document)
    ]


@pytest.fixture
def claim_and_job():
    return list(yaml.safe_load_all(Path('cluster/pytorchjob.yaml').read_text()))


@pytest.fixture
def task():
    return yaml.safe_load(Path('cluster/skypilot.yaml').read_text())


def options_of_training(monkeypatch, arguments):
    """Parse arguments as tools/train.py does, and see that it finds the config."""
    monkeypatch.setattr('sys.argv', ['tools/train.py', *arguments])
    options = train.parse_arguments()
    assert Path(options.config).is_file()
    assert options.resume == 'auto'
    return options


def test_kubeflow_accepts_the_job(claim_and_job):
    job = claim_and_job[1]
    assert not problems('pytorchjob', job)
    job['spec']['elasticPolicy']['maxRestart'] = 3
    job['spec']['nprocPerNode'] = 4
    job['spec']['pytorchReplicaSpecs']['Worker']['template']['spec']['container'] = []
    assert len(problems('pytorchjob', job)) == 3


def test_the_job_mounts_what_it_needs_and_runs_what_exists(claim_and_job, monkeypatch):
    claim, job = claim_and_job
    spec = job['spec']
    worker = spec['pytorchReplicaSpecs']['Worker']
    pod = worker['template']['spec']
    (container,) = pod['containers']
    # Kubeflow looks for it by name.
    assert container['name'] == 'pytorch'
    assert int(spec['nprocPerNode']) == container['resources']['limits']['nvidia.com/gpu']
    elastic = spec['elasticPolicy']
    assert worker['replicas'] == elastic['minReplicas'] == elastic['maxReplicas']
    volumes = {volume['name']: volume for volume in pod['volumes']}
    mounted = {mount['mountPath']: volumes[mount['name']] for mount in container['volumeMounts']}
    assert len(mounted) == len(volumes)
    assert mounted['/dev/shm']['emptyDir']['medium'] == 'Memory'
    claimed = mounted['/checkpoints']['persistentVolumeClaim']['claimName']
    assert claim['metadata']['name'] == claimed
    assert claim['spec']['accessModes'] == ['ReadWriteMany']
    # As Kubeflow sets them, for torchrun.
    for name, value in {
        'PET_RDZV_BACKEND': elastic['rdzvBackend'],
        'PET_NNODES': f'{elastic["minReplicas"]}:{elastic["maxReplicas"]}',
        'PET_NPROC_PER_NODE': spec['nprocPerNode'],
        'PET_MAX_RESTARTS': str(elastic['maxRestarts']),
    }.items():
        monkeypatch.setenv(name, value)
    python, starter, *arguments = container['command']
    assert python == '.venv/bin/python'
    assert Path(starter) == Path('tools/torchrun.py') and Path(starter).is_file()
    torchrun = parse_args(arguments)
    assert (torchrun.rdzv_backend, torchrun.nnodes, torchrun.nproc_per_node) == ('c10d', '2:2', '4')
    assert torchrun.max_restarts == 10
    assert torchrun.training_script == 'tools/train.py'
    options = options_of_training(monkeypatch, torchrun.training_script_args)
    assert options.launcher == 'pytorch'
    assert any(options.work_dir.startswith(f'{path}/') for path in mounted)
    assert any(options.data_root.startswith(f'{path}/') for path in mounted)


def test_skypilot_accepts_the_task(task):
    assert not problems('skypilot_task', task)
    task['resource'] = task['resources']
    task['resources']['use_spots'] = True
    task['file_mounts']['/checkpoints']['moed'] = 'MOUNT'
    assert len(problems('skypilot_task', task)) == 3


def test_the_task_starts_the_training_with_a_process_per_gpu(task, tmp_path, monkeypatch):
    for name in ('.venv/bin/activate', 'tools/dist_train.sh'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch(0o755)
    script = '#!/bin/sh\nprintf "%s\\n" "$MAX_RESTARTS" "$@"\n'
    (tmp_path / 'tools/dist_train.sh').write_text(script)
    ended = subprocess.run(
        ['bash', '-ec', task['run']],
        cwd=tmp_path,
        env={**os.environ, **task['envs'], 'SKYPILOT_NUM_GPUS_PER_NODE': '8'},
        capture_output=True,
        text=True,
        check=True,
    )
    restarts, config, processes, *arguments = ended.stdout.splitlines()
    assert int(restarts) > 0 and processes == '8'
    options = options_of_training(monkeypatch, [config, *arguments])
    mounted = tuple(f'{path}/' for path in task['file_mounts'])
    assert options.work_dir.startswith(mounted) and f'{options.data_root}/'.startswith(mounted)


def test_slurm_gets_a_task_per_gpu_and_an_existing_program(monkeypatch):
    script = Path('cluster/slurm.sh').read_text()
    subprocess.run(['bash', '-n', 'cluster/slurm.sh'], check=True)
    asked = dict(re.findall(r'^#SBATCH --([\w-]+)=(.+)$', script, re.MULTILINE))
    assert asked['ntasks-per-node'] == asked['gpus-per-node']
    (command,) = re.findall(r'python -u (.+?) \|\|', script)
    program, *arguments = shlex.split(command.replace('"$@"', 'configs/mask_rcnn_hire_mlp_s.py'))
    assert Path(program).is_file()
    assert options_of_training(monkeypatch, arguments).launcher == 'slurm'
