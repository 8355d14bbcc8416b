"""The behaviors that this suite must never lose, each with a defect that its tests have to notice.

``python tests/planted_defects.py [WORD...]`` plants every defect (or those whose behavior has the
words) in a copy of the repository, one at a time, and runs the tests beside it: they must fail. It
exits with 1 where a defect goes unnoticed, or where its place in the code is gone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Defect(NamedTuple):
    """A behavior and how to break it.

    Attributes:
        behavior: What must hold.
        file: Where it is broken.
        old: Text that occurs there once.
        new: What takes its place.
        test: Tests that must fail then, as pytest names them.
    """

    behavior: str
    file: str
    old: str
    new: str
    test: str


DEFECTS = [
    # Numbers.
    Defect(
        "response normalization is the closed form of the paper in float64",
        "ablations/techniques/norm.py",
        "value=-1.5 * ctx.alpha",
        "value=-1.4 * ctx.alpha",
        "tests/techniques/test_norm.py",
    ),
    Defect(
        "the learning rate is inside the velocity when it changes (§5)",
        "ablations/training/optimizer.py",
        "torch._foreach_mul_(buffers, last / lr)",
        "torch._foreach_mul_(buffers, lr / last)",
        "tests/training/test_optimizer.py",
    ),
    Defect(
        "biases are not decayed",
        "ablations/training/optimizer.py",
        'decay_scale.get(name, 0.0) if key == "weight" else 0.0',
        "decay_scale.get(name, 0.0)",
        "tests/training/test_optimizer.py",
    ),
    Defect(
        "the plateau schedule divides by ten three times at most",
        "ablations/training/optimizer.py",
        "self.divisions < 3",
        "self.divisions < 4",
        "tests/training/test_optimizer.py",
    ),
    Defect(
        "a score that is not a number is an error",
        "ablations/metrics.py",
        "(~(scores <= true)",
        "((scores > true)",
        "tests/test_metrics.py",
    ),
    Defect(
        "equal scores count as chance does",
        "ablations/metrics.py",
        "| ((scores == true) & before)",
        "",
        "tests/test_metrics.py",
    ),
    Defect(
        "a window of response normalization stays within its tower",
        "ablations/techniques/norm.py",
        ".reshape(-1, channels // towers)",
        ".reshape(-1, channels)",
        "tests/techniques/test_norm.py",
    ),
    Defect(
        "batch normalization has the statistics of the global batch",
        "ablations/techniques/norm.py",
        "if not (self.training and distributed):",
        "if True:",
        "tests/techniques/test_norm.py -k process",
    ),
    Defect(
        "both pooling windows give the same grid",
        "ablations/techniques/pooling.py",
        "ceil_mode=True",
        "ceil_mode=False",
        "tests/techniques/test_pooling.py",
    ),
    Defect(
        "color noise follows the power of the edition",
        "ablations/techniques/augmentation.py",
        "eigenvalues.clamp_min(0) ** power",
        "eigenvalues.clamp_min(0)",
        "tests/techniques/test_augmentation.py",
    ),
    Defect(
        "ten views are five and their mirror images",
        "ablations/techniques/evaluation.py",
        "views.flip(3)",
        "views.flip(2)",
        "tests/techniques/test_evaluation.py",
    ),
    Defect(
        "dropout halves the outputs at test time",
        "ablations/techniques/dropout.py",
        "else x * 0.5",
        "else x",
        "tests/techniques/test_dropout.py",
    ),
    Defect(
        "two towers meet in convolution 3 only",
        "ablations/techniques/towers.py",
        "return 2 if kind is Towers.two else 1",
        "return 1",
        "tests/models/test_alexnet.py",
    ),
    Defect(
        "arms of a seed share their initial weights",
        "ablations/models/initialization.py",
        "rng.derive(run.seed, run.replicate)",
        "rng.derive(run.seed, run.replicate, str(run.techniques))",
        "tests/models/test_initialization.py",
    ),
    Defect(
        "a narrower network keeps the gain of the printed one",
        "ablations/models/initialization.py",
        "std * math.sqrt(",
        "std * (",
        "tests/models/test_initialization.py",
    ),
    Defect(
        "a tutorial's l2 is twice as much weight decay",
        "ablations/models/fixed.py",
        "2.0 * (name in l2)",
        "1.0 * (name in l2)",
        "tests/models/test_tutorials.py -k l2",
    ),
    Defect(
        "a technique without effect is refused",
        "ablations/models/__init__.py",
        "if why and value is not technique.default:",
        "if why and value is None:",
        "tests/models/test_check.py",
    ),
    Defect(
        "a record has one prediction for each test image",
        "ablations/training/result.py",
        "if not np.array_equal(np.sort(seen), np.arange(images)):",
        "if not len(seen):",
        "tests/training/test_result.py -k miss",
    ),
    # Random numbers.
    Defect(
        "arms of a seed share crops whether or not colors are drawn",
        "ablations/techniques/augmentation.py",
        "    color = torch.randn(n, 3, generator=generator)\n",
        "    color = torch.randn(n, 3)\n",
        "tests/techniques/test_augmentation.py",
    ),
    Defect(
        "dropout masks belong to rows of the global batch",
        "ablations/rng.py",
        "row_keys = _scramble(rows * -0x61C8864680B583EB + key)",
        "row_keys = _scramble((rows - rows.min()) * -0x61C8864680B583EB + key)",
        "tests/test_rng.py tests/techniques/test_dropout.py",
    ),
    Defect(
        "the order of images depends on the epoch",
        "ablations/data/loading.py",
        'generator(seed, "order", epoch)',
        'generator(seed, "order", 0)',
        "tests/data/test_loading.py",
    ),
    # Data.
    Defect(
        "a damaged store is built again",
        "ablations/data/store.py",
        "and describe(array) != expected:",
        "and not expected:",
        "tests/data/test_store.py",
    ),
    Defect(
        "a manifest whose fingerprint was changed is damaged",
        "ablations/data/store.py",
        'fingerprint(manifest["arrays"]) != manifest["fingerprint"]',
        'not manifest["arrays"]',
        "tests/data/test_store.py",
    ),
    Defect(
        "a killed preparation leaves nothing that counts as a store",
        "ablations/data/store.py",
        '    partial = path.with_name(f"{path.name}.partial")\n',
        "    partial = path\n",
        "tests/data/test_store.py",
    ),
    Defect(
        "two processes prepare a data set once",
        "ablations/data/cache.py",
        '{path.name}.lock"',
        '{path.name}.{os.getpid()}.lock"',
        "tests/data/test_store.py",
    ),
    Defect(
        "the fingerprint of data depends on their labels",
        "ablations/data/build.py",
        'if name != "mean_image"}',
        'if name.endswith("s_images")}',
        "tests/data/test_store.py",
    ),
    Defect(
        "training and validation images do not overlap",
        "ablations/data/store.py",
        "np.sort(order[val_size:end])",
        "np.sort(order[val_size // 2 : end])",
        "tests/data",
    ),
    Defect(
        "broken images stop the preparation unless they are to be left out",
        "ablations/data/store.py",
        "if store.skipped and not data.skip_broken:",
        "if store.skipped and data.skip_broken:",
        "tests/data",
    ),
    Defect(
        "a data set that has changed on the hub is prepared again",
        "ablations/data/store.py",
        'return path.with_name(f"{path.name}-{commit[:12]}")',
        "return path",
        "tests/data/test_huggingface.py",
    ),
    Defect(
        "without the hub the data prepared last are taken",
        "ablations/data/store.py",
        "return max(made,",
        "return min(made,",
        "tests/data/test_huggingface.py",
    ),
    Defect(
        "a label without a class is refused",
        "ablations/data/huggingface.py",
        "label not in number:",
        "label is None:",
        "tests/data/test_huggingface.py",
    ),
    Defect(
        "what a killed process unpacked of ImageNet is no part of it",
        "ablations/data/imagenet.py",
        "shutil.rmtree(partial, ignore_errors=True)  # of",
        "pass  # of",
        "tests/data/test_imagenet.py",
    ),
    Defect(
        "images are cropped at the center (§2)",
        "ablations/data/decode.py",
        "(image.width - side) // 2, (",
        "0, (",
        "tests/data/test_decode.py",
    ),
    Defect(
        "principal colors come largest first (§4.1)",
        "ablations/data/statistics.py",
        "values, vectors = values[::-1], vectors[:, ::-1]",
        "values, vectors = values, vectors",
        "tests/data/test_statistics.py",
    ),
    Defect(
        "the built-in images are the same on every machine",
        "ablations/data/synthetic.py",
        "(count, 1, 1), 0.45, 0.75)",
        "(count, 1, 1), 0.45, 0.76)",
        "tests/data/test_synthetic.py",
    ),
    Defect(
        "processes that decode images end with the command",
        "ablations/data/executors.py",
        "        parent.join()\n",
        "        threading.Event().wait()\n",
        "tests/data/test_executors.py",
    ),
    Defect(
        "relative paths begin where prepare.py was started",
        "ablations/prepare.py",
        "as status, composition.in_start_folder():",
        "as status:",
        "tests/test_prepare.py",
    ),
    Defect(
        "processes train on the batches of one",
        "ablations/data/loading.py",
        "(rank + 1) * batch_size // world)\n        self.epoch",
        "(rank + 1) * (batch_size // world))\n        self.epoch",
        "tests/data/test_loading.py",
    ),
    # Interruption.
    Defect(
        "a run that is interrupted within an epoch gives the same weights",
        "ablations/data/loading.py",
        'self.batch_sampler.first = self.batch_sampler.done = state["batches"]',
        'self.batch_sampler.done = state["batches"]',
        "tests/training/test_checkpoints.py tests/data/test_loading.py",
    ),
    Defect(
        "errors of an interrupted epoch are counted once",
        "ablations/training/classifier.py",
        '[f"{name}.{key}"] = value.clone()',
        '[f"{name}.{key}"] = torch.zeros_like(value)',
        "tests/training/test_checkpoints.py -k interrupted",
    ),
    Defect(
        "an interrupted run keeps the number of threads that it was started with",
        "ablations/training/history.py",
        'torch.set_num_threads(state["threads"])',
        "pass",
        "tests/training/test_checkpoints.py -k threads",
    ),
    Defect(
        "a checkpoint of several processes has the errors of all of them",
        "ablations/training/classifier.py",
        "with metric.sync_context():  # every process takes part",
        "with metric.sync_context(should_sync=False):",
        "tests/training/test_fit.py -k tally",
    ),
    Defect(
        "a damaged checkpoint is set aside",
        "ablations/models/pretrained.py",
        "if name := file.testzip():",
        "if name := None:",
        "tests/training/test_checkpoints.py -k set_aside",
    ),
    Defect(
        "the checkpoint of another run is set aside",
        "ablations/training/checkpoints.py",
        "theirs.run_id == run.run_id",
        "theirs.run_id",
        "tests/training/test_checkpoints.py -k another_run",
    ),
    Defect(
        "a diverged epoch leaves no checkpoint",
        "ablations/training/checkpoints.py",
        "if not module.diverged:",
        "if True:",
        "tests/training/test_checkpoints.py -k diverged",
    ),
    Defect(
        "a run ends after two epochs in a row at its target",
        "ablations/training/history.py",
        "len(last) == 2 and all(",
        "all(",
        "tests/training/test_history.py -k target",
    ),
    Defect(
        "SIGTERM leaves a checkpoint",
        "ablations/training/checkpoints.py",
        "if self.stop_signal or trainer.global_step",
        "if trainer.global_step",
        "tests/training/test_checkpoints.py -k interrupted",
    ),
    Defect(
        "a record is whole or absent",
        "ablations/files.py",
        "            file.write(data)\n",
        "            path.write_bytes(data[:10])\n            file.write(data)\n",
        "tests/test_files.py",
    ),
    # Several processes.
    Defect(
        "each test image is counted once over all processes",
        "ablations/data/loading.py",
        "torch.arange(rank * n // world, (rank + 1) * n // world)",
        "torch.arange(rank * n // world, min(n, (rank + 1) * n // world + 1))",
        "tests/data/test_loading.py",
    ),
    Defect(
        "two processes take the step of one",
        "ablations/training/classifier.py",
        "share = self.trainer.world_size / self.run.recipe.batch_size",
        "share = 1 / self.run.recipe.batch_size",
        "tests/training/test_fit.py -k two_processes_take",
    ),
    Defect(
        "ranks of a run on several nodes have one thread each",
        "ablations/training/fit.py",
        '    os.environ["OMP_NUM_THREADS"] = str(threads)',
        "    str(threads)",
        "tests/launch/test_ranks.py -k torchrun",
    ),
    # Launch.
    Defect(
        "a mistake in the last job of a sweep is found before the first begins",
        "ablations/launch/task.py",
        "    _refuse_blind_search(configs)\n",
        "    _refuse_blind_search(configs)\n    configs = configs[:1]\n",
        "tests/launch/test_launchers.py tests/test_run.py",
    ),
    Defect(
        "the task returns the validation error",
        "ablations/launch/task.py",
        "return record.val.top1",
        'return record.test["center"].top1',
        "tests/launch/test_launchers.py",
    ),
    Defect(
        "two commands never hold one device at once",
        "ablations/launch/devices.py",
        "(locks := self._lock(slot)) is not None",
        "(locks := ExitStack()) is not None",
        "tests/launch/test_devices.py",
    ),
    Defect(
        "a killed command leaves no orphan",
        "ablations/launch/worker.py",
        "    end_with_parent(os.getppid())\n",
        "",
        "tests/launch/test_ranks.py -k stopped",
    ),
    Defect(
        "a signal to the whole group of a command leaves its runs to it",
        "ablations/launch/pool.py",
        "signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, set())",
        "tests/launch/test_ranks.py -k ctrl_c",
    ),
    Defect(
        "no run starts after the deadline of its command",
        "ablations/launch/pool.py",
        "time.monotonic() < self.deadline",
        "time.monotonic() > 0",
        "tests/launch/test_pool.py -k deadline",
    ),
    Defect(
        "commands on different cores do not wait for each other",
        "ablations/launch/devices.py",
        "sorted(os.sched_getaffinity(0))",
        "range(len(os.sched_getaffinity(0)))",
        "tests/launch/test_devices.py",
    ),
    Defect(
        "a finished run is not trained again",
        "ablations/launch/plan.py",
        "if job.run.run_id not in self.records and",
        "if",
        "tests/launch/test_plan.py",
    ),
    Defect(
        "a working directory of Hydra's moves no run",
        "ablations/launch/task.py",
        "    os.chdir(folder)\n",
        "",
        "tests/launch/test_launchers.py -k working",
    ),
    Defect(
        "a run that is queued in SLURM is not submitted again",
        "ablations/launch/slurm.py",
        "if _is_alive(said := self.states.get(name)):",
        "if _is_alive(said := None):",
        "tests/launch/test_slurm.py -k comes_back",
    ),
    Defect(
        "a run whose job was cancelled in SLURM's queue is submitted again",
        "ablations/launch/slurm.py",
        "return said is not None and said not in _ENDED",
        "return said not in _ENDED",
        "tests/launch/test_slurm.py -k comes_back",
    ),
    Defect(
        "a job of SLURM that makes no progress is not queued again",
        "ablations/launch/slurm_task.py",
        "if self._checkpoints() == self.before:",
        "if not self.before == self.before:",
        "tests/launch/test_slurm.py -k progress",
    ),
    Defect(
        "torchrun around run.py is refused",
        "ablations/launch/nodes.py",
        "    if ranks:\n",
        "    if not ranks:\n",
        "tests/launch/test_nodes.py",
    ),
    # Identity.
    Defect(
        "ids of finished runs stay valid",
        "ablations/config.py",
        '    "recipe.batch_size": 128,\n',
        '    "recipe.batch_size": 129,\n',
        "tests/test_config.py",
    ),
    Defect(
        "the id of a run without a bias rate is that of its edition's",
        "ablations/config.py",
        '        if values["recipe.bias_lr_mult"] is None:\n',
        '        if values["recipe.bias_lr_mult"] == 0:\n',
        "tests/test_config.py",
    ),
    Defect(
        "keys that a schedule does not read leave the id",
        "ablations/config.py",
        "        if self.recipe.schedule is not Schedule.step:\n",
        "        if self.recipe.schedule is Schedule.constant:\n",
        "tests/test_config.py",
    ),
    Defect(
        "the folder of a run of an earlier version is read",
        "ablations/config.py",
        'if value in {"parquet", "image_folder"} else None',
        "if value is None else None",
        "tests/test_config.py",
    ),
    Defect(
        "a record whose values were altered is refused",
        "ablations/record.py",
        "    if record.run_id != expected:\n",
        "    if record.run_id == '':\n",
        "tests/test_record.py",
    ),
    Defect(
        "the record of another run is refused",
        "ablations/record.py",
        "    if record.run_id != run_id:\n",
        "    if run_id == '':\n",
        "tests/test_record.py",
    ),
    Defect(
        "a diverged run counts as chance",
        "ablations/record.py",
        "return max(0.0, 1 - k / self.data.classes)",
        "return 1.0",
        "tests/test_record.py",
    ),
    # The command line.
    Defect(
        "a key that does not exist is refused",
        "ablations/composition.py",
        'CONFIG.validate_python(values, extra="forbid")',
        "CONFIG.validate_python(values)",
        "tests/test_composition.py -k told_in_one_line",
    ),
    Defect(
        "a key that is left out is refused",
        "ablations/composition.py",
        "        if key not in given:",
        "        if not given:",
        "tests/test_composition.py -k told_in_one_line",
    ),
    Defect(
        "an arm is compared with its own experiment",
        "ablations/composition.py",
        'hydra.compose("config", [*where, f"experiment={name}"])',
        'hydra.compose("config", [*where])',
        "tests/test_composition.py -k compared",
    ),
    Defect(
        "a command answers before torch is loaded",
        "ablations/keys.py",
        "import difflib\n",
        "import difflib\n\nimport torch  # noqa\n",
        "tests/test_layers.py",
    ),
    # Claims.
    Defect(
        "a look has its share of the error rate",
        "ablations/stats/looks.py",
        "levels.append(float(2 * stats.norm.sf(bound)))",
        "levels.append(float(total))",
        "tests/stats/test_looks.py",
    ),
    Defect(
        "an earlier look of a claim halves its error rate",
        "ablations/claims/ledger.py",
        "alpha / 2 ** len(",
        "alpha / 1 ** len(",
        "tests/claims",
    ),
    Defect(
        "before its first look a claim is incomplete",
        "ablations/claims/claim_run.py",
        "        if here >= first:\n",
        "        if here > 0:\n",
        "tests/claims/test_looks.py -k before_the_first_look",
    ),
    Defect(
        "pairs beyond the latest look are not looked at",
        "ablations/claims/claim_run.py",
        "return dict(list(found.items())[:look])",
        "return found",
        "tests/claims/test_looks.py -k before_the_first_look",
    ),
    Defect(
        "a look is in both ledgers",
        "ablations/claims/ledger.py",
        "for path in self.own:",
        "for path in self.own[1:]:",
        "tests/claims/test_looks.py -k ledger",
    ),
    Defect(
        "a verdict is not replaced by that of an earlier look",
        "ablations/claims/results.py",
        "old.n > result.n or (old.label and not result.label)",
        "old.label and not result.label",
        "tests/claims/test_looks.py -k later_command",
    ),
    Defect(
        "the members of ensembles are in one pair each",
        "ablations/claims/claim_run.py",
        "first_seed + pair * size",
        "first_seed + pair",
        "tests/claims/test_study.py -k ensemble",
    ),
    Defect(
        "a claim on the gap holds only if the test error falls",
        "ablations/claims/measures.py",
        'return [replace(first, part=f"{blank.part} gap".strip()), second]',
        'return [replace(first, part=f"{blank.part} gap".strip())]',
        "tests/claims/test_study.py -k gap",
    ),
    Defect(
        "a time that was cut short bounds one side only",
        "ablations/claims/measures.py",
        "high_holds and not cut_long",
        "high_holds",
        "tests/claims/test_study.py -k lower_bound",
    ),
    Defect(
        "a rate on the edge of its grid is not fair",
        "ablations/claims/gates.py",
        'Check("fair rates", not edges, text)',
        'Check("fair rates", True, text)',
        "tests/claims/test_gates.py -k edge",
    ),
    Defect(
        "claims on overfitting need a gap of a quarter",
        "ablations/claims/gates.py",
        "OVERFITS = 0.25",
        "OVERFITS = 0.2",
        "tests/claims/test_gates.py -k quarter",
    ),
    Defect(
        "an arm of which half of the runs fail has not learned",
        "ablations/claims/gates.py",
        "2 * bad >= len(records[side])",
        "2 * bad > len(records[side])",
        "tests/claims/test_gates.py -k half",
    ),
    Defect(
        "rules of studies that have begun keep their hash",
        "ablations/claims/schema.py",
        '{"study": self.name, **self.rule_of(claim)',
        '{"name": self.name, **self.rule_of(claim)',
        "tests/claims/test_schema.py",
    ),
    Defect(
        "a margin is half of the paper's effect",
        "ablations/claims/schema.py",
        "return effect / 2,",
        "return effect / 3,",
        "tests/claims/test_schema.py",
    ),
    Defect(
        "the arms of a claim differ in its technique alone",
        "ablations/claims/runs.py",
        "if differing != {technique} - set(READINGS):",
        "if not differing:",
        "tests/claims/test_study.py -k refused",
    ),
    Defect(
        "a key that is twice in a file is refused",
        "ablations/claims/files.py",
        "seen.add(key.value)",
        "pass",
        "tests/claims/test_files.py",
    ),
    Defect(
        "the rules are written before the first run",
        "ablations/reproduce.py",
        "run.save()  # the rules",
        "pass  # the rules",
        "tests/claims/test_study.py -k rules",
    ),
    Defect(
        "a pool never narrows an interval",
        "ablations/stats/intervals.py",
        "np.maximum(np.maximum(own, floor),",
        "np.maximum(floor,",
        "tests/stats/test_intervals.py",
    ),
    Defect(
        "the claims of a family share its error rate",
        "ablations/stats/labels.py",
        "share = comparison.alpha / claims",
        "share = comparison.alpha",
        "tests/stats/test_labels.py",
    ),
    Defect(
        "no effect needs both one-sided tests",
        "ablations/stats/labels.py",
        "if -margin < inner_low and inner_high < margin:",
        "if -margin < inner_low or inner_high < margin:",
        "tests/stats/test_labels.py",
    ),
    Defect(
        "a target is reached when two evaluations say so",
        "ablations/stats/timing.py",
        "np.flatnonzero(below[:-1] & below[1:])",
        "np.flatnonzero(below)",
        "tests/stats/test_timing.py",
    ),
    # The report and W&B.
    Defect(
        "runs of different data or numerics are never pooled in a report",
        "ablations/reporting/evidence.py",
        "if len(kinds) > 1:",
        "if len(kinds) > 2:",
        "tests/reporting/test_evidence.py",
    ),
    Defect(
        "the report of a study leaves out runs of other data",
        "ablations/reporting/evidence.py",
        "if _kind(run) in kinds[:1]",
        "if _kind(run)",
        "tests/reporting/test_evidence.py",
    ),
    Defect(
        "runs on tuning seeds are not shown among the arms",
        "ablations/reporting/evidence.py",
        "if run.seed not in study.tuning_seeds",
        "if run.seed",
        "tests/reporting/test_evidence.py",
    ),
    Defect(
        "the report names the data of runs without a study after their record",
        "ablations/reporting/evidence.py",
        'title = f"{data.name}: {name}"',
        "title = name",
        "tests/reporting/test_evidence.py",
    ),
    Defect(
        "the page shows text from files as text",
        "ablations/reporting/documents.py",
        'not name.endswith(".md")',
        "False",
        "tests/reporting/test_documents.py",
    ),
    Defect(
        "RESULTS.md and the page show the same warnings",
        "ablations/reporting/templates/results.md",
        "- **Warning**: {{ text | escaped }}",
        "",
        "tests/reporting/test_documents.py",
    ),
    Defect(
        "ids of figures are unique in the page",
        "ablations/reporting/plots.py",
        '"svg.hashsalt": key + label',
        '"svg.hashsalt": key',
        "tests/reporting/test_documents.py",
    ),
    Defect(
        "the paper's figure of a claim is drawn where it lies",
        "ablations/reporting/strips.py",
        "chart.mark(scale * row.paper_effect,",
        "chart.mark(-scale * row.paper_effect,",
        "tests/reporting/test_figures.py",
    ),
    Defect(
        "a target that was not reached is no value in a figure",
        "ablations/reporting/plots.py",
        "[inf if value is None else value for value in row]",
        "[0 if value is None else value for value in row]",
        "tests/reporting/test_figures.py",
    ),
    Defect(
        "networks of raw pixels are shown raw pixels",
        "ablations/reporting/pictures.py",
        "input_mean(job.run, store)",
        "input_mean(job.run, store) + 1",
        "tests/reporting/test_pictures.py",
    ),
    Defect(
        "the nearest neighbors are the nearest",
        "ablations/reporting/pictures.py",
        "distances.argsort(1)",
        "(-distances).argsort(1)",
        "tests/reporting/test_pictures.py",
    ),
    Defect(
        "curves in a W&B report are of the claim's own runs",
        "ablations/tracking/workspace.py",
        "filters = _of(section, result.claim)",
        "filters = _of(section)",
        "tests/tracking/test_workspace.py",
    ),
    Defect(
        "a dashboard is refreshed in its place",
        "ablations/tracking/workspace.py",
        "here[name] = board.url",
        "pass",
        "tests/tracking/test_workspace.py",
    ),
    Defect(
        "an agent's sweep holds the tuning seeds",
        "ablations/tracking/agents.py",
        'grid["seed"] += study.tuning.seeds',
        "pass",
        "tests/tracking/test_agents.py",
    ),
    Defect(
        "W&B gets each epoch once, whatever interrupts the run",
        "ablations/training/wandb_logger.py",
        "if epoch > self.last_epoch:",
        "if True:",
        "tests/training/test_wandb_logger.py -k sends_again",
    ),
    Defect(
        "W&B gets again what an interruption lost",
        "ablations/training/loggers.py",
        "for point in self.history.curve:",
        "for point in []:",
        "tests/training/test_wandb_logger.py -k sends_again",
    ),
    Defect(
        "an error of W&B costs no run",
        "ablations/training/wandb_logger.py",
        "            self.failed = True",
        "            raise",
        "tests/training/test_wandb_logger.py -k costs",
    ),
    Defect(
        "a run logs offline unless the machine is logged in",
        "ablations/training/wandb_logger.py",
        'else "offline"\n    for',
        'else "online"\n    for',
        "tests/training/test_wandb_logger.py -k unless_logged_in",
    ),
    Defect(
        "metrics.csv has each epoch once",
        "ablations/training/loggers.py",
        '            shutil.rmtree(folder / "csv", ignore_errors=True)\n',
        "",
        "tests/training/test_loggers.py -k once",
    ),
]


def noticed(defect: Defect, copy: Path) -> str:
    """Plant a defect in a copy; return what is wrong, or an empty text if its tests fail."""
    path = copy / defect.file
    source = path.read_text()
    if source.count(defect.old) != 1:
        return f"its place in {defect.file} occurs {source.count(defect.old)} times"
    path.write_text(source.replace(defect.old, defect.new))
    try:
        words = [*defect.test.split(), "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, "-m", "not gpu"],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},  # for what the tests start elsewhere
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(source)
    if done.returncode == 1:
        return ""
    return f"pytest ended with {done.returncode}: {done.stdout.strip().splitlines()[-1:]}"


def main() -> None:
    """Plant the defects that the arguments name, all without any."""
    words = sys.argv[1:]
    chosen = [d for d in DEFECTS if all(word in d.behavior for word in words)]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "runs", "results")
        shutil.copytree(ROOT, copy, ignore=ignored)
        for defect in chosen:
            wrong = noticed(defect, copy)
            missed += bool(wrong)
            print(
                f"{'UNNOTICED' if wrong else 'noticed  '}  {defect.behavior}  {wrong}", flush=True
            )
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
