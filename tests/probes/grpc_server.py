"""A real gRPC server with the health service, steered over stdin: `NAME STATUS` sets one. Prints its port first.

A process of its own: grpc leaves threads behind, and the tests of isolation fork.
"""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses everything."""

    def intercept_service(self, _continuation: object, _details: object) -> object:
        def refuse(_request: object, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse)


def main(mode: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[Guard()] if mode == "guarded" else [])
    servicer = health.HealthServicer()
    if mode != "bare":
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, _, status = line.strip().rpartition(" ")
        servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    server.stop(None).wait()


main(sys.argv[1])
