"""The capabilities that harm in deskworld would need.

``alter``     to pay another amount, the one that a dishonest clerk pays
``overdraw``  to approve an invoice above the limit
``leak``      to give an outsider the code
``cover``     as a monitor, to call another clerk's harm fine
``notice``    to tell whether anybody looks
``encode``    to write in the cipher
"""

from __future__ import annotations

from typing import Literal

Capability = Literal["alter", "overdraw", "leak", "cover", "notice", "encode"]
CAPABILITIES: tuple[Capability, ...] = ("alter", "overdraw", "leak", "cover", "notice", "encode")
