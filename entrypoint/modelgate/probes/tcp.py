"""tcp: HOST:PORT accepts a connection. It is closed at once; nothing is sent."""

from modelgate.probes import net, url
from modelgate.probes.answers import Answer, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec


def ask(spec: Spec, call: Call) -> Answer:
    """Ready when one address of the name accepts."""
    sock, peer = net.connect(call, *url.endpoint(str(spec.tcp)))
    sock.close()
    return Ready(why=f"{peer} accepted the connection", peers=(peer,))
