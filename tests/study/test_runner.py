import time

from rich.console import Console

from ablations.study.runner import Runner


def test_a_record_is_found_once_it_is_there(study, claim, runner, runs_dir):
    (job,) = study(claim()).cases[0].arms["with"].candidates.values()
    looking = Runner(runs_dir, Console(quiet=True))
    assert looking.record(job) is None
    runner(lambda job: 0.2).train([job])
    assert looking.record(job).seed == 0


def test_nothing_is_started_where_all_is_done_or_time_is_up(study, claim, runner, runs_dir):
    (job,) = study(claim()).cases[0].arms["with"].candidates.values()
    late = Runner(runs_dir, Console(quiet=True), deadline=time.monotonic())
    late.train([job])
    assert late.out_of_time
    assert list(runs_dir.iterdir()) == []
    runner(lambda job: 0.2).train([job])
    before = sorted(runs_dir.rglob("*"))
    Runner(runs_dir, Console(quiet=True)).train([job])
    assert sorted(runs_dir.rglob("*")) == before
