"""From findings to the exit code: each code has one, and with several failures the first row of the table decides."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import exits
from modelgate.finding import Finding, Fix, Level, fail, ok, unknown, warn

FIX = Fix(when="", do="")
CODES = sorted(exits.OF_CODE)


def _fail(code: str) -> Finding:
    return fail(code, "x", "", "", FIX)


def test_every_code_stands_in_one_row_only() -> None:
    codes = [code for _, _, row in exits.ROWS for code in row]

    assert len(codes) == len(set(codes))
    assert "ok" not in codes
    assert all(code == code.lower() and " " not in code and "_" not in code for code in codes)


def test_the_rows_stand_in_the_order_in_which_things_are_to_be_fixed() -> None:
    assert [row[0] for row in exits.ROWS] == [78, 127, 126, 77, 66, 65, 76, 69, 75, 70]
    assert all(who for _, who, _ in exits.ROWS)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("manifest-invalid", 78),
        ("launch-not-found", 127),
        ("launch-not-executable", 126),
        ("path-blocked", 77),
        ("identity-denied", 77),
        ("path-missing", 66),
        ("weights-lfs-pointer", 65),
        ("weights-differ", 76),
        ("path-hung", 69),
        ("wait-timeout", 69),
        ("gate-timeout", 75),
        ("port-in-use", 75),
        ("check-lost", 70),
    ],
)
def test_a_code_alone_decides_its_exit(code: str, exit_code: int) -> None:
    assert exits.decide([ok("a", "b"), _fail(code)]) == exit_code


def test_what_does_not_stop_decides_nothing() -> None:
    assert exits.decide([]) == 0
    assert exits.decide([ok("a", "b"), warn("manifest-invalid", "x", "", "")]) == 0


def test_what_could_not_be_looked_at_stops_like_a_failure() -> None:
    assert exits.decide([unknown("path-hung", "x", "", "")]) == 69


def test_a_code_that_is_in_no_row_is_a_fault_of_ours_and_ranks_last() -> None:
    assert exits.decide([_fail("no-such-code")]) == 70
    assert exits.decide([_fail("no-such-code"), _fail("gate-timeout")]) == 75


def test_of_two_failures_the_one_in_the_higher_row_decides_whatever_their_order() -> None:
    firsts = [row[2][0] for row in exits.ROWS]
    for (i, a), (j, b) in itertools.combinations(enumerate(firsts), 2):
        assert exits.decide([_fail(a), _fail(b)]) == exits.decide([_fail(b), _fail(a)]) == exits.ROWS[min(i, j)][0]


@given(st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from(list(Level))), max_size=6))
def test_the_verdict_is_that_of_the_best_ranked_stopping_finding(made: Sequence[tuple[str, Level]]) -> None:
    findings = [
        ok("x", "") if level is Level.OK else Finding(code=code, level=level, subject="", observed="", fixes=(FIX,))
        for code, level in made
    ]
    stopping = [f.code for f in findings if f.level in (Level.FAIL, Level.UNKNOWN)]

    decided = exits.decide(findings)

    assert decided == (exits.OF_CODE[min(stopping, key=exits.rank)] if stopping else 0)
