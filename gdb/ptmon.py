"""ptmon in a gdb session on a QEMU guest: `source ptmon.py`, then `ptmon translate EXPRESSION`.

It runs the command `ptmon` with --json and prints what that says. gdb has QEMU's gdbstub, so ptmon gets the QMP socket alone.
"""

import json
import os
import shlex
import subprocess
import threading

import gdb

# gdb defines __file__ only while it reads this file.
_BESIDE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "dist", "cli", "main.js")


def _command():
    """The program: $PTMON, the one beside this file, or `ptmon` of the PATH."""
    if os.environ.get("PTMON"):
        return shlex.split(os.environ["PTMON"])
    return ["node", _BESIDE] if os.path.exists(_BESIDE) else ["ptmon"]


def _start(how, args, **options):
    try:
        return how([*_command(), *args], text=True, **options)
    except (OSError, ValueError) as error:
        raise gdb.GdbError(f"ptmon cannot be started ({error}): set the environment variable PTMON to its path")


def _run(*args):
    """The lines of JSON that the command prints. Raises gdb.GdbError with what it says where it fails."""
    done = _start(subprocess.run, args, capture_output=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        failure = done.stderr.strip() or f"ptmon ended with exit code {done.returncode}"
        if not lines:
            raise gdb.GdbError(failure)
        gdb.write(f"{failure}\n", gdb.STDERR)
    return lines


def _qmp():
    """The QMP socket, which serves one client: not where `ptmon watch` is that."""
    qmp = _find_qmp()
    if PtmonWatch.is_running() and PtmonWatch.qmp == qmp:
        raise gdb.GdbError(f"`ptmon watch` uses {qmp}: `ptmon unwatch` first, or `set ptmon-qmp` to another QMP socket")
    return qmp


def _find_qmp():
    """`set ptmon-qmp`, or that of the VM whose gdbstub this session has."""
    chosen = gdb.parameter("ptmon-qmp")
    if chosen:
        return chosen
    connection = gdb.selected_inferior().connection
    if connection is None:
        raise gdb.GdbError("not connected to a guest: use `target remote` first")
    target = _plain(connection.details or "")
    for vm in _run("vms", "--json"):
        if vm.get("gdb") and _plain(vm["gdb"]) == target and vm.get("qmp"):
            return vm["qmp"]
    raise gdb.GdbError(f"no VM of this host has its gdbstub at {target}: name its QMP socket with `set ptmon-qmp PATH`")


def _plain(address):
    """An address as gdb and QEMU both write it."""
    for prefix in ("unix:", "tcp:"):
        address = address.removeprefix(prefix)
    if address.startswith("/"):
        return os.path.realpath(address)
    host, _, port = address.rpartition(":")
    return f"{host if host not in ('', '0.0.0.0', '::', '127.0.0.1') else 'localhost'}:{port}"


def _number(expression):
    try:
        return int(gdb.parse_and_eval(expression).cast(gdb.lookup_type("unsigned long long")))
    except gdb.error as error:
        raise gdb.GdbError(f"{expression}: {error}")


def _address(expression):
    return f"0x{_number(expression):x}"


def _vcpu():
    """QEMU's threads are vCPUs, numbered from 1."""
    thread = gdb.selected_thread()
    return ["--vcpu", str(thread.num - 1 if thread else 0)]


class PtmonQmp(gdb.Parameter):
    """QMP socket of the guest, as `ptmon --qmp` takes it. Empty: the VM is found by its gdbstub."""

    set_doc = "Set the QMP socket of the guest."
    show_doc = "Show the QMP socket of the guest."

    def __init__(self):
        super().__init__("ptmon-qmp", gdb.COMMAND_DATA, gdb.PARAM_STRING_NOESCAPE)
        self.value = ""

    def get_set_string(self):
        return ""

    def get_show_string(self, value):
        return value or "found by the gdbstub"


class Ptmon(gdb.Command):
    """Page tables of the guest: ptmon translate, ptmon map, ptmon watch, ptmon unwatch."""

    def __init__(self):
        super().__init__("ptmon", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class PtmonTranslate(gdb.Command):
    """Walk the page tables of the selected thread: ptmon translate EXPRESSION"""

    def __init__(self):
        super().__init__("ptmon translate", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("usage: ptmon translate EXPRESSION")
        for line in _run("translate", _address(argument), "--json", "--qmp", _qmp(), *_vcpu()):
            if line.get("kind") == "translation":
                _print_walk(line)


def _print_walk(walk):
    for step in walk["steps"]:
        gdb.write(f"  {step['entry']:<5}  {step['entryPa']:>14}  {step['value']:>18}  {', '.join(step['flags'])}\n")
    if walk["translates"]:
        gdb.write(f"{walk['va']} -> {walk['pa']}  {_rights(walk['rights'])}  page of {walk['pageSize']} bytes\n")
    else:
        gdb.write(f"{walk['va']} does not translate: {walk['reason']} at level {walk['level']}\n")


def _rights(rights):
    flags = [("r", True), ("w", rights["writable"]), ("x", not rights["noExecute"]), ("u", rights["user"])]
    return "".join(letter if present else "-" for letter, present in flags)


class PtmonMap(gdb.Command):
    """List what the page tables of the selected thread map: ptmon map [EXPRESSION [BYTES]]"""

    def __init__(self):
        super().__init__("ptmon map", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) > 2:
            raise gdb.GdbError("usage: ptmon map [EXPRESSION [BYTES]]")
        length = _number(words[1]) if len(words) == 2 else 4096
        part = ["--va", f"{_address(words[0])}+{length}"] if words else []
        for line in _run("map", "--json", *part, "--qmp", _qmp(), *_vcpu()):
            if line.get("kind") == "range":
                names = ", ".join(str(name) for name in line.get("names", []))
                gdb.write(f"{line['va']:>18}-{line['end']:<18}  {_rights(line['rights'])}  {line['pages']:>8} pages  {names}\n")


class PtmonWatch(gdb.Command):
    """Report changes of pages by samples while the guest runs: ptmon watch OPTIONS OF ptmon watch, as --comm nginx --map heap

    gdb has the gdbstub, so changes between two samples are missed. `ptmon unwatch` ends it."""

    running = None
    follower = None
    qmp = None

    def __init__(self):
        super().__init__("ptmon watch", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words:
            raise gdb.GdbError("usage: ptmon watch OPTIONS, such as --comm nginx --map heap, or --va 0x400000+2M")
        PtmonWatch.end()
        PtmonWatch.qmp = _qmp()
        args = ["watch", "--json", "--mode", "sample", "--qmp", PtmonWatch.qmp, *words]
        PtmonWatch.running = _start(
            subprocess.Popen,
            args,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C is to stop the guest, and not the watch too.
            start_new_session=True,
        )
        PtmonWatch.follower = threading.Thread(target=PtmonWatch.follow, args=(PtmonWatch.running,), daemon=True)
        PtmonWatch.follower.start()

    @staticmethod
    def follow(process):
        for line in process.stdout:
            text = PtmonWatch.text_of(line)
            if text:
                # gdb's own functions are for its own thread, which waits for the guest.
                os.write(2, f"ptmon: {text}\n".encode(errors="replace"))
        process.wait()

    @staticmethod
    def text_of(line):
        if not line.startswith("{"):
            return line.strip().removeprefix("ptmon: ")
        event = json.loads(line)
        if "seq" not in event:
            return ""
        who = ":".join(str(tag) for tag in event["tags"])
        return f"{event['kind']} {who} {event['va']} {event.get('pa', '')} {event.get('pages', 1)} page(s)"

    @staticmethod
    def is_running():
        return PtmonWatch.running is not None and PtmonWatch.running.poll() is None

    @staticmethod
    def end():
        if PtmonWatch.is_running():
            PtmonWatch.running.terminate()
            PtmonWatch.running.wait()
        if PtmonWatch.follower is not None:
            PtmonWatch.follower.join()
        PtmonWatch.running = PtmonWatch.follower = None


class PtmonUnwatch(gdb.Command):
    """End the watch of `ptmon watch`."""

    def __init__(self):
        super().__init__("ptmon unwatch", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        PtmonWatch.end()


PtmonQmp()
Ptmon()
PtmonTranslate()
PtmonMap()
PtmonWatch()
PtmonUnwatch()
if hasattr(gdb.events, "gdb_exiting"):
    gdb.events.gdb_exiting.connect(lambda event: PtmonWatch.end())
