"""Give the server a variable, or take one away."""

import re

from modelgate.finding import IMAGE, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote, scalar

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE|_KEY$|_PAT$", re.IGNORECASE
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what a shell can export


def is_secret(name: str) -> bool:
    """The name looks like that of a secret."""
    return _SECRET.search(name) is not None


def supply(place: Place, name: str) -> tuple[Fix, ...]:
    """Set a variable where the container is described. VALUE stands for what only the reader knows."""
    shown, plain = scalar(name), _PLAIN.fullmatch(name) is not None
    if is_secret(name):
        key = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or "value"
        source = f"    valueFrom:\n      secretKeyRef: {{name: {key}, key: value}}"
        return per_platform(
            place,
            f"Give the container {name} from a secret",
            {
                "kubernetes": f"# kubectl create secret generic {key} --from-literal=value=VALUE\n"
                f"env:\n  - name: {shown}\n{source}",
                "compose": f"# with the value of {name} in the file .env beside compose.yaml\n"
                f"services:\n  model:\n    environment:\n      - {shown}",
                "docker": f"# with the value of {name} in the file model.env\ndocker run --env-file model.env ...",
                "shell": f"read -rs {name} && export {name}" if plain else _env(name),
            },
        )
    return per_platform(
        place,
        f"Set {name} for the container, or in the manifest under env.set",
        {
            "kubernetes": f'env:\n  - name: {shown}\n    value: "VALUE"',
            "compose": f'services:\n  model:\n    environment:\n      {shown}: "VALUE"',
            "docker": f"docker run -e {quote(f'{name}=VALUE')} ...",
            "shell": f"export {name}=VALUE" if plain else _env(name),
        },
    )


def remove(place: Place, name: str) -> tuple[Fix, ...]:
    """Take a variable away: where the container is described, or in front of the gate when the image sets it."""
    fixes = per_platform(
        place,
        f"Take {name} out of the container's environment",
        {
            "kubernetes": f"kubectl set env deployment/NAME {quote(f'{name}-')}",
            "compose": f"# without a value the variable is taken away, one of the image too\n"
            f"services:\n  model:\n    environment:\n      - {scalar(name)}",
            "docker": f"# without a value the variable is taken away, one of the image too\n"
            f"env -u {quote(name)} docker run -e {quote(name)} ...",
            "shell": f"unset {name}" if _PLAIN.fullmatch(name) else f"env -u {quote(name)} modelgate -- ...",
        },
    )
    image = Fix(
        when="the image sets it (ENV in its Dockerfile)",
        do="Remove that ENV line, or start the gate without the variable",
        snippet=_entrypoint(name),
        who=IMAGE,
    )
    return (*fixes, image)


def _env(name: str) -> str:
    return f"env {quote(f'{name}=VALUE')} modelgate -- ..."


def _entrypoint(name: str) -> str:
    import json

    return f'ENTRYPOINT ["env", "-u", {json.dumps(name)}, "modelgate", "--"]'
