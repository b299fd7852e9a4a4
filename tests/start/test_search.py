"""A command that does not start: found as execvp finds it, told with the errno and what cures it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from handover_kit import driver, finish


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_command_that_is_nowhere_is_127_and_says_where_it_looked() -> None:
    done = finish(driver(["no-such-server"]))

    assert done.returncode == 127
    assert "launch-not-found\nexec no-such-server: ENOENT: No such file or directory" in done.stdout
    assert "not in PATH: /usr/local/bin:/usr/bin:/bin" in done.stdout


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    path = script(tmp_path / "serve", "#!/opt/none/python\n")

    done = finish(driver([path]))

    assert done.returncode == 127
    assert (
        f"exec {path}: ENOENT: No such file or directory (its interpreter '/opt/none/python' is not there)"
        in done.stdout
    )


def test_a_carriage_return_in_the_first_line_is_named(tmp_path: Path) -> None:
    done = finish(driver([script(tmp_path / "serve", "#!/bin/sh\r\necho\r\n")]))

    assert done.returncode == 127
    assert "carriage return" in done.stdout
    assert "sed -i" in done.stdout


def test_without_x_it_is_126(tmp_path: Path) -> None:
    path = script(tmp_path / "serve", "#!/bin/sh\n", 0o644)

    done = finish(driver([path]))

    assert done.returncode == 126
    assert f"launch-not-executable\nexec {path}: EACCES: Permission denied\nRUN chmod 0755 {path}" in done.stdout


def test_a_directory_is_126(tmp_path: Path) -> None:
    done = finish(driver([str(tmp_path)]))

    assert done.returncode == 126
    assert "it is a directory" in done.stdout


def test_a_script_without_a_first_line_is_126_and_not_given_to_a_shell(tmp_path: Path) -> None:
    done = finish(driver([script(tmp_path / "serve", "echo a shell ran this\n")]))

    assert done.returncode == 126
    assert "ENOEXEC" in done.stdout
    assert "a shell ran this" not in done.stdout


def test_arguments_that_are_too_long_are_126() -> None:
    done = finish(driver(["true"], dirt=["long"]))

    assert done.returncode == 126
    assert "E2BIG" in done.stdout


def test_path_is_searched_as_execvp_does(tmp_path: Path) -> None:
    """What may not be executed and what is no directory is passed over; PATH is the server's, set by the manifest."""
    denied, file, good = tmp_path / "denied", tmp_path / "file", tmp_path / "good"
    for folder in (denied, good):
        folder.mkdir()
    file.write_text("")
    script(denied / "serve", "#!/bin/sh\necho denied\n", 0o644)
    script(good / "serve", "#!/bin/sh\necho good\n")

    done = finish(driver(["serve"], env_set={"PATH": f"/nonexistent:{file}:{denied}:{good}:/bin"}))

    assert (done.returncode, done.stdout) == (0, "good\n")


def test_a_denied_candidate_is_told_when_nothing_better_comes(tmp_path: Path) -> None:
    path = script(tmp_path / "serve", "#!/bin/sh\n", 0o644)

    done = finish(driver(["serve"], env_set={"PATH": f"{tmp_path}:/bin"}))

    assert done.returncode == 126
    assert f"exec {path}: EACCES" in done.stdout


def test_an_empty_element_of_path_is_the_current_directory(tmp_path: Path) -> None:
    script(tmp_path / "serve", "#!/bin/sh\necho here\n")

    done = finish(driver(["serve"], env_set={"PATH": ":/nonexistent"}), cwd=tmp_path)

    assert done.stdout == "here\n"


@pytest.mark.root
def test_the_search_is_made_as_the_runtime_identity(private: Path) -> None:
    """root may enter every directory; the server's uid may not."""
    found = finish(driver(["serve"], env_set={"PATH": f"{private}:{private.parent}:/bin"}, run_as="12345:12346"))
    nowhere = finish(driver(["serve"], env_set={"PATH": f"{private}:/bin"}, run_as="12345:12346"))
    named = finish(driver([f"{private}/serve"], run_as="12345:12346"))

    assert found.stdout == "public\n", found.stderr
    assert nowhere.returncode == 127
    assert f"(not in PATH: {private}:/bin; may not be entered: {private})" in nowhere.stdout
    assert named.returncode == 126
    assert (
        f"exec {private}/serve: EACCES: Permission denied (a directory on the way may not be entered)" in named.stdout
    )


@pytest.fixture
def private() -> Iterator[Path]:
    """A directory for root alone, in one for everybody; both hold a program `serve`."""
    with tempfile.TemporaryDirectory() as name:  # not pytest's: that one is its user's alone
        folder = Path(name, "private")
        folder.mkdir(mode=0o700)
        script(folder / "serve", "#!/bin/sh\necho private\n")
        script(Path(name, "serve"), "#!/bin/sh\necho public\n")
        os.chmod(name, 0o755)
        yield folder


def test_a_script_without_its_interpreter_is_passed_over(tmp_path: Path) -> None:
    """As execvp does it; told only when nothing better comes."""
    broken, good = tmp_path / "broken", tmp_path / "good"
    for folder, text in ((broken, "#!/opt/none\n"), (good, "#!/bin/sh\necho good\n")):
        folder.mkdir()
        script(folder / "serve", text)

    found = finish(driver(["serve"], env_set={"PATH": f"{broken}:{good}:/bin"}))
    nowhere = finish(driver(["serve"], env_set={"PATH": f"{broken}:/bin"}))

    assert (found.returncode, found.stdout) == (0, "good\n")
    assert nowhere.returncode == 127
    assert f"exec {broken}/serve: ENOENT: No such file or directory (its interpreter '/opt/none'" in nowhere.stdout


def test_nothing_of_the_gate_speaks_on_the_servers_stdout() -> None:
    done = finish(driver(["echo", "server"]))

    assert (done.stdout, done.stderr) == ("server\n", "")
