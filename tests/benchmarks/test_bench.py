"""`make bench` works and says what it measured. How long things take is never a test: machines are noisy."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
BENCH = [sys.executable, str(Path(__file__).with_name("bench.py"))]


def test_one_round_prints_the_whole_table() -> None:
    done = subprocess.run([*BENCH, "--rounds", "1", "--size", "4"], capture_output=True, text=True, check=False)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]

    assert done.returncode == 0, done.stderr
    assert len(rows) >= 5
    assert all(len(row) == 5 for row in rows)
    named = " ".join(row[0] for row in rows)
    for what in ("modelgate -- true", "probe live", "dependency ready"):
        assert what in named


def test_the_readme_holds_the_table_between_its_markers() -> None:
    _, begin, rest = (REPO / "README.md").read_text().partition("<!-- bench")
    table, end, _ = rest.partition("<!-- /bench -->")

    assert begin
    assert end
    assert "| what | measured | against | ratio | budget |" in table


def test_the_table_is_put_between_the_markers_and_nowhere_else(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import bench; path = Path(sys.argv[2]);"
        "path.write_text('above\\n' + bench.BEGIN + 'old\\n' + bench.END + 'below\\n'); bench.write('new\\n', path);"
        "print(path.read_text() == 'above\\n' + bench.BEGIN + 'new\\n' + bench.END + 'below\\n')"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "README.md")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.stdout == "True\n", done.stderr
