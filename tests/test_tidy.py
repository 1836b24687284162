"""The house rules, as tests: layering, sizes, banned calls, words about the machine.

Each ban names what to use instead. A rule may be broken only beside a comment `# tidy: why`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.support.comments import comments, statements

ROOT = Path(__file__).parent.parent
PACKAGES = ("shm", "resolverd", "proxy")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100
TOUR_LINES_MAX = 200

FOLDER_FILES_MAX = 16
FLAT = ("shm", "proxy/supervisor", "proxy/health", "loadtest")  # one subject, however many files

# Rooms: a folder, or a file that lies beside folders. Each may import those above it here.
ROOMS = (
    *("shm", "shm.tables"),
    "resolverd.config",
    "resolverd.board",
    "resolverd.dns",
    "resolverd.pace",
    "resolverd.resolution",
    "resolverd.assignment",
    "resolverd.log",
    "resolverd.transport",
    "resolverd.records",
    "resolverd.names",
    "resolverd.explain",
    "resolverd.resolv_conf",
    "resolverd.state_file",
    "resolverd.core",
    "resolverd.daemon",
    *("proxy.builds", "proxy.flags", "proxy.arguments"),
    *("proxy.patterns", "proxy.passwords"),
    *("proxy.terminal", "proxy.kernel", "proxy.lists", "proxy.lists.changing"),
    "proxy.config.model",
    "proxy.tls",
    "proxy.log_thread",
    "proxy.log_sockets",
    "proxy.config.text",
    *("proxy.config.check_drafts", "proxy.config.http_drafts"),
    *("proxy.config.rule_drafts", "proxy.config.server_drafts", "proxy.config.drafts"),
    *("proxy.config.report", "proxy.config.lines"),
    "proxy.config.lines.rules",
    "proxy.config.lines.server",
    "proxy.config.lines.proxy",
    "proxy.config.lines.process",
    *("proxy.config.linking.rules", "proxy.config.linking"),
    *("proxy.config.sections", "proxy.config.spare_backends", "proxy.config.outline"),
    *("proxy.config.loader", "proxy.client"),
    "proxy.log",
    *("proxy.server_table", "proxy.members", "proxy.ordered_values", "proxy.server_news"),
    *("proxy.families", "proxy.runtime", "proxy.capacity"),
    *("proxy.rules.codes", "proxy.rules.types", "proxy.rules.sample", "proxy.rules.match"),
    *("proxy.rules.coding", "proxy.rules.moment", "proxy.rules.converting", "proxy.rules.maps"),
    *("proxy.rules.convert", "proxy.rules.variables", "proxy.rules.content", "proxy.rules.tables"),
    *("proxy.rules", "proxy.rules.dry", "proxy.rules.shared"),
    "proxy.relay.state",
    "proxy.relay.proxy_protocol",
    *("proxy.relay.log", "proxy.relay.rules", "proxy.relay.tables", "proxy.relay.sides"),
    *("proxy.relay.balance", "proxy.relay.naming"),
    "proxy.relay.admission",
    "proxy.relay.session",
    *("proxy.relay.changes", "proxy.relay.dump"),
    *("proxy.relay.accept", "proxy.relay.loop"),
    *("proxy.relay.server_filling", "proxy.relay.filling", "proxy.relay.engine"),
    *("proxy.health.dialect", "proxy.health"),
    *("proxy.worker", "proxy.runner"),
    *("proxy.control.limits", "proxy.control.pausing", "proxy.control.old_generations"),
    *("proxy.control.call", "proxy.control.command"),
    "proxy.control.turns",
    *("proxy.control.places", "proxy.control.caller"),
    "proxy.control.acceptor",
    "proxy.control.rows",
    "proxy.control.commands",
    "proxy.control.command_line",
    *("proxy.control.stats_socket", "proxy.control.called", "proxy.control.giving"),
    *("proxy.control.metrics", "proxy.control.situation", "proxy.control.page"),
    "proxy.control.http",
    "proxy.control.retirement",
    *("proxy.control.process", "proxy.master"),
    "proxy.supervisor",
    "proxy.cli",
    "proxy.demo",
    "proxy.__main__",
)

BANNED = {
    r"\bpack_into\(": "struct.pack_into zeroes its target first: use the atomics of shm",
    r"\btime\.sleep\(": "wait for an event with a deadline instead",
    r"\bshell=True": "pass a list of arguments",
    r"\bsignal\.alarm\(": "use the loop's timers",
    r"\bpickle\b": "use msgspec",
    r"#\s*(TODO|FIXME|XXX)\b": "finish it, or say plainly in the head comment what is missing",
}
PERSONS = re.compile(
    r"\b(nobody|somebody|anybody|everybody|whoever|someone|anyone|everyone|who|whom)\b",
    re.IGNORECASE,
)
PERSONS_MAX = 1  # of 1,000 words of comments and docstrings
PRINT_ALLOWED = ("proxy/cli.py", "proxy/demo/", "loadtest/")


@cache
def tracked(*endings: str) -> list[Path]:
    """Files under version control (or about to be) with one of these endings."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in endings and path.is_file()]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def product_sources() -> list[Path]:
    return [p for p in tracked(".py") if name(p).split("/")[0] in (*PACKAGES, "loadtest")]


def imports(tree: ast.Module) -> list[str]:
    found = []
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def cython_imports(text: str) -> list[str]:
    return re.findall(r"^\s*(?:from|cimport|import)\s+([a-z_][\w.]*)", text, re.MULTILINE)


@cache
def module_imports(path: Path) -> list[str]:
    text = path.read_text()
    if path.suffix == ".py":
        return imports(ast.parse(text))
    return cython_imports(text)


def all_modules() -> list[Path]:
    return [p for p in tracked(".py", ".pyx", ".pxd") if name(p).split("/")[0] in PACKAGES]


def module_name(path: Path) -> str:
    return name(path).removesuffix(path.suffix).replace("/", ".").removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The innermost room that a module lies in; None for a folder that has rooms itself."""
    words = module.split(".")
    within = (".".join(words[:count]) for count in range(len(words), 0, -1))
    return next((room for room in within if room in ROOMS), None)


def test_each_module_has_a_room_and_each_room_a_module() -> None:
    modules = {module_name(path) for path in all_modules()}
    folders = {m.rpartition(".")[0] for m in modules}
    homeless = [m for m in sorted(modules - folders) if room_of(m) is None]
    assert not homeless, f"name their rooms in ROOMS: {homeless}"
    assert {room_of(m) for m in modules} - {None} == set(ROOMS)


def test_imports_go_from_room_to_room_downward_only() -> None:
    place = {room: number for number, room in enumerate(ROOMS)}
    wrong = []
    for path in all_modules():
        room = room_of(module_name(path))
        for module in module_imports(path):
            other = room_of(module)
            if room and other and place[other] > place[room]:
                wrong.append(f"{name(path)} ({room}) imports {module} ({other})")
    assert not wrong, "\n".join(wrong)


def test_folders_stay_rooms() -> None:
    counted = Counter(name(path.parent) for path in all_modules() if path.stem != "__init__")
    wrong = [
        f"{f}: {n} files" for f, n in counted.items() if n > FOLDER_FILES_MAX and f not in FLAT
    ]
    assert not wrong, "\n".join(wrong)


def test_the_tour_is_short_and_names_files_that_exist() -> None:
    tour = (ROOT / "ARCHITECTURE.md").read_text()
    assert tour.count("\n") <= TOUR_LINES_MAX
    files = [name(path) for path in tracked(".py", ".pyx", ".pxd", ".md", ".txt")]
    named = set(re.findall(r"`([\w/.]+\.(?:py|pyx|pxd|md|txt))`", tour))
    gone = [n for n in sorted(named) if not any(f"/{f}".endswith(f"/{n}") for f in files)]
    assert not gone, f"not in the tree: {gone}"


def test_bytes_of_a_session_pass_through_one_file() -> None:
    moving = re.compile(r"\b(recv|recvmsg|send|sendmsg|splice|shutdown)\(")
    wrong = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in tracked(".pxd", ".pyx")
        if re.match("proxy/relay/(session|sides|changes)/", name(path))
        and path.name != "side_io.pxd"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if moving.search(line.partition("#")[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_the_configuration_knows_no_process() -> None:
    below = ("proxy.config", "proxy.flags", "proxy.patterns", "proxy.passwords", "proxy.tls")
    below += ("proxy.lists",)
    wrong = [
        f"{name(path)} imports {module}"
        for path in all_modules()
        if name(path).startswith("proxy/config/")
        for module in module_imports(path)
        if module.startswith("proxy") and not module.startswith(below) and module != "proxy"
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_readable() -> None:
    endings = (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".c", ".h", ".sh")
    wrong = [
        f"{name(path)}: {lines} lines, at most {FILE_LINES_MAX}"
        for path in tracked(*endings)
        if (lines := path.read_text().count("\n")) > FILE_LINES_MAX
    ]
    assert not wrong, "\n".join(wrong)


def test_functions_stay_readable() -> None:
    wrong = []
    for path in tracked(".py"):
        for node in statements(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    wrong.append(f"{name(path)}:{node.lineno} {node.name}: {lines} lines")
    for path in tracked(".pyx", ".pxd"):
        wrong += long_cython_functions(path)
    assert not wrong, "\n".join(wrong)


def long_cython_functions(path: Path) -> list[str]:
    """Functions of a Cython file that are too long: from a def line to the next dedent."""
    wrong = []
    lines = path.read_text().splitlines()
    start = re.compile(r"^(\s*)(?:cdef|cpdef|def)\s(?!class\b).*\(")
    for number, line in enumerate(lines):
        match = start.match(line)
        if not match or "cdef extern" in line:
            continue
        indent = len(match.group(1))
        length = 1
        for following in lines[number + 1 :]:
            text = following.strip()
            if text and len(following) - len(following.lstrip()) <= indent and text[0] != ")":
                break
            length += 1
        if length > FUNCTION_LINES_MAX:
            wrong.append(f"{name(path)}:{number + 1}: {length} lines")
    return wrong


def test_lines_of_compiled_files_fit_the_screen() -> None:
    wrong = [
        f"{name(path)}:{number}"
        for path in tracked(".pyx", ".pxd", ".pxi")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LINE_COLUMNS_MAX
    ]
    assert not wrong, "\n".join(wrong)


def test_each_file_says_what_it_is_for() -> None:
    wrong = []
    for path in tracked(".py", ".pyx", ".pxd"):
        text = path.read_text().strip()
        if not text or name(path).endswith("__init__.py"):
            continue
        if not text.startswith(('"""', "#", 'r"""')):
            wrong.append(name(path))
    assert not wrong, "\n".join(wrong)


def test_banned_calls_are_not_made() -> None:
    wrong = []
    for path in [*product_sources(), *tracked(".pyx", ".pxd")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "# tidy:" in line:
                continue
            for pattern, instead in BANNED.items():
                if re.search(pattern, line):
                    wrong.append(f"{name(path)}:{number}: {instead}")
            if re.search(r"(?<![\w.])print\(", line) and not name(path).startswith(PRINT_ALLOWED):
                wrong.append(f"{name(path)}:{number}: write to the log or to a stream given")
    assert not wrong, "\n".join(wrong)


def test_atomics_live_in_one_file() -> None:
    wrong = [
        name(path)
        for path in tracked(".py", ".pyx", ".pxd", ".h")
        if name(path).split("/")[0] in PACKAGES
        and name(path) != "shm/atomics.pxd"
        and re.search(r"__atomic_|__sync_", path.read_text())
    ]
    assert not wrong, f"use shm/atomics.pxd: {wrong}"


def test_workers_know_no_dns() -> None:
    """Worker code never resolves, parses configuration, or imports what does (invariant 8)."""
    wrong = []
    for path in all_modules():
        if not name(path).startswith(("proxy/worker/", "proxy/relay/", "proxy/health/")):
            continue
        for module in module_imports(path):
            top = module.split(".")[0]
            if top in ("dns", "prometheus_client", "resolverd"):
                wrong.append(f"{name(path)} imports {module}")
            if module.startswith("proxy.config.") and not module.startswith("proxy.config.model."):
                wrong.append(f"{name(path)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_module_is_dead() -> None:
    """Each module of the product is imported by another one, or is a way in."""
    ways_in = {f"{each}.__main__" for each in ("proxy", "proxy.demo", "proxy.flags", "loadtest")}
    every = [p for p in tracked(".py", ".pyx", ".pxd", ".pyi") if "tests/" not in name(p)]
    text_of = {path: path.read_text() for path in every}
    dead = []
    for path in every:
        module = name(path).removesuffix(path.suffix).replace("/", ".")
        if path.suffix in (".pyi", ".pxd") or module.endswith("__init__") or module in ways_in:
            continue
        if module.split(".")[0] not in (*PACKAGES, "loadtest"):
            continue
        package, _, last = module.rpartition(".")
        wanted = re.compile(
            rf"{re.escape(module)}\b|from {re.escape(package)} c?import [^#]*\b{last}\b"
            rf"|from \. import [^#]*\b{last}\b|from \.{last} import"
        )
        others = (text for other, text in text_of.items() if last in text and other != path)
        if not any(wanted.search(text) for text in others):
            dead.append(module)
    assert not dead, f"nobody imports {dead}"


def test_every_test_folder_file_name_is_unique() -> None:
    names = [p.name for p in tracked(".py") if p.name.startswith("test_")]
    twice = {n for n in names if names.count(n) > 1}
    assert not twice, f"test files with the same name: {twice}"


def test_only_the_demo_reads_messages_by_dnspython() -> None:
    """One reader of DNS messages in production; dnspython is the oracle of the tests."""
    wrong = [
        f"{name(path)} imports {module}"
        for path in product_sources()
        if not name(path).startswith("proxy/demo/")
        for module in module_imports(path)
        if module.split(".")[0] == "dns"
    ]
    assert not wrong, "\n".join(wrong)


def test_comments_speak_of_things_as_things() -> None:
    words: Counter[str] = Counter()
    persons: Counter[str] = Counter()
    for path in tracked(".py", ".pyx", ".pxd", ".pxi"):
        folders = name(path).split("/")[:-1]
        package = "/".join(folders[: 2 if folders[:1] == ["proxy"] else 1])
        for comment in comments(path):
            words[package] += len(re.findall(r"[A-Za-z']+", comment))
            persons[package] += len(PERSONS.findall(comment))
    wrong = [
        f"{package}: {count} in {words[package]} words"
        for package, count in persons.items()
        if 1_000 * count > PERSONS_MAX * words[package]
    ]
    assert not wrong, "\n".join(wrong)
