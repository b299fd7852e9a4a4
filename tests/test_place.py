"""Where the reader is, so that a fix is written in the syntax they use."""

from pathlib import Path

import pytest

from modelgate.host import Place, find_place


def _place(root: Path, *files: str, uid: int = 1001, **environ: str) -> Place:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return find_place(environ, uid, 1002, (44,), root=str(root))


def test_a_service_address_means_kubernetes(tmp_path: Path) -> None:
    place = _place(tmp_path, ".dockerenv", KUBERNETES_SERVICE_HOST="10.96.0.1")

    assert (place.platforms, place.container) == (("kubernetes",), True)


def test_a_service_account_means_kubernetes_where_service_links_are_off(tmp_path: Path) -> None:
    assert _place(tmp_path, "var/run/secrets/kubernetes.io/serviceaccount/token").platforms == ("kubernetes",)


def test_a_uid_from_a_project_block_means_openshift(tmp_path: Path) -> None:
    assert _place(tmp_path, uid=1_000_620_000, KUBERNETES_SERVICE_HOST="172.30.0.1").platforms == ("openshift",)


@pytest.mark.parametrize(
    ("marker", "platforms"), [("run/.containerenv", ("podman",)), (".dockerenv", ("compose", "docker"))]
)
def test_a_marker_file_names_the_engine(tmp_path: Path, marker: str, platforms: tuple[str, ...]) -> None:
    place = _place(tmp_path, marker)

    assert (place.platforms, place.container) == (platforms, True)


def test_nothing_of_a_container_means_a_shell(tmp_path: Path) -> None:
    place = _place(tmp_path)

    assert (place.platforms, place.container) == (("shell",), False)


def test_an_unknown_container_gets_the_syntax_of_all(tmp_path: Path) -> None:
    place = _place(tmp_path, container="lxc")

    assert place.container
    assert set(place.platforms) == {"kubernetes", "compose", "docker", "shell"}


def test_who_is_written_as_run_as_takes_it() -> None:
    assert Place(uid=1001, gid=1002).who == "1001:1002"
    assert Place(uid=1001, gid=1002, groups=(44, 1002, 2000)).who == "1001:1002,44,2000"
