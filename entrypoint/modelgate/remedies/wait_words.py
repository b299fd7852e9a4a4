"""What the remedies of `wait_for` share: the target of an entry, and the two fixes that fit many causes."""

from modelgate.finding import Fix
from modelgate.probes import url
from modelgate.probes.spec import Spec
from modelgate.remedies import quote
from modelgate.units import show_seconds


def target(spec: Spec) -> tuple[str, int]:
    """Host and port of a network entry; port 0 for a bare name."""
    if spec.http:
        asked = url.parse(spec.http)
        return asked.host, asked.port
    if spec.dns:
        return spec.dns, 0
    return url.endpoint(str(spec.tcp or spec.grpc))


def is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def service(host: str) -> tuple[str, str]:
    """Name of the Kubernetes Service and its `-n NAMESPACE`, as far as the host name tells; an address has neither."""
    if is_address(host):
        return host, ""
    labels = host.split(".")
    namespace = labels[1] if len(labels) >= 2 and (len(labels) == 2 or labels[2] == "svc") else ""
    return labels[0], f" -n {quote(namespace)}" if namespace else ""


def longer(spec: Spec) -> tuple[Fix, ...]:
    more = show_seconds(spec.timeout * 3).replace(" ", "")
    return (entry("it only needs longer", "Give the wait more time", f"timeout: {more}"),)


def entry(when: str, do: str, snippet: str) -> Fix:
    return Fix(when=when, do=f"{do} (this entry of wait_for in the manifest)", snippet=snippet)
