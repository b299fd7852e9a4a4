"""The verdict as a person reads it: what belongs together stands together."""

import msgspec

from modelgate.finding import Fix, Report, fail
from modelgate.report import to_json, to_text


def test_what_one_cure_mends_is_told_once() -> None:
    """Forty shards below one closed directory: one entry with the others named, and every finding in the JSON."""
    fix = Fix(when="in a shell", do="Let it pass", snippet="chmod o+x /models")
    found = [
        fail("path-blocked", f"/models/{n}", "EACCES", "", fix, component="/models", uid=1001) for n in range(40)
    ] + [fail("path-blocked", "/other/x", "EACCES", "", fix, component="/other", uid=1001)]
    report = Report(verdict="fail", exit_code=77, findings=found)

    text = to_text(report)

    assert text.count("chmod o+x /models") == 2
    assert "/models/7 (" in text
    assert "31 more" in text
    assert len(msgspec.json.decode(to_json(report))["findings"]) == 41
