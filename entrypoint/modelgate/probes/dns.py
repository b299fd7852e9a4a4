"""dns: a name resolves, by the same resolver and search domains that the server will use.

A name that does not exist is never hopeless: on Kubernetes it comes with its Service.
"""

from modelgate.probes import url
from modelgate.probes.answers import Answer, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec


def ask(spec: Spec, call: Call) -> Answer:
    """Ready with the addresses."""
    name = url.host(str(spec.dns))
    found = tuple(dict.fromkeys(str(address[0]) for _, address in call.addresses(name, 0)))
    return Ready(why=f"{name} is {', '.join(found)}", peers=found)
