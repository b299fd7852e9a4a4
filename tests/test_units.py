"""Durations and sizes: what people write, what is refused, and how it is shown again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.units import Duration, Size, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("0", 0),
        (0, 0),
        (0.0, 0),
    ],
)
def test_a_duration_is_read(written: object, seconds: float) -> None:
    """The forms of the manifest, and a bare 0."""
    assert Duration.parse(written) == seconds


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (30, "needs a unit: 30s, 30m or 30h"),
        (1.5, "needs a unit"),
        (float("nan"), "needs a unit"),
        ("30", "expected a duration"),
        ("5 m", "expected a duration"),
        ("-5s", "expected a duration"),
        ("5d", "expected a duration"),
        ("٣s", "expected a duration"),  # int() would read the digit of another script
        ("s", "expected a duration"),
        ("", "expected a duration"),
        ("99999999h", "longer than ten years"),
        ("9" * 1_000_000, "expected a duration"),
        (True, "expected a duration"),
        (False, "expected a duration"),
        (None, "expected a duration"),
        ([], "expected a duration"),
    ],
)
def test_what_is_no_duration_is_refused_in_words(written: object, words: str) -> None:
    """Never a TypeError, never slow, and the message says what would be right."""
    with pytest.raises(ValueError, match=words) as raised:
        Duration.parse(written)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.0015, "1.5ms"),
        (1.5, "1500ms"),
        (30, "30s"),
        (300, "5m"),
        (5400, "1h30m"),
        (3601, "1h1s"),
    ],
)
def test_a_duration_is_written_as_the_manifest_takes_it(seconds: float, text: str) -> None:
    assert Duration(seconds).text == text


@given(st.integers(0, 10 * 365 * 86400 * 1000))
def test_what_a_duration_writes_it_reads_again(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert Duration.parse(duration.text) == pytest.approx(float(duration), abs=0.001)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64MiB", 64 << 20), ("40GiB", 40 << 30), ("40Gi", 40 << 30), ("80GB", 80 * 10**9), ("80G", 80 * 10**9),
        ("1.5KiB", 1536), ("500k", 500_000), ("0", 0), ("12 MiB", 12 << 20), ("7B", 7), (1234, 1234), (0, 0),
        ("9007199254740993", 9007199254740993),  # a float would lose the last digit
        ("4PiB", 4 << 50),
    ],
)  # fmt: skip
def test_a_size_is_read_to_the_byte(written: object, size: int) -> None:
    assert Size.parse(written) == size


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (-1, "cannot be negative"),
        ("-5MiB", "expected a size"),
        ("ten", "expected a size"),
        ("5 parsecs", "expected a size"),
        ("", "expected a size"),
        (1.5, "expected a size"),
        (True, "expected a size"),
        (None, "expected a size"),
        ("9" * 400 + "PiB", "expected a size"),
        ("9999999999PiB", "more than any machine has"),
        (2**70, "more than any machine has"),
    ],
)
def test_what_is_no_size_is_refused_in_words(written: object, words: str) -> None:
    """No OverflowError for the absurd ones."""
    with pytest.raises(ValueError, match=words):
        Size.parse(written)


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.binary())
def test_anything_is_read_or_refused_with_words(value: object) -> None:
    """ValueError is the only way out."""
    for kind in (Duration, Size):
        try:
            assert kind.parse(value) >= 0
        except ValueError as error:
            assert str(error)  # noqa: PT017


def test_bytes_and_seconds_are_shown_for_people() -> None:
    assert [show_bytes(n) for n in (512, 4.2 * 2**30, 1536, 200 * 2**20)] == ["512 B", "4.2 GiB", "1.5 KiB", "200 MiB"]
    assert [show_seconds(s) for s in (0.35, 12.5, 300, 90, 4200, 3600)] == [
        "350 ms", "12.5 s", "5 m", "1 m 30 s", "1 h 10 m", "1 h",
    ]  # fmt: skip
