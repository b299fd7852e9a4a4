"""grpc: the standard health service (grpc.health.v1.Health/Check) answers SERVING. Plain text, no TLS.

The connection is tried by hand first: gRPC says UNAVAILABLE for a wrong name, a closed port and a dead host alike.
Proxies of the environment are not used. Needs grpcio and grpcio-health-checking (`modelgate[grpc]`).
"""

from typing import Any

from modelgate.probes import net, url
from modelgate.probes.answers import Answer, Never, NotYet, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec
from modelgate.probes.url import join

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # The shared pool would hand the backoff of one attempt on to the next.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 1 << 16),
)


def ask(spec: Spec, call: Call) -> Answer:
    """Ready when `service` (the whole server when none is named) is SERVING."""
    try:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc
    except ImportError as error:
        why = f"this installation of modelgate cannot speak gRPC: {error}"
        return Never(cause="no-grpc", why=why, errno=type(error).__name__)
    host, port = url.endpoint(str(spec.grpc), "grpc")
    sock, peer = net.connect(call, host, port)
    sock.close()
    family = "ipv6" if peer.startswith("[") else "ipv4"
    service = spec.service or ""
    options = (*_OPTIONS, ("grpc.default_authority", join(host, port)))
    with grpc.insecure_channel(f"{family}:{peer}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=call.left())
        except grpc.RpcError as error:
            return _refused(error, service, peer, call)
        except TimeoutError:
            return NotYet(cause="silent", why=f"no time was left to ask {peer}", errno="ETIMEDOUT", peers=(peer,))
    named = service or "the server"
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return Ready(why=f"{named} is SERVING", peers=(peer,))
    return NotYet(cause="status", why=f"{named} is {state}", errno=state, peers=(peer,))


def _refused(error: Any, service: str, peer: str, call: Call) -> Answer:
    code, details = error.code().name, " ".join((error.details() or "").split())[:200]
    why = f"{code}: {details}" if details else code
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return Never(cause="denied", why=why, errno=code, peers=(peer,))
    if code == "DEADLINE_EXCEEDED":
        why = f"{peer} accepted the connection and gave no answer within {call.seconds:.1f} s"
        return NotYet(cause="silent", why=why, errno=code, peers=(peer,))
    if code == "NOT_FOUND":
        return NotYet(cause="status", why=f"the server knows no service {service!r} ({why})", errno=code, peers=(peer,))
    if code == "UNIMPLEMENTED":
        # A proxy whose route is not there yet says so too.
        why = f"the server does not offer grpc.health.v1 ({why})"
        return NotYet(cause="status", why=why, errno=code, peers=(peer,))
    return NotYet(
        cause="protocol" if code in ("UNAVAILABLE", "INTERNAL", "UNKNOWN") else "status",
        why=why,
        errno=code,
        peers=(peer,),
    )
