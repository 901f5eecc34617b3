"""The command: flags and subcommands in, exit code out. No traceback reaches a user."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dnsserver.corefile import Corefile, CorefileError, load, parse
from dnsserver.corefile.files import decode

if TYPE_CHECKING:
    from dnsserver.admin.lines import LineWriter
    from dnsserver.explain import Explanation, VMIExplanation
    from dnsserver.names import Name
    from dnsserver.zone import Zone

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_DEFAULT_PORT = 53
_COREFILE = "Corefile"
_DEFAULT = ". {\n    whoami\n    log\n}\n"  # as CoreDNS without a Corefile

_EPILOG = """examples:
  dnsserver -conf Corefile                   serve what the Corefile says
  dnsserver --manifests objects/ -p 1053     serve objects from files, without a cluster
  dnsserver check -conf Corefile             say whether a Corefile is valid
  dnsserver dump -conf Corefile              print its zones as master files (dnsserver dump --help)
  dnsserver query @10.96.0.53 NAME [TYPE]    ask a server (dnsserver query --help)
  dnsserver explain NAME [TYPE]              say why a name resolves, or does not (dnsserver explain --help)
"""

_DUMP_EPILOG = """Several zones follow each other, with a comment in front of each. Checkers want one zone a file, named
after it, as -o writes them:
  dnsserver dump -o zones -conf Corefile && kzonecheck zones/cluster.local.zone
  dnsserver dump -o zones cluster.local --manifests objects/ && named-checkzone cluster.local zones/cluster.local.zone

Names that are made only when they are asked for are in no dump: those of `pods insecure`, of `zonal`, and of a port
without its underscores. A running server's zones can be had with `dig axfr` where `transfer` allows it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 for what went wrong, 2 for a wrong command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given and called_by_kubectl():  # who types that looks for help, and would serve at port 53 in place of it
        _parser().error("kubectl dnsserver needs a command, such as explain NAME")
    if given[:1] == ["dump"]:
        return _dump(_dump_parser().parse_intermixed_args(given[1:]))
    if given[:1] == ["query"]:
        return _query(given[1:])
    if given[:1] == ["explain"]:
        return _explain(given[1:])
    arguments = _parser().parse_args(given)
    if arguments.command in ("dump", "query", "explain"):
        _parser().error(f"{arguments.command} comes before its flags")
    if arguments.version:
        return _print_version()
    if arguments.plugins:
        return _print_plugins()
    _set_up_logging()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return EXIT_FAILED


def called_by_kubectl(argv: Sequence[str] | None = None) -> bool:
    """Say whether this is `kubectl dnsserver`: kubectl runs the program of that name."""
    return Path((sys.argv if argv is None else argv)[0]).stem == "kubectl-dnsserver"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the error and where to find help."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of CoreDNS's flags, with one dash or two, and of our own."""
    parser = _Parser(
        prog="dnsserver",
        description="A CoreDNS-compatible authoritative DNS server for Kubernetes clusters that run KubeVirt VMs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = ("serve", "check", "dump", "query", "explain")
    parser.add_argument("command", nargs="?", choices=commands, default="serve", help="what to do (serve)")
    parser.add_argument("-conf", "--conf", metavar="FILE", help="the Corefile (Corefile in the working directory)")
    parser.add_argument(
        "-dns.port", "--dns.port", "-p", "--port", dest="port", metavar="N", type=_port, help="port of keys without one"
    )
    parser.add_argument("-pidfile", "--pidfile", metavar="FILE", help="write the process id here")
    parser.add_argument("-plugins", "--plugins", action="store_true", help="list the plugins")
    parser.add_argument("-quiet", "--quiet", action="store_true", help="print no start-up banner")
    parser.add_argument("-version", "--version", action="store_true", help="show the version")
    parser.add_argument("--manifests", nargs="+", metavar="PATH", help="serve objects from files or folders")
    parser.add_argument("--zone", metavar="ZONE", help="the zone of --manifests (cluster.local)")
    return parser


def _dump_parser() -> argparse.ArgumentParser:
    """Return the parser of what follows `dump`."""
    parser = _Parser(
        prog="dnsserver dump",
        description="Print the zones of the plugins kubernetes and file as master files (RFC 1035, section 5).",
        epilog=_DUMP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("zones", nargs="*", metavar="ZONE", type=_zone, help="these zones (all); before --manifests")
    parser.add_argument("-conf", "--conf", metavar="FILE", help="the Corefile (Corefile in the working directory)")
    parser.add_argument("--manifests", nargs="+", metavar="PATH", help="read objects from files or folders")
    parser.add_argument("--zone", metavar="ZONE", help="the zone of --manifests (cluster.local)")
    parser.add_argument("-o", "--output", metavar="DIR", help="write each zone to DIR/ZONE.zone")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=60.0, help="how long reading the cluster may take (60)"
    )
    return parser


def _zone(text: str) -> "Name":
    """Parse a zone's name."""
    from dnsserver.names import InvalidNameError, from_text

    try:
        return from_text(text)
    except InvalidNameError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a zone: {error}") from error


def _seconds(text: str) -> float:
    """Parse a time."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 6 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def _port(text: str) -> int:
    """Parse a port number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 0xFFFF):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    """Serve, or check."""
    from dnsserver.setup import Source  # the rest of the package, which --help and --version can do without

    try:
        read, folder = _reader(arguments)
        source = Source(read, folder, _DEFAULT_PORT if arguments.port is None else arguments.port)
        setup = source.set_up(source.read())
    except CorefileError as error:
        return _fail(str(error))
    if arguments.command == "check":
        name = arguments.conf or ("command line" if arguments.manifests else _COREFILE)
        sys.stdout.write("".join(f"[WARNING] {line}\n" for line in setup.warnings) + f"{name} is valid\n")
        return EXIT_OK
    from dnsserver.app import App, StartError
    from dnsserver.transports import raise_limit

    raise_limit()

    async def serve() -> int:
        return await App(setup, quiet=arguments.quiet, source=source).run()

    try:
        with _pid_file(arguments.pidfile), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(serve())
    except (StartError, OSError) as error:
        return _fail(str(error))


def _dump(arguments: argparse.Namespace) -> int:
    """Read the zones, then write them."""
    from dnsserver import dumping
    from dnsserver.admin.lines import LineWriter
    from dnsserver.setup import set_up

    log = LineWriter(2)
    _set_up_logging(log, logging.WARNING)  # stdout is the zones'
    try:
        read, folder = _reader(arguments)
        setup = set_up(read(), folder=folder, port=_DEFAULT_PORT)
        chosen = dumping.choose(setup, arguments.zones)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            zones = runner.run(dumping.read_zones(chosen, arguments.timeout))
    except (CorefileError, dumping.DumpError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return EXIT_FAILED
    finally:
        log.drain()
    return _write_dump(zones, arguments.output)


def _query(words: Sequence[str]) -> int:
    """Ask a server, and print what it says."""
    from dnsserver import querying

    parser = _Parser(
        prog="dnsserver query",
        description="Ask a DNS server one question, and print its answer as dig would.",
        epilog=querying.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    querying.add_arguments(parser, _port)
    arguments = parser.parse_intermixed_args(words)
    try:
        code, text = querying.ask(querying.parse_words(arguments.words), arguments.port, arguments.timeout)
    except querying.UsageError as error:
        parser.error(str(error))
    except querying.NoAnswerError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return EXIT_FAILED
    sys.stdout.write(text)
    return code


def _explain(words: Sequence[str]) -> int:
    """Explain a name, and say by the exit code whether it resolves."""
    from dnsserver import explaining
    from dnsserver.admin.lines import LineWriter

    kubectl = called_by_kubectl()
    parser = _Parser(
        prog=f"{'kubectl dnsserver' if kubectl else 'dnsserver'} explain",
        description="Say which objects and rules make or prevent an answer, and what to change.",
        epilog=explaining.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    explaining.add_arguments(parser)
    arguments = parser.parse_intermixed_args(words)
    if problem := explaining.check(arguments):
        parser.error(problem)
    log = LineWriter(2)
    _set_up_logging(log, logging.WARNING)  # stdout is the explanation's
    try:
        explanation = _explanation(arguments, kubectl=kubectl)
        explaining.write(explanation, sys.stdout, output=arguments.output, color=arguments.color)
    except (CorefileError, explaining.ExplainError) as error:
        _fail(str(error))
        return EXIT_USAGE
    except OSError as error:
        _let_go_of_stdout()
        _fail(f"cannot write the explanation: {error.strerror}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_USAGE
    finally:
        log.drain()
    return EXIT_OK if explanation.resolves else EXIT_FAILED


def _explanation(arguments: argparse.Namespace, *, kubectl: bool) -> "Explanation | VMIExplanation":
    """Have a name explained by whoever the flags say. Raises `CorefileError` and `ExplainError`."""
    from dnsserver import explaining
    from dnsserver.setup import set_up

    if arguments.manifests is not None or arguments.conf is not None or arguments.zone is not None:
        read, folder = _reader(arguments)
        work = explaining.from_setup(set_up(read(), folder=folder, port=_DEFAULT_PORT), arguments)
    elif not arguments.server and (kubectl or explaining.names_a_cluster(arguments)):
        work = explaining.through_api_server(arguments)
    else:
        work = explaining.from_server(arguments)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _let_go_of_stdout() -> None:
    """Throw away what stdout still holds: it would be a traceback at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_dump(zones: "Sequence[Zone]", folder: str | None) -> int:
    """Write zones to stdout, or to files in a folder."""
    from dnsserver import dumping

    try:
        if folder is None:
            dumping.write_stream(zones, sys.stdout)
        else:
            dumping.write_files(zones, Path(folder))
    except KeyboardInterrupt:
        return EXIT_FAILED
    except OSError as error:
        if folder is None:  # what is left in its buffer would be a traceback at exit
            _let_go_of_stdout()
        return _fail(f"cannot write {error.filename or 'the zones'}: {error.strerror}")
    return EXIT_OK


def _reader(arguments: argparse.Namespace) -> tuple[Callable[[], Corefile], Path]:
    """Return what reads the Corefile anew, and the folder that its relative paths start at. Raises `CorefileError`."""
    if arguments.manifests is not None:
        if arguments.conf is not None:
            raise CorefileError("--manifests and -conf cannot go together", "command line")
        text = _manifests_corefile(arguments)
        return lambda: parse(text, file="command line"), Path()
    if arguments.zone is not None:
        raise CorefileError("--zone goes with --manifests; a Corefile names its zones itself", "command line")
    if arguments.conf == "stdin":
        text = decode(sys.stdin.buffer.read(), "stdin")  # there once; what it imports is read again
        return lambda: _with_blocks(parse(text, file="stdin"), "stdin"), Path()
    path = Path(arguments.conf or _COREFILE)
    return lambda: _with_blocks(_load(path, must_exist=arguments.conf is not None), str(path)), path.parent


def _load(path: Path, *, must_exist: bool) -> Corefile:
    """Read a Corefile, or stand in for one that nobody asked for and that is not there."""
    if not must_exist and not os.path.lexists(path):
        return parse(_DEFAULT, file=str(path))
    return load(path)


def _with_blocks(corefile: Corefile, name: str) -> Corefile:
    """Return a Corefile that has something to serve. Raises `CorefileError`."""
    if not corefile.blocks:
        raise CorefileError("no server block, expecting at least one, such as 'cluster.local { ... }'", name)
    return corefile


def _manifests_corefile(arguments: argparse.Namespace) -> str:
    """Return the Corefile that --manifests and --zone stand for."""
    zone = _quoted(arguments.zone or "cluster.local")
    paths = " ".join(_quoted(path) for path in arguments.manifests)
    return f"""{zone} in-addr.arpa ip6.arpa {{
    errors
    loadbalance
    kubernetes {{
        manifests {paths}
    }}
}}
"""


def _quoted(text: str) -> str:
    """Return a Corefile token that stands for `text`."""
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


@contextmanager
def _pid_file(path: str | None) -> Iterator[None]:
    """Hold the process id in a file. Raises `OSError`."""
    if path is None:
        yield
        return
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop where it is installed, or None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _set_up_logging(writer: "LineWriter | None" = None, level: int = logging.INFO) -> None:
    """Log as CoreDNS does, `[INFO] plugin/kubernetes: message`, to stdout by default; never wait for who reads it."""
    from dnsserver.admin.lines import LineHandler, stdout

    root = logging.getLogger()
    root.handlers = [LineHandler(writer or stdout)]
    root.setLevel(level)


def _print_version() -> int:
    """Print the version."""
    from dnsserver.app import version_lines

    sys.stdout.write("\n".join(version_lines()) + "\n")
    return EXIT_OK


def _print_plugins() -> int:
    """Print the plugins that a Corefile may name, as CoreDNS does."""
    from dnsserver.plugins.order import available

    plugins = "".join(f"  dns.{name}\n" for name in sorted(available()))
    sys.stdout.write(f"Server types:\n  dns\n\nCaddyfile loaders:\n  flag\n  default\n\nOther plugins:\n{plugins}")
    return EXIT_OK


def _fail(message: str) -> int:
    """Say what went wrong."""
    sys.stderr.write(f"dnsserver: {message}\n")
    return EXIT_FAILED
