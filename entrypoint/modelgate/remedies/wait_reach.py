"""The dependency cannot be reached: nobody listens, no such name, no way there."""

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.probes.spec import Spec
from modelgate.probes.url import join
from modelgate.remedies import per_platform, quote
from modelgate.remedies.wait_words import is_address, is_loopback, longer, service, target


def refused(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    host, port = target(spec)
    if is_loopback(host):
        return (*_own_loopback(port, place), *longer(spec))
    name, namespace = service(host)
    listed = f"kubectl get services,endpoints -A -o wide | grep {quote(host)}"
    return (
        *per_platform(
            place,
            f"See whether {host} runs and listens on port {port}",
            {
                "kubernetes": listed
                if is_address(host)
                else f"kubectl get endpoints {quote(name)}{namespace}  # none listed: "
                f"no pod behind it is ready\nkubectl describe service {quote(name)}{namespace}",
                "compose": _compose(name),
                "docker": f"docker ps -a --filter name={quote(name)}\ndocker logs --tail 50 {quote(name)}",
                "shell": f"ss -ltnp 'sport = :{port}'  # on {host}",
            },
        ),
        *longer(spec),
    )


def _compose(name: str) -> str:
    word = quote(name)
    return (
        f"docker compose ps -a {word}; docker compose logs --tail 50 {word}\n"
        f"# started with the model:\nservices:\n  model:\n    depends_on: [{name}]"
    )


def _own_loopback(port: int, place: Place) -> tuple[Fix, ...]:
    do = "Name the other container: inside a container, localhost is that container alone"
    return per_platform(
        place,
        do,
        {
            "kubernetes": f"kubectl get services  # then write NAME:{port} in the manifest",
            "compose": f"docker compose ps  # then write SERVICE:{port} in the manifest",
            "docker": "docker network create models; docker network connect models CONTAINER\n"
            f"# then write CONTAINER:{port} in the manifest and start with --network models",
            "shell": f"ss -ltnp 'sport = :{port}'",
        },
    )


def dns(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    host, _ = target(spec)
    name, namespace = service(host)
    return (
        *per_platform(
            place,
            f"See whether {host} exists under this name, and write it as it is known there",
            {
                "kubernetes": f"kubectl get service {quote(name)}{namespace}\n"
                f"# in another namespace its name is {name}.NAMESPACE.svc.cluster.local",
                "compose": f"# the name of the service, on a network that both are on\nservices:\n  {name}:\n"
                f"    networks: [models]\n  model:\n    networks: [models]\n    depends_on: [{name}]\n"
                "networks: {models: {}}",
                "docker": "# names resolve on networks of your own only, not on the default one\n"
                f"docker network create models\ndocker network connect models {quote(name)}\n"
                "docker run --network models ...",
                "shell": f"getent ahosts {quote(host)}; cat /etc/resolv.conf",
            },
        ),
        *longer(spec),
    )


def resolver(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    host, _ = target(spec)
    return (
        *per_platform(
            place,
            "See whether the name servers of this container answer",
            {
                "kubernetes": "kubectl -n kube-system get pods -l k8s-app=kube-dns\n"
                "kubectl get networkpolicies -A  # egress to port 53 must be open",
                "compose": f"docker compose run --rm --entrypoint getent model ahosts {quote(host)}",
                "docker": f"docker run --rm --entrypoint getent IMAGE ahosts {quote(host)}\n"
                "# or name a server: docker run --dns ADDRESS ...",
                "shell": f"cat /etc/resolv.conf; getent ahosts {quote(host)}",
            },
            CLUSTER,
        ),
        *longer(spec),
    )


def no_way(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    host, port = target(spec)
    name, namespace = service(host)
    return (
        *per_platform(
            place,
            f"Open the way to {join(host, port)}: a policy, a firewall or a route drops the connection",
            {
                "kubernetes": f"kubectl get networkpolicies -A\nkubectl get pods -o wide{namespace}  # is its node up?",
                "compose": f"docker compose ps -a {quote(name)}  # is it up, and on the same network?",
                "docker": "docker network inspect NETWORK  # are both containers on it?",
                "shell": f"ip route get {quote(host)}"
                if is_address(host)
                else f"ip route get $(getent hosts {quote(host)} | awk '{{print $1}}')",
            },
            CLUSTER,
        ),
        *longer(spec),
    )
