"""Two servers as a state file names them: one found by its name, one by an SRV label."""

from __future__ import annotations

import msgspec

from resolverd.config import StateServer
from shm.standing import ConfiguredServer

LABEL = "_web._tcp.app.test"
NAMED = StateServer(
    slot=0,
    backend_id=3,
    backend_name="be",
    backend_id_given=False,
    id=1,
    name="s1",
    id_given=True,
    configured=ConfiguredServer("app.test", None, 80, disabled=False, checked=True, rise=2, fall=3),
    resolution_index=0,
    weight=10,
    check_port=81,
    check_address=None,
)
SERVICE = msgspec.structs.replace(
    NAMED,
    slot=1,
    name="s2",
    configured=NAMED.configured._replace(fqdn=None, service=LABEL),
)
