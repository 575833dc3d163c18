"""An offline CometChat: its REST side, its client side, and the switches where sources disagree.

It knows nothing of tokensvc: it is written from the vendor's public documentation,
the code of its published SDKs and recorded answers, so that a misreading in our
client is not repeated here. Nothing in it was compared with the live service; what
is a guess is marked `unverified`.

It does not do: messages, groups, calls, conversations, blocking, friends, API key
management, webhooks, the WebSocket (logging in works without), push, presence,
moderation, analytics. `onBehalfOf` and a list's `count` are ignored. Everything is
kept in memory and gone at the end.
"""

from tokensvc.emulator.server import EmulatorServer
from tokensvc.emulator.switches import Switches
from tokensvc.emulator.world import World

__all__ = ["EmulatorServer", "Switches", "World"]
