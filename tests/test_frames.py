"""The wire between a child and PID 1: whatever comes, in whatever pieces, is a frame or a refusal."""

import contextlib
import itertools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from modelgate import frames
from modelgate.units import Duration, Size

ANY_TEXT = st.text(st.characters(blacklist_categories=()), max_size=30)  # lone surrogates included
KNOWN = st.sampled_from(sorted(frames.LIMITS))
FRAMES = st.lists(st.tuples(KNOWN, st.integers(0, 2**32 - 1), st.binary(max_size=400)), max_size=8)


class Facts(Struct, frozen=True):
    text: str
    raw: bytes = b""
    took: Duration = Duration(0)
    size: Size = Size(0)
    table: dict[int, str] = {}


def _chunks(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(c % (len(stream) + 1) for c in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def _one(stream: bytes) -> frames.Frame:
    (frame,) = frames.Reader().feed(stream)
    return frame


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_arrive_the_same_however_they_are_cut(sent: list[tuple[bytes, int, bytes]], cuts: list[int]) -> None:
    reader = frames.Reader()
    stream = b"".join(frames.pack(*frame) for frame in sent)

    got = [frame for chunk in _chunks(stream, cuts) for frame in reader.feed(chunk)]

    assert [tuple(frame) for frame in got] == sent
    assert not reader.buffer


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_bytes_are_frames_or_refused_and_are_never_hoarded(chunks: list[bytes]) -> None:
    reader = frames.Reader()
    try:
        for chunk in chunks:
            for frame in reader.feed(chunk):
                assert frame.what in frames.LIMITS
                assert len(frame.body) <= frames.LIMITS[frame.what]
    except frames.Broken:
        return
    assert len(reader.buffer) <= max(frames.LIMITS.values()) + frames.HEADER.size


@given(KNOWN, st.binary(max_size=300))
def test_a_random_body_is_read_or_refused_and_nothing_else(what: bytes, body: bytes) -> None:
    frame = frames.Frame(what, 0, body)
    for read in (frames.words_of, lambda f: frames.facts_of(f, Facts)):
        with contextlib.suppress(frames.Broken):
            read(frame)


@pytest.mark.parametrize("what", [frames.TELL, frames.ODD_TELL])
@pytest.mark.parametrize(
    "body",
    [b"", b"3", b"[1]", b"null", b"{", b"\xff", b"[" * 60_000, b"1" * 60_000, b'{"a":' * 10_000, b'{"a":1e99999'],
)
def test_words_that_are_none_are_refused(what: bytes, body: bytes) -> None:
    with pytest.raises(frames.Broken):
        frames.words_of(frames.Frame(what, 0, body))


@pytest.mark.parametrize("what", sorted(frames.LIMITS))
def test_a_header_that_announces_too_much_is_refused_before_it_is_sent(what: bytes) -> None:
    with pytest.raises(frames.Broken, match="more than"):
        list(frames.Reader().feed(struct.pack("<IIc", frames.LIMITS[what] + 1, 0, what)))


def test_a_letter_that_is_no_frame_is_refused() -> None:
    with pytest.raises(frames.Broken, match="no frame begins with"):
        list(frames.Reader().feed(b"Traceback (most recent call last):"))


@given(ANY_TEXT, st.binary(max_size=20), ANY_TEXT)
def test_facts_come_back_equal_with_names_that_are_no_utf8(text: str, raw: bytes, value: str) -> None:
    facts = Facts(text=text, raw=raw, took=Duration(1.5), size=Size(7), table={3: value})

    frame = _one(frames.pack_facts(4, facts))

    assert frame.entry == 4
    assert frames.facts_of(frame, Facts) == facts


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers(-(2**70), 2**70) | st.booleans() | st.none(), max_size=6))
def test_words_come_back_equal(words: dict[str, Any]) -> None:
    assert frames.words_of(_one(frames.pack_words(words))) == words


def test_words_never_fail_whatever_they_hold() -> None:
    deep: list[Any] = []
    deep.append(deep)
    told = frames.words_of(
        _one(frames.pack_words({"doing": "x" * 200_000, "what": object(), "deep": deep, "n": 2**80}))
    )

    assert told["doing"].startswith("xxx")
    assert len(told["doing"]) < 2000
    assert "object object" in told["what"]
    assert told["n"] == 2**80


def test_facts_that_are_too_large_are_refused_where_they_are_made() -> None:
    with pytest.raises(frames.Broken, match="more than"):
        frames.pack_facts(0, Facts(text="x" * (frames.FACTS_LIMIT + 1)))


def test_facts_of_another_shape_are_refused_by_name() -> None:
    with pytest.raises(frames.Broken, match="text"):
        frames.facts_of(frames.Frame(frames.FACTS, 0, b'{"text": 3}'), Facts)
