"""OSCAR clusters behind their REST API: upstream's managers of both generations, and ours.

    access     where a cluster is and with which credentials
    client     its API        body       a service as the API takes it
    compare    what differs between a wanted service and the one there
    target     jobs there, behind the protocol of all targets

httpx is loaded with the first client.
"""

from bridge.targets.oscar._answers import RemoteJob, RemoteService
from bridge.targets.oscar.access import ClusterAccess, access_in, access_to, known_clusters
from bridge.targets.oscar.client import OscarClient
from bridge.targets.oscar.target import OscarTarget

__all__ = [
    "ClusterAccess",
    "OscarClient",
    "OscarTarget",
    "RemoteJob",
    "RemoteService",
    "access_in",
    "access_to",
    "known_clusters",
]
