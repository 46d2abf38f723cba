"""A small client of Wireroom's own HTTP API, for the command line and the demo."""

from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from models.errors import WireroomError

_TIMEOUT_S: Final = 30.0
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ApiError(WireroomError):
    """The API refused, or could not be reached. The text is fit to be shown."""


class Client:
    """One workspace of one Wireroom, by its API."""

    def __init__(self, url: str, workspace: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/workspaces/{quote(workspace, safe='')}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_S,
            # A proxy that the environment names reaches no server on this machine.
            trust_env=httpx.URL(url).host not in _THIS_MACHINE,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON of a GET."""
        return await self._call("GET", path, params=parameters)

    async def post(self, path: str, body: object, *, idempotency_key: str | None = None) -> Any:
        """The JSON that answers a POST of JSON."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return await self._call("POST", path, json=body, headers=headers)

    async def put(self, path: str, body: object) -> Any:
        """The JSON that answers a PUT of JSON."""
        return await self._call("PUT", path, json=body)

    async def contact_for(self, email: str) -> str:
        """The id of the contact with this mail address as ``externalId``, made where there is none."""
        contact = await self.put(f"/contacts/by-external-id/{quote(email, safe='')}", {"email": email})
        return str(contact["id"])

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            url = self._http.base_url
            port = url.port or (443 if url.scheme == "https" else 80)
            raise ApiError(
                f"no answer from {url.host}:{port} ({type(error).__name__}): is `wireroom up` running there? "
                "--url or WIREROOM_PUBLIC_URL names another place"
            ) from error
        if answer.is_success:
            return answer.json()
        raise ApiError(_explain(answer))


def _explain(answer: httpx.Response) -> str:
    """What a problem document (RFC 9457) says, in one line."""
    try:
        problem = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code}"
    if not isinstance(problem, dict):
        return f"HTTP {answer.status_code}"
    said = [str(problem[name]) for name in ("title", "detail", "failureReason") if problem.get(name)]
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            pointer, detail = str(error.get("pointer", "")), str(error.get("detail", ""))
            # Where one thing alone is wrong, the problem's own detail is its sentence.
            said.append(pointer if detail in said else f"{pointer}: {detail}")
    return " · ".join([f"HTTP {answer.status_code}", *filter(None, said)])
