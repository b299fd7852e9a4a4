"""`modelgate probe [startup|ready|live]`: the exec probe of Kubernetes and the HEALTHCHECK of Docker.

Why it stands apart: a probe runs every few seconds beside a server that needs the machine, within a budget of twice a
bare interpreter. So this package imports nothing but os, sys, time and C modules of the standard library; what `json`,
`socket` and `http` do is written out by hand, because each of them alone costs as much as a bare interpreter.
"""


def main(args: list[str]) -> int:
    """Answer, and print one line. 0 yes, 1 no, 64 wrong usage."""
    from modelgate.probe.answer import main as answer

    return answer(args)
