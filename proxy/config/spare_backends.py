"""Backends that files do not have, kept for those that are added at run time.

A backend is added with the settings of a named `defaults` section, and no others. So it is made
when the files are read, with all that the program has for a backend, and gets its name later
(proxy/members/table_changes.py).
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft, ProxyKind, ServerStateSource, inherit
from proxy.config.model.settings import has_fixed_weights
from proxy.config.sections import Sections


def spare_backends(sections: Sections) -> list[ProxyDraft]:
    """Backends for `add backend <name> from <defaults>`, nameless until then.

    Sections that are ambiguous, or whose backends would get no servers at run time, have none.
    """
    spare: list[ProxyDraft] = []
    for name, defaults in sections.named_defaults():
        if not serves_at_run_time(defaults):
            continue
        for number in range(1, sections.globals.spare_backends + 1):
            placeholder = f"spare backend {number} from {name}"  # no section can be called so
            draft = inherit(defaults, placeholder, ProxyKind.BACKEND, defaults.origin)
            draft.spare_of, draft.server_state = name, ServerStateSource.NONE
            spare.append(draft)
    return spare


def serves_at_run_time(defaults: ProxyDraft) -> bool:
    """Whether a backend with these settings can get servers and clients at run time.

    Rules are linked to the section that they stand in, and so are checks that say its name.
    """
    named = "be_name" in repr(defaults.check_rules)
    fixed = has_fixed_weights(defaults.balance, hash_consistent=defaults.hash_consistent)
    served = defaults.mode == "tcp" and not defaults.disabled
    return served and defaults.rules.empty and not (named or fixed)
