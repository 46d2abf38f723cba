"""The API as the commands use it: its errors are those of the command line, a line that is fit to be shown."""

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from models.errors import WireroomError
from wireroom import client


class ApiError(WireroomError):
    """The API refused, or could not be reached. The text is fit to be shown."""


class Client:
    """One workspace of one Wireroom. ``tries``: how often a request is sent at most, where that does nothing twice."""

    def __init__(self, url: str, workspace: str, token: str, *, tries: int = 1) -> None:
        self.url = url
        self.api = client.AsyncWireroom(token, workspace, url, tries=tries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.api.close()

    async def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON of a GET."""
        return await self._call("GET", path, params=parameters)

    async def post(self, path: str, body: object) -> Any:
        """The JSON that answers a POST of JSON."""
        return await self._call("POST", path, json=body)

    async def put(self, path: str, body: object) -> Any:
        """The JSON that answers a PUT of JSON."""
        return await self._call("PUT", path, json=body)

    async def contact_for(self, email: str) -> str:
        """The id of the contact with this mail address as ``externalId``, made where there is none."""
        contact = await self.put(f"/contacts/by-external-id/{quote(email, safe='')}", {"email": email})
        return str(contact["id"])

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            return await self.api.request(method, path, **request)
        except client.WireroomError as error:
            raise shown(error) from error


def shown(error: client.WireroomError) -> ApiError:
    """The same as an error of the command line."""
    if not isinstance(error, client.NoAnswer):
        return ApiError(str(error))
    return ApiError(f"{error}: is `wireroom up` running there? --url or WIREROOM_PUBLIC_URL names another place")
