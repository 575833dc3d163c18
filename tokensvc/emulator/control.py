"""The control endpoint: faults ordered over HTTP, by whoever has a key.

It is no part of the vendor's API: `/emulator/faults`, on loopback alone.
"""

from typing import Final

from tokensvc.emulator import errors
from tokensvc.emulator.bodies import parse_json
from tokensvc.emulator.errors import APIError
from tokensvc.emulator.faults import FaultError, Faults, parse_fault
from tokensvc.emulator.front import Request, Response
from tokensvc.emulator.world import World

PATH: Final = "/emulator/faults"
LOOPBACK: Final = ("127.0.0.1", "localhost")


class Control:
    """GET lists the faults in force, POST `{"fault": "429=15;times=3"}` adds one, DELETE clears."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    def is_meant(self, request: Request) -> bool:
        """Return whether *request* is about the emulator itself."""
        host = request.headers.get("host", "").partition(":")[0]
        return request.path == PATH and host in LOOPBACK and request.method != "OPTIONS"

    def answer(self, request: Request) -> Response:
        """Return the answer; a mistake is told in the vendor's envelope."""
        try:
            self._demand_key(request.headers.get("apikey", ""))
            match request.method:
                case "POST":
                    self._faults.order(parse_fault(_order_in(request.body), self._world.now()))
                case "DELETE":
                    self._faults.clear()
                case "GET":
                    pass
                case _:
                    raise errors.path_unknown()
        except APIError as error:
            return Response(error.status, error.envelope(), {})
        except FaultError as error:
            refusal = errors.invalid({"fault": [str(error)]})
            return Response(refusal.status, refusal.envelope(), {})
        return Response(200, {"data": self._faults.listed()}, {})

    def _demand_key(self, key: str) -> None:
        """Keep out the pages that a browser of this machine may show."""
        if not any(key in app.keys for app in self._world.apps.values()):
            raise errors.key_unknown(key)


def _order_in(body: bytes) -> str:
    try:
        order = parse_json(body)
    except ValueError:
        order = None
    fault = order.get("fault") if isinstance(order, dict) else None
    if not isinstance(fault, str):
        raise FaultError('a fault is ordered as {"fault": "KIND[=VALUE][;NAME=VALUE...]"}')
    return fault
