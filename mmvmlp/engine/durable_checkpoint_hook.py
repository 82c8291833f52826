"""Saving checkpoints that survive a crash, one training per work folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner.base_loop import BaseLoop

from mmvmlp.checkpoints.durable import BACKEND_NAME
from mmvmlp.checkpoints.resuming import checkpoint_to_resume
from mmvmlp.engine.work_dir_lock import lock_work_dir, unlock_work_dir
from mmvmlp.output_files import INCOMPLETE, write_atomically
from mmvmlp.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Saves checkpoints that are whole at any moment.

    mmengine deletes the old checkpoint, then writes the new one in place. Here a checkpoint is
    written beside the old one, synced, renamed and sealed by its SHA-256; ``last_checkpoint`` is
    replaced as a whole; only then is an outdated checkpoint deleted. The work folder is locked
    for one training.

    Args:
        **options: Options of mmengine's ``CheckpointHook``. With ``backend_args``, that storage
            decides how files are written.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.backend_args: dict[str, Any] | None
        self.best_ckpt_path: str | None
        self.best_ckpt_path_dict: dict[str, str | None]

    def before_run(self, runner: Any) -> None:
        """Lock the work folder for a training, and find the checkpoint to resume.

        Raises:
            OSError: If another training has locked it.
            FileNotFoundError: If the work folder records a checkpoint that does not exist.
            CheckpointError: If all checkpoints in the work folder are damaged.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return
        if is_main_process():
            lock_work_dir(runner.work_dir)
        # The toolboxes' own programs leave that to mmengine, which takes the last one as it is.
        if runner._resume and runner._load_from is None:
            name = self.filename_tmpl or ('epoch_{}.pth' if self.by_epoch else 'iter_{}.pth')
            runner._load_from = checkpoint_to_resume(runner.work_dir, name, self.out_dir)

    def after_run(self, runner: Any) -> None:
        """Unlock the work folder."""
        unlock_work_dir(runner.work_dir)

    def before_train(self, runner: Any) -> None:
        """Choose the storage, and delete what a killed training left half written."""
        local = '://' not in str(self.out_dir or runner.work_dir)
        if local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = {'backend': BACKEND_NAME}
        super().before_train(runner)
        # mmengine saves the score of a better checkpoint in the last one only if it knows that.
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        if local and is_main_process():
            for folder in {str(self.out_dir), runner.work_dir}:
                for leftover in Path(folder).glob(INCOMPLETE):
                    with suppress(OSError):
                        leftover.unlink()

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        """Save as mmengine does, but delete the outdated checkpoint last."""
        outdated: list[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = [self.keep_ckpt_ids.popleft()]
            self.keep_ckpt_ids.append(step)
            # With the outdated one: a training that is killed before it is deleted deletes it when
            # it resumes.
            runner.message_hub.update_info('keep_ckpt_ids', [*outdated, *self.keep_ckpt_ids])
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            record = Path(runner.work_dir) / 'last_checkpoint'
            write_atomically(record, str(self.last_ckpt).encode(), synced=True)
        for number in outdated:
            self._delete(
                self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(number))
            )

    def _save_best_checkpoint(self, runner: Any, metrics: dict[str, Any]) -> None:
        """Save as mmengine does, but delete the former best checkpoint last."""
        if not self.save_best:
            return
        several = vars(self).get('best_ckpt_path_dict')
        former = {'': self.best_ckpt_path} if several is None else dict(several)
        # mmengine deletes the paths that it finds here before it saves.
        if several is None:
            self.best_ckpt_path = None
        else:
            several.update(dict.fromkeys(several))
        super()._save_best_checkpoint(runner, metrics)
        for metric, path in former.items():
            new = self.best_ckpt_path if several is None else several[metric]
            if new is not None:
                if path not in (None, new):
                    self._delete(path)
            elif several is None:
                self.best_ckpt_path = path
            else:
                several[metric] = path

    def _delete(self, path: Any) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            # DeepSpeed's checkpoints are folders.
            self.file_backend.rmtree(path)
