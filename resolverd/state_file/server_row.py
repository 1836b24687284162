"""One server's row, for `show servers state` and for state files alike. Pure.

Owns which field of a row is which number or name of a server. Reads no segment.
"""

from __future__ import annotations

from resolverd.config import StateServer
from resolverd.state_file.format import StateRow
from shm.standing import Standing


def row_of(server: StateServer, standing: Standing) -> StateRow:
    """One server's row (management manual 9.3, `show servers state`)."""
    fqdn, service = standing.names
    order = standing.aimed
    check_address = server.check_address if order.address is None else order.address
    check_port = server.check_port if order.port is None else order.port
    address, port = server.check_address, server.check_port  # `addr` and `port` mean both
    if standing.orders is not None:
        address = standing.orders.address or server.agent_address
        port = standing.orders.port or server.agent_port
    return StateRow(
        backend_id=server.backend_id,
        backend=server.backend_name,
        server_id=server.id,
        server=server.name,
        address=standing.address,
        operational=int(standing.operational),
        admin=standing.admin_mask,
        weight=standing.state.weight,
        configured_weight=server.weight,
        check_status=standing.check_status,
        check_result=standing.check_result,
        check_health=standing.check_health,
        check_state=standing.check_state,
        backend_id_given=int(server.backend_id_given),
        server_id_given=int(server.id_given),
        fqdn=fqdn,
        port=standing.port,
        service=service,
        check_port=check_port,
        check_address=check_address,
        agent_state=standing.agent_state,
        agent_address=address,
        agent_port=port,
    )
