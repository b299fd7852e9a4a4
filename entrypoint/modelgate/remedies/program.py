"""Make a file one that the kernel can run: its first line, its line ends, its loader, its machine."""

import os
import re

from modelgate.finding import IMAGE, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote
from modelgate.remedies.launch import RUNNERS, through

_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}  # as Docker and Kubernetes name them


def foreign(place: Place, machine: str, program: str) -> tuple[Fix, ...]:
    """Machine code of another machine."""
    arch = _ARCH.get(machine, machine)
    build = Fix(
        when="the image can be built again",
        do=f"Build it, or the program in it, for {arch}",
        snippet=f"docker buildx build --platform linux/{arch} .",
        who=IMAGE,
    )
    choose = per_platform(
        place,
        "Run the image where it fits",
        {
            "kubernetes": f"nodeSelector: {{kubernetes.io/arch: {_ARCH.get(program, program)}}}",
            "compose": f"services:\n  model:\n    platform: linux/{arch}",
            "docker": f"docker run --platform linux/{arch} ...",
            "shell": f"uname -m   # {machine} here",
        },
    )
    return (build, *choose)


def shebang(path: str, problem: str, words: list[str]) -> tuple[Fix, ...]:
    """A script that the kernel does not know for one."""
    file = quote(path)
    runner = RUNNERS.get(os.path.splitext(path)[1], "sh")
    first = "#!/bin/sh" if runner == "sh" else f"#!/usr/bin/env {runner}"
    do, edit = {
        "text": (f"Add {first} as its first line", f"RUN sed -i '1i {first}' {file}"),
        "bom": ("Remove the byte order mark", f"RUN sed -i '1s/^\\xEF\\xBB\\xBF//' {file}"),
        "first-line": (f"Let the first line be {first}", f"RUN sed -i '1s|.*|{first}|' {file}"),
    }[problem]
    return (Fix(when="it is a script", do=do, snippet=edit, who=IMAGE), *through(runner, path, words))


def line_ends(path: str) -> tuple[Fix, ...]:
    """Carriage returns of another system."""
    return (
        Fix(
            when="now",
            do="Remove the carriage returns",
            snippet=f"RUN sed -i 's/\\r$//' {quote(path)}",
            who=IMAGE,
        ),
        Fix(
            when="it comes from git",
            do="Keep git from adding them",
            snippet=f"echo {quote(f'{os.path.basename(path)} text eol=lf')} >> .gitattributes",
            who=IMAGE,
        ),
    )


def interpreter(script: str, line: str, name: str, found: str, words: list[str]) -> tuple[Fix, ...]:
    """What the first line of a script names is not there; `found` is one of the same name."""
    fixes = []
    if " " in name:
        correct = re.sub(r"^(\S*env)\s+", r"\1 -S ", line)
        fixes.append(
            Fix(
                when="env is to split the words",
                do="Write -S: without it env takes all of them for one name",
                snippet=f"RUN sed -i {quote(f'1s|.*|#!{correct}|')} {quote(script)}",
                who=IMAGE,
            )
        )
    if found:
        edit = f"RUN sed -i {quote(f'1s|.*|#!{found}|')} {quote(script)}"
        fixes.append(Fix(when=f"{found} will do", do="Name it in the first line", snippet=edit, who=IMAGE))
        fixes += through(found, script, words)
    base = os.path.basename(name.partition(" ")[0])
    fixes.append(
        Fix(
            when="it belongs into the image",
            do=f"Install {base}; this line makes the build fail as long as it is not there",
            snippet=f"RUN command -v {quote(name if name.startswith('/') else base)}",
            who=IMAGE,
        )
    )
    return tuple(fixes)


def loader(path: str) -> tuple[Fix, ...]:
    """The loader is another libc's, or another machine's."""
    musl = "musl" in os.path.basename(path)
    built, install = (
        ("musl (Alpine)", "apt-get update && apt-get install -y musl")
        if musl
        else ("glibc", "apk add --no-cache gcompat")
    )
    where = "Debian or Ubuntu" if musl else "Alpine"
    return (
        Fix(
            when="the program can be had for this image",
            do=f"It was built for {built} and the image has another C library: take the build for this one,"
            " a static one, or another base image",
            snippet="FROM alpine" if musl else "FROM debian:stable-slim",
            who=IMAGE,
        ),
        Fix(
            when=f"the image is {where}, and the program needs little of its C library",
            do="Add the loader",
            snippet=f"RUN {install}",
            who=IMAGE,
        ),
    )


def not_a_program(path: str, problem: str) -> tuple[Fix, ...]:
    """Nothing that can be run."""
    do, snippet = {
        "directory": ("Name the program in it", f"ls -l {quote(path)}"),
        "special": ("Name a program", f"ls -l {quote(path)}"),
        "empty": ("Copy it again, and build the image anew", f"RUN test -s {quote(path)}"),
        "cut": ("Copy it again, and build the image anew", f"file {quote(path)}; sha256sum {quote(path)}"),
        "unknown-format": ("Name the program that runs it as the first word", f"file {quote(path)}"),
        "depth": ("Let the first line name a program and not a script", f"head -n 1 {quote(path)}"),
        "loop": ("Remove the link that leads back to itself", f"namei -l {quote(path)}"),
        "io": ("See what the node says about that file system", "dmesg | tail -n 50"),
    }[problem]
    return (Fix(when="the command is to start it", do=do, snippet=snippet, who=IMAGE),)
