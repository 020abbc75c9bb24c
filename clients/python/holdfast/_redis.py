"""Makes clients of our own from the settings of the client that the program has."""

from typing import Any

from redis.backoff import NoBackoff

from . import _core


def options(retry_class: Any, timeout: float) -> dict:
    """Returns the options of our own connections: replies are bytes, waits end, and no command is sent
    twice."""
    return {
        "decode_responses": False,
        "retry": retry_class(NoBackoff(), 0),
        "retry_on_timeout": False,
        "socket_timeout": timeout,
    }


def duplicate(client: Any, cluster_class: Any, retry_class: Any, timeout: float) -> Any:
    own = options(retry_class, timeout)
    if callable(client):  # Sentinel, or whatever else is made in a way of its own
        return client(**own)
    if isinstance(client, cluster_class):
        kept = dict(getattr(client, "connection_kwargs", None) or client.nodes_manager.connection_kwargs)
        nodes = client.get_nodes()
        for gone in ("redis_connect_func", "retry", "host", "port", "server_type", "response_callbacks", "parser_class", "encoder_class"):
            kept.pop(gone, None)
        if "cluster_error_retry_attempts" in cluster_class.__init__.__code__.co_varnames:
            own["cluster_error_retry_attempts"] = 1
        own.pop("retry_on_timeout")
        if not hasattr(client.nodes_manager, "connection_kwargs") or "retry" not in cluster_class.__init__.__code__.co_varnames:
            own.pop("retry", None)
        return cluster_class(host=nodes[0].host, port=nodes[0].port, **{**kept, **own})
    pool = client.connection_pool
    kept = {**pool.connection_kwargs, **own}
    kept.pop("retry_on_error", None)
    copy = type(pool)(connection_class=pool.connection_class, **kept)
    return type(client)(connection_pool=copy)


def parse(error: Exception) -> _core.Refused:
    """An answered error. redis-py takes the word ERR off; the others stay."""
    return _core.Refused(str(error))
