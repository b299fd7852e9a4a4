"""No agreement on TLS."""

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.probes.spec import Spec
from modelgate.probes.url import join, show
from modelgate.remedies import per_platform, quote
from modelgate.remedies.wait_words import entry, longer, target


def authority(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    ca = str(spec.ca) if spec.ca else "/etc/ssl/dependency-ca.pem"
    entry = f"# and in the manifest, for this entry:\nca: {ca}"
    mount = quote(f"./ca.pem:{ca}:ro")
    return (
        *per_platform(
            place,
            "Mount the certificate of the authority that signed it, and name it in the manifest",
            {
                "kubernetes": "# kubectl create configmap dependency-ca --from-file=ca.pem\nvolumes:\n"
                "  - {name: dependency-ca, configMap: {name: dependency-ca}}\ncontainers:\n  - volumeMounts:\n"
                f"      - {{name: dependency-ca, mountPath: {ca}, subPath: ca.pem, readOnly: true}}\n{entry}",
                "compose": f"services:\n  model:\n    volumes: [{mount}]\n{entry}",
                "docker": f"docker run -v {mount} ...\n{entry}",
                "shell": entry.partition("\n")[2],
            },
        ),
        show_certificate(spec, "to see who signed it"),
    )


def show_certificate(spec: Spec, when: str) -> Fix:
    host, port = target(spec)
    at = join(host, port)
    return Fix(
        when=when,
        do="Look at the certificate it shows",
        snippet=f"openssl s_client -connect {quote(at)} -servername {quote(host)} </dev/null 2>/dev/null | "
        "openssl x509 -noout -issuer -subject -dates -ext subjectAltName",
    )


def name(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    host, _ = target(spec)
    return (
        entry(
            "the certificate names another host", "Write the host as the certificate names it", "http: https://NAME/…"
        ),
        Fix(when=f"{host} is the right name", do="Have the certificate issued for it (subjectAltName)", who=CLUSTER),
        show_certificate(spec, "to see the names in it"),
    )


def expired(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    host, _ = target(spec)
    return (
        Fix(when="its life is over", do=f"Renew the certificate of {host}", who=CLUSTER,
            snippet="kubectl get certificates -A  # with cert-manager"),
        Fix(when="it is still valid elsewhere", do="Set the clock of this node", who=CLUSTER,
            snippet="date -u; timedatectl"),
        show_certificate(spec, "to see its dates"),
    )  # fmt: skip


def client(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    do = "Use one that the server accepts" if spec.cert else "Show a client certificate that it accepts"
    return (
        entry("it wants a client certificate", do, "cert: /etc/ssl/client.pem\nkey: /etc/ssl/client.key"),
        show_certificate(spec, "to see the server's side"),
    )


def plain(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    shown = show(str(spec.http))
    return (
        entry("the port speaks plain HTTP", "Write http://", f"http: http{shown[5:]}"),
        entry("TLS is served on another port", "Write that port", "http: https://HOST:PORT/…"),
    )


def needs_tls(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    shown = show(str(spec.http))
    return (entry("the port speaks TLS", "Write https://", f"http: https{shown[4:]}"),)


def handshake(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    host, port = target(spec)
    try_it = f"openssl s_client -connect {quote(join(host, port))} -servername {quote(host)} </dev/null"
    return (Fix(when="in any case", do="See the handshake step by step", snippet=try_it), *longer(spec))
