"""HOME and caches in the whole gate: told, not stopped by, except where the manifest itself asks for the impossible."""

import os
from pathlib import Path

import pytest
from flow_kit import open_parents
from gate_kit import Gate

CACHES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TMPDIR")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)


def test_a_home_that_can_be_written_is_not_worth_a_word(gate: Gate, tmp_path: Path) -> None:
    result = gate("--", "true", env={"HOME": str(tmp_path)})

    assert (result.rc, result.codes) == (0, []), result.err


@pytest.mark.root
def test_root_at_home_is_not_worth_a_word(gate: Gate) -> None:
    result = gate("--", "true", env={"HOME": os.path.expanduser("~root")})

    assert (result.rc, result.codes) == (0, []), result.err


@pytest.mark.root
def test_the_home_of_another_user_warns_and_the_server_starts(gate: Gate, tmp_path: Path) -> None:
    open_parents(tmp_path / "any")
    (tmp_path / "home").mkdir(mode=0o700)
    words, env = ["--run-as", "54321:54321", "--", "sh", "-c", "echo the server runs"], {"HOME": f"{tmp_path}/home"}

    told, silent = gate(*words, env=env), gate("--no-implied", *words, env=env)

    assert (told.rc, told.out, told.codes) == (0, "the server runs\n", ["home-unwritable"]), told.err
    assert (silent.rc, silent.codes) == (0, []), silent.err


@pytest.mark.root
def test_the_manifest_that_sets_what_cannot_be_ends_with_77_and_its_fix_cures(gate: Gate, tmp_path: Path) -> None:
    open_parents(tmp_path / "any")
    (tmp_path / "closed").mkdir(mode=0o700)
    words, env = ("--run-as", "54321:54321", "--", "python3", "-c", "pass"), {"HOME": "/tmp", "USER": "server"}
    manifest = f"env: {{set: {{HF_HOME: {tmp_path}/closed/hf}}}}"

    checked = gate("check", "--format", "json", *words, manifest=manifest, env=env)
    (found,) = [f for f in checked.report["findings"] if f["level"] != "ok"]

    assert (checked.rc, found["code"], found["level"]) == (77, "cache-unwritable", "fail")
    assert (found["check"], found["implied_by"]) == ("caches", "the environment")
    cured = gate("check", "--format", "json", *words, manifest=found["fixes"][0]["snippet"], env=env)
    assert (cured.rc, [f["level"] for f in cured.report["findings"] if f["check"] == "caches"]) == (0, ["ok"])


@pytest.mark.root
def test_one_cause_is_told_once_when_files_asks_for_it_too(gate: Gate, tmp_path: Path) -> None:
    open_parents(tmp_path / "any")
    (tmp_path / "hf").mkdir()
    manifest = f"files: [{{path: {tmp_path}/hf, access: rwx}}]"
    env = {"HOME": "/tmp", "USER": "server", "HF_HOME": f"{tmp_path}/hf"}

    result = gate("--run-as", "54321:54321", "--", "python3", "-c", "pass", manifest=manifest, env=env)

    assert (result.rc, result.codes) == (77, ["path-unwritable"]), result.err
