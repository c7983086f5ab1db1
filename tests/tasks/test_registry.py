from __future__ import annotations

import json
from pathlib import Path

import pytest

from elman import UserError
from elman.tasks.estimator import settings_from
from elman.tasks.recipes import read_recipe, recipes
from elman.tasks.registry import JOBS, find_job, job_of


@pytest.mark.parametrize("name", sorted(JOBS))
def test_every_job_can_be_trained_by_name(name: str, tmp_path: Path) -> None:
    estimator = find_job(name).load()
    settings = settings_from(estimator.settings_class, {})
    assert settings.training.step_limit(10) or settings.training.minutes
    assert "elman train " + name in estimator.help
    (tmp_path / "settings.json").write_text(json.dumps({"task": JOBS[name].task}))
    assert job_of(tmp_path) == name


@pytest.mark.parametrize("job", sorted(set(JOBS) - {"lm"}))
def test_every_recipe_of_a_job_fits_it(job: str) -> None:
    for name, about in recipes(job).items():
        settings_from(find_job(job).load().settings_class, read_recipe(name, job))
        assert about.endswith(".")
        with pytest.raises(UserError, match=f"is for the job '{job}'; use it with elman train {job}"):
            read_recipe(name)


def test_unknown_jobs_and_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"elman train knows no task 'classfy'; did you mean 'classify'?"):
        find_job("classfy")
    (tmp_path / "settings.json").write_text('{"task": "juggle"}')
    with pytest.raises(UserError, match="is a run of the task 'juggle'; this version knows lm, classify"):
        job_of(tmp_path)
