"""Two servers as a state file names them: one found by its name, one by an SRV label."""

from __future__ import annotations

import msgspec

from resolverd.config import StateServer

LABEL = "_web._tcp.app.test"
NAMED = StateServer(
    slot=0,
    backend_id=3,
    backend_name="be",
    backend_id_given=False,
    id=1,
    name="s1",
    id_given=True,
    fqdn="app.test",
    service=None,
    resolution_index=0,
    port=80,
    weight=10,
    disabled=False,
    checked=True,
    rise=2,
    check_port=81,
    check_address=None,
)
SERVICE = msgspec.structs.replace(NAMED, slot=1, name="s2", fqdn=None, service=LABEL)
