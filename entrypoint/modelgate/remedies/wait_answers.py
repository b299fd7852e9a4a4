"""The dependency is there and gives another answer than the wanted one, or none."""

from modelgate.finding import IMAGE, Fix
from modelgate.host import Place
from modelgate.probes.spec import Spec
from modelgate.probes.url import show
from modelgate.remedies import per_platform, quote
from modelgate.remedies.wait_words import entry, is_address, is_loopback, longer, service, target
from modelgate.units import show_seconds


def look_at_it(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    """It is there and gives no good answer: its own log knows why."""
    host, _ = target(spec)
    name, namespace = service(host)
    ask = f"curl -i {quote(show(spec.http))}" if spec.http else "ss -ltnp  # which program listens there?"
    logs = {
        "kubernetes": f"kubectl logs{namespace} service/{quote(name)} --tail 50",
        "compose": f"docker compose logs --tail 50 {quote(name)}",
        "docker": f"docker logs --tail 50 {quote(name)}",
    }
    if is_loopback(host):  # it runs in this very pod or container: there is no other name to ask for
        logs = {
            "kubernetes": "kubectl logs POD --all-containers --tail 50",
            "compose": "docker compose logs --tail 50",
            "docker": "docker ps  # which container shares this network?\ndocker logs --tail 50 CONTAINER",
        }
    elif is_address(host):
        logs = {
            "kubernetes": f"kubectl get pods,services -A -o wide | grep -wF {quote(host)}",
            "compose": f"docker compose ps -q | xargs docker inspect | grep -F {quote(host)}",
            "docker": f"docker ps -q | xargs docker inspect | grep -F {quote(host)}",
        }
    fixes = per_platform(place, f"See in the log of {host} why it is not ready", {**logs, "shell": ask})
    return (*fixes, *longer(spec))


def status(spec: Spec, path: str, place: Place, seen: int | None = None) -> tuple[Fix, ...]:
    """`seen` is the HTTP status of the last answer, if it is known."""
    if spec.grpc:
        return (
            *look_at_it(spec, path, place),
            entry(
                "the service has another name, or none",
                'Ask for the right one; "" asks for the whole server',
                'service: ""',
            ),
        )
    return (*look_at_it(spec, path, place), *_other_answer(spec, seen))


def _other_answer(spec: Spec, seen: int | None) -> tuple[Fix, ...]:
    """The wait asks for the wrong thing: another page, another status, another body."""
    wrong_page: tuple[Fix, ...] = ()
    if seen in (404, 405, 410):
        parts = show(str(spec.http)).split("/", 3)
        wrong_page = (entry("another page tells its health", "Ask for that page", f"http: {'/'.join(parts[:3])}/PATH"),)
    if seen is not None and not _status_fits(spec, seen):
        good = "status: 200" if seen == 200 else f"status: [200, {seen}]"
        return (*wrong_page, entry("this answer is as good as ready", "Say which answer is, in the manifest", good))
    if spec.body or spec.json:
        asked = "body: 'REGULAR EXPRESSION'" if spec.body else "json: {KEY: VALUE}"
        return (entry("this answer is as good as ready", "Ask for what a ready one says", asked),)
    return (entry("this answer is as good as ready", "Say which answer is, in the manifest", "status: [200, NUMBER]"),)


def _status_fits(spec: Spec, seen: int) -> bool:
    wanted = spec.status
    if isinstance(wanted, int):
        return seen == wanted
    return seen in wanted if isinstance(wanted, tuple) else 200 <= seen < 300


def slow(spec: Spec, path: str, place: Place) -> tuple[Fix, ...]:
    more = f"attempt_timeout: {show_seconds(spec.attempt_timeout * 4).replace(' ', '')}"
    return (
        *look_at_it(spec, path, place),
        entry("it answers, only slowly", "Give each attempt more time", more),
    )


def redirect(_spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    return (
        entry("the redirect leads to the right page", "Write the URL where it ends", "http: URL"),
        entry(
            "a redirect is as good as ready", "Do not follow it", "redirects: false\nstatus: [301, 302, 303, 307, 308]"
        ),
    )


def denied(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    if spec.grpc:
        return (
            entry("an open port is enough", "Open its health service to this workload, or wait for the port alone",
                  f'- tcp: "{spec.grpc}"'),
        )  # fmt: skip
    what = "a valid token" if spec.headers or "@" in str(spec.http) else "a token"
    use = '# and in the manifest, for this entry:\nheaders: {Authorization: "Bearer ${DEPENDENCY_TOKEN}"}'
    source = "{secretKeyRef: {name: dependency, key: token}}"
    return (
        *per_platform(
            place,
            f"Send {what} that may read this URL",
            {
                "kubernetes": f"env:\n  - name: DEPENDENCY_TOKEN\n    valueFrom: {source}\n{use}",
                "compose": f"services:\n  model:\n    environment: [DEPENDENCY_TOKEN]  # from .env\n{use}",
                "docker": f"docker run -e DEPENDENCY_TOKEN ...\n{use}",
                "shell": f"export DEPENDENCY_TOKEN=…\n{use}",
            },
        ),
        entry("being up is enough, whoever asks", "Take the refusal as an answer", "status: [200, 401, 403]"),
    )


def grpc(spec: Spec, _path: str, _place: Place) -> tuple[Fix, ...]:
    return (
        Fix(when="gRPC health is what you want", do="Install modelgate with gRPC in the image",
            # pip of the image, for the venv that modelgate lies in; that one has no pip of its own.
            snippet="# after COPY --from=modelgate\n"
            "RUN python3 -m pip --python /opt/modelgate/bin/python3 install grpcio grpcio-health-checking", who=IMAGE),
        entry("an open port is enough", "Wait for the port instead", f'- tcp: "{spec.grpc}"'),
    )  # fmt: skip
