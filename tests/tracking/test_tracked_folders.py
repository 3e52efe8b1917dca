"""Runs without a name do not meet."""

from pathlib import Path

from lipfault.runs.folder import make_new


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [make_new(str(tmp_path / 'runs' / 'finetune-20260301-120000')) for _ in range(3)]
    assert len(set(names)) == 3
    assert all(Path(name).is_dir() for name in names)
