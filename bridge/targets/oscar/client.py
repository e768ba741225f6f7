"""A client of OSCAR's REST API: upstream's managers since version 3, and ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bridge.errors import AccessError, NotFoundError
from bridge.secret import Secret
from bridge.targets.oscar._answers import RemoteJob, RemoteService, jobs_in, storage_in
from bridge.targets.oscar._http import Requests
from bridge.targets.oscar.access import ClusterAccess

if TYPE_CHECKING:
    import httpx

__all__ = ["OscarClient"]

_SERVICES: Final = "/system/services"
_BUCKETS: Final = "/system/buckets"
# A manager answers an update in seconds, but not one that pulls an image first.
_WRITE: Final = 60.0
_PREFETCH: Final = 400.0
_PAGES: Final = 1000
# What only our manager answers.
_OURS: Final = "/api/v1"
# It decides again thousands of times.
_COMPARED: Final = 300.0


class OscarClient:
    """One cluster. Thread-safe. Errors are those of `Requests.send`; bodies are plain JSON values.

    MissingToolError without httpx. `transport` is for tests.
    """

    def __init__(
        self, access: ClusterAccess, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.access = access
        self._requests = Requests(access, transport=transport)
        self._tokens: dict[str, Secret] = {}

    @property
    def id(self) -> str:
        """The cluster's name."""
        return self.access.id

    def close(self) -> None:
        """Close the connections."""
        self._requests.close()

    def info(self) -> Mapping[str, Any]:
        """What the manager says of itself; the cheapest request that needs credentials."""
        found = self._requests.json("/system/info")
        return found if isinstance(found, Mapping) else {}

    def status(self) -> Mapping[str, Any]:
        """The cluster's nodes and what is free of them, its manager, and its object store."""
        found = self._requests.json("/system/status")
        return found if isinstance(found, Mapping) else {}

    def storage(self) -> tuple[dict[str, Any], dict[str, Secret]]:
        """Settings and this user's credentials of the cluster's own MinIO."""
        return storage_in(self._requests.json("/system/config"))

    # --- services ---------------------------------------------------------------------------

    def services(self) -> list[RemoteService]:
        """The services that this user sees."""
        found = self._requests.json(_SERVICES)
        return [RemoteService.of(one) for one in found] if isinstance(found, list) else []

    def service(self, name: str) -> RemoteService | None:
        """One service; None when there is none of that name."""
        try:
            found = RemoteService.of(self._requests.json(f"{_SERVICES}/{quote(name, safe='')}"))
        except NotFoundError:
            return None
        if found.token:
            self._tokens[name] = found.token
            self._requests.hide([found.token])
        return found

    def estimates(self, name: str) -> Mapping[str, Any]:
        """What was learned from a service's runs: `/api/v1/estimates` of our own manager.

        NotFoundError where there is no such service, or where the manager is OSCAR's.
        """
        found = self._requests.json("/api/v1/estimates", {"service": name})
        return found if isinstance(found, Mapping) else {}

    def create(self, body: Mapping[str, Any], secrets: Iterable[Secret] = ()) -> None:
        """Make a service. `secrets` are what the body holds, to be kept out of messages."""
        self._write("POST", body, secrets)

    def update(self, body: Mapping[str, Any], secrets: Iterable[Secret] = ()) -> None:
        """Change a service; blank secrets in the body mean that they stay."""
        self._write("PUT", body, secrets)

    def _write(self, method: str, body: Mapping[str, Any], secrets: Iterable[Secret]) -> None:
        self._requests.hide(secrets)
        timeout = _PREFETCH if body.get("image_prefetch") else _WRITE
        self._requests.send(method, _SERVICES, json=body, timeout=timeout)

    def delete(self, name: str) -> None:
        """Delete a service; nothing when it is not there. Upstream deletes its buckets too."""
        try:
            self._requests.send("DELETE", f"{_SERVICES}/{quote(name, safe='')}")
        except NotFoundError:
            return

    def rotate_token(self, name: str) -> Secret:
        """Give a service a new token, in the old one's place; only our own manager can.

        NotFoundError where there is no such service, or where the manager is OSCAR's.
        """
        path = f"/api/v1/services/{quote(name, safe='')}/token"
        found = self._requests.json(path, posted={})
        token = Secret(str(found["token"]))
        self._tokens[name] = token
        self._requests.hide([token])
        return token

    def retire(self, name: str) -> None:
        """Delete a service and keep its data; nothing when it is not there.

        Upstream deletes the buckets of a service's inputs and outputs with the service. It keeps
        those that an update took out, so they are taken out first.
        """
        found = self.service(name)
        if found is None:
            return
        if found.paths("input") or found.paths("output"):
            self.update({**found.document, "input": [], "output": []})
        self.delete(name)

    # --- jobs -------------------------------------------------------------------------------

    def run(self, service: str, body: bytes, timeout: float) -> bytes:
        """The reply to a synchronous request, as it comes; `timeout` in seconds."""
        return self._invoke("/run", service, body, {}, timeout).content

    def submit(self, service: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Start a job. See `Requests.send`: after MaybeDone there may be one."""
        self._invoke("/job", service, body, headers, 60.0)

    def _invoke(
        self, route: str, service: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> httpx.Response:
        """With the service's own token, which both generations take; read anew when refused."""
        path = f"{route}/{quote(service, safe='')}"
        known = self._tokens.get(service)
        if known is not None:
            try:
                return self._requests.send(
                    "POST", path, body=body, headers=headers, bearer=known, timeout=timeout
                )
            except AccessError:
                self._tokens.pop(service, None)
        return self._requests.send(
            "POST",
            path,
            body=body,
            headers=headers,
            bearer=self._token(service),
            timeout=timeout,
        )

    def _token(self, service: str) -> Secret | None:
        """The service's token; None where the cluster does not show it."""
        found = self.service(service)
        if found is None:
            raise NotFoundError(
                f"cluster {self.id} has no service {service}",
                hint="`oscar-bridge apply` makes the services of a file",
            )
        return found.token

    def jobs(self, service: str) -> Iterator[RemoteJob]:
        """The jobs of a service, page by page, in no order; one request for each page."""
        token = ""
        for _ in range(_PAGES):
            answer = self._requests.json(self._log(service), {"page": token} if token else None)
            yield from jobs_in(answer)
            following = answer.get("next_page") if isinstance(answer, Mapping) else ""
            if not following or following == token:
                return
            token = str(following)

    def log(self, service: str, job: str, *, timestamps: bool = False) -> list[str]:
        """The lines of a job's log so far. NotFoundError when there is no such job."""
        query = {"timestamps": "true"} if timestamps else None
        return self._requests.send("GET", self._log(service, job), query=query).text.splitlines()

    def cancel(self, service: str, job: str) -> None:
        """Stop a job and take it off the list; nothing when it is not there."""
        try:
            self._requests.send("DELETE", self._log(service, job))
        except NotFoundError:
            return

    def _log(self, service: str, job: str = "") -> str:
        path = f"/system/logs/{quote(service, safe='')}"
        return f"{path}/{quote(job, safe='')}" if job else path

    # --- decisions --------------------------------------------------------------------------

    def decision(self, job: str) -> Mapping[str, Any] | None:
        """Why a job went where it did; None for no such job, and of upstream's managers."""
        return self._known(f"{_OURS}/jobs/{quote(job, safe='')}/decision")

    def decision_now(self, service: str) -> Mapping[str, Any] | None:
        """Where a job of the service would go now; None as for `decision`."""
        return self._known(f"{_OURS}/services/{quote(service, safe='')}/decision")

    def compared(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """What policies would have done with jobs; NotFoundError of upstream's managers."""
        path = f"{_OURS}/policies/compare"
        found = self._requests.send("GET", path, query=query, timeout=_COMPARED).json()
        return found if isinstance(found, Mapping) else {}

    def _known(self, path: str) -> Mapping[str, Any] | None:
        try:
            found = self._requests.json(path)
        except NotFoundError:
            return None
        return found if isinstance(found, Mapping) else None

    # --- buckets ----------------------------------------------------------------------------

    def buckets(self) -> list[Mapping[str, Any]]:
        """The buckets that this user sees, as the cluster has them."""
        found = self._requests.json(_BUCKETS)
        if isinstance(found, Mapping):  # as some versions wrap the list
            found = found.get("buckets")
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []

    def bucket(self, name: str) -> Mapping[str, Any]:
        """One bucket with its first objects. NotFoundError when there is none."""
        found = self._requests.json(_bucket(name))
        return found if isinstance(found, Mapping) else {}

    def create_bucket(self, name: str, visibility: str, users: Iterable[str]) -> None:
        """Make a bucket; PermanentError when there is one of that name."""
        wish = {"bucket_name": name, "visibility": visibility, "allowed_users": list(users)}
        self._requests.send("POST", _BUCKETS, json=wish)

    def delete_bucket(self, name: str) -> None:
        """Remove a bucket with everything in it. NotFoundError when there is none."""
        self._requests.send("DELETE", _bucket(name))

    def presign(self, bucket: str, key: str, operation: str, seconds: int) -> Mapping[str, Any]:
        """`url`, `method` and `expires_at` of one operation, `upload` or `download`."""
        wish = {"object_key": key, "operation": operation, "expires_in": seconds}
        found = self._requests.json(f"{_bucket(bucket)}/presign", posted=wish)
        return found if isinstance(found, Mapping) else {}


def _bucket(name: str) -> str:
    return f"{_BUCKETS}/{quote(name, safe='')}"
