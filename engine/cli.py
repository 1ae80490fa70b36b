"""Commands from dataclasses: each field is a flag, its default and its help."""

import dataclasses
import errno
import importlib
import inspect
import os
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

import typer
from typer.core import TyperCommand

from engine.errors import GateError, UserError
from engine.text import TextError, read_json, read_text

C = TypeVar("C")

EXIT_GATE = 3
EXIT_INTERRUPTED = 130


class Main(Protocol):
    """The `main` of a command module."""

    def __call__(self, argv: list[str] | None = None) -> NoReturn:
        """Run the command with these arguments, or with the process's own, and exit."""


def command(
    config_type: type[C],
    run: Callable[[C], int | None],
    example: str = "",
    instead: Mapping[str, str] = MappingProxyType({}),
) -> Main:
    """Make the `main` of a command module.

    Args:
        config_type: A frozen dataclass; its docstring is the help text and each field, annotated with
            `typer.Argument` or `typer.Option`, is a flag.
        run: Does the work; an integer that it returns is the exit code.
        example: A command line shown at the end of `--help`.
        instead: A flag to the module of another command, which takes all arguments where that flag is among them.

    Returns:
        `main(argv=None)`, which never returns: exit code 0, 2 with one line for a `UserError`, 3 for a gate that
        a run violated, 130 after Ctrl-C.
    """

    def main(argv: list[str] | None = None) -> NoReturn:
        given = {each.partition("=")[0] for each in (sys.argv[1:] if argv is None else argv)}
        for module in (module for flag, module in instead.items() if flag in given):
            other: Main = importlib.import_module(module).main
            other(argv)
        sys.exit(_guarded(lambda: _invoke(config_type, run, example, argv)))

    return main


def dispatch(package: str, summary: str, commands: dict[str, tuple[str, str]]) -> NoReturn:
    """Run `python -m PACKAGE COMMAND ...`; without a command, list them.

    Args:
        package: Name of the package, for the messages.
        summary: One line about the package.
        commands: Command name to (module that has a `main`, one-line help). Only the chosen module is imported.
    """
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, commands))
        print(f"{summary}\n\nUsage: python -m {package} COMMAND [--help]\n\nCommands:")
        for name, (_, text) in commands.items():
            print(f"  {name:<{width}}  {text}")
        print(f"\npython -m {package} COMMAND --help shows its options, with defaults, ranges and an example.")
        sys.exit(0)
    name = arguments[0]
    if name not in commands:
        print(f"python -m {package}: no command {name!r}; one of: {', '.join(commands)}", file=sys.stderr)
        sys.exit(2)
    module, _ = commands[name]
    sys.argv[:] = [f"python -m {package} {name}", *arguments[1:]]
    main: Main = importlib.import_module(module).main
    main(arguments[1:])


def config_as_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as plain JSON values (paths as text)."""
    return _plain(dataclasses.asdict(config))


def default_options(config_type: type[Any]) -> dict[str, Any]:
    """Return the defaults of a config dataclass as plain JSON values; options that have none are left out."""
    values = {field.name: _default_of(field) for field in dataclasses.fields(config_type)}
    return _plain({name: value for name, value in values.items() if value is not inspect.Parameter.empty})


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return value.as_posix() if isinstance(value, Path) else value


def _invoke(config_type: type[C], run: Callable[[C], int | None], example: str, argv: list[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    defaults, arguments = _take_config_file(config_type, arguments)
    callback = _callback(config_type, run, defaults)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    epilog = f"Example: {_as_started(example)}" if example else None
    app.command(cls=TyperCommand, epilog=epilog, context_settings={"show_default": True})(callback)
    result = app(arguments, standalone_mode=False, prog_name=_program_name())
    return int(result or 0)


def _program_name() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if sys.argv[0].startswith("python -m") or spec is None:
        return sys.argv[0]
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _as_started(example: str) -> str:
    """Return `python -m PACKAGE COMMAND ...` with the package by which the command was started, if it is another."""
    own, words = _program_name().split(" "), example.split(" ")
    return " ".join([*own[:4], *words[4:]]) if own[:2] == words[:2] and own[3:4] == words[3:4] else example


def _callback(config_type: type[C], run: Callable[[C], int | None], defaults: dict[str, Any]) -> Callable[..., Any]:
    """Return a function with one parameter a field, which is what typer reads."""
    hints = typing.get_type_hints(config_type, include_extras=True)

    def callback(**values: Any) -> int | None:
        values.pop("config", None)
        return run(config_type(**values))

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=defaults.get(field.name, _default_of(field)),
        )
        for field in dataclasses.fields(config_type)  # type: ignore[arg-type]
    ]
    recipe = typer.Option(help="TOML or JSON file of flag values; flags given here override it.")
    parameters.append(
        inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Path | None, recipe], default=None
        )
    )
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    callback.__doc__ = inspect.getdoc(config_type)
    return callback


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty


def _take_config_file(config_type: type, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Read `--config FILE` ahead of the flags, so that its values become the defaults that flags override."""
    path = None
    for position, argument in enumerate(arguments):
        if argument == "--config" and position + 1 < len(arguments):
            path, taken = Path(arguments[position + 1]), 2
        elif argument.startswith("--config="):
            path, taken = Path(argument.partition("=")[2]), 1
        if path is not None:
            rest = arguments[:position] + arguments[position + taken :]
            if any(each.partition("=")[0] == "--config" for each in rest):
                raise UserError("--config: given twice; put the options of both files in one")
            return _read_config_file(path, config_type), rest
    return {}, arguments


def _read_config_file(path: Path, config_type: type) -> dict[str, Any]:
    try:
        values = read_json(path) if path.suffix == ".json" else tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file; recipes stand in recipes/") from None
    except TextError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: not valid {path.suffix[1:] or 'TOML'} ({error}); see recipes/ for examples") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no table of options; see recipes/ for examples")
    known = {field.name for field in dataclasses.fields(config_type)}
    values = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise UserError(
            f"{path}: unknown option {unknown[0]!r}; --help lists the flags, a key is a flag without its dashes"
        )
    empty = [key for key, value in values.items() if value is None]
    if empty:
        raise UserError(f"{path}: {empty[0]} is null; give it a value, or leave it out for its default")
    several = {name for name, value in default_options(config_type).items() if isinstance(value, list)}
    return {key: [value] if key in several and not isinstance(value, list) else value for key, value in values.items()}


def _guarded(call: Callable[[], int]) -> int:
    """Turn what a user can mend into one line on stderr and an exit code."""
    try:
        code = call()
        return _say("interrupted", code) if code == EXIT_INTERRUPTED else code  # typer makes Ctrl-C a result
    except GateError as error:
        return _say(error, EXIT_GATE)
    except UserError as error:
        return _say(error, 2)
    except typer.Exit as error:
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", EXIT_INTERRUPTED)
    except typer.TyperException as error:
        text = (
            error.format_message().removesuffix(".").replace("Value error, ", "").replace("Input should", "it should")
        )
        return _say(f"{text}; --help lists what the command takes", 2)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which this module does not import
            raise
        remedy = "lower --batch (a training of the same batch a step: raise --accumulate), or use --device cpu"
        return _say(f"the device is out of memory; {remedy}", 2)
    except OSError as error:
        if error.errno is None or error.errno not in _MENDABLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{os.strerror(error.errno).lower()}; {_MENDABLE[error.errno]}", 2)


_MENDABLE: dict[int, str] = {
    errno.ENOSPC: "free some space and run the command again, nothing that was there before is lost",
    errno.EDQUOT: "your quota is used up; free some space and run the command again",
    errno.EFBIG: "this place takes no file of that size (ulimit -f, or the file system); choose another",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file stands where a folder is expected; check the path",
    errno.EISDIR: "a folder stands where a file is expected; check the path",
    errno.ENAMETOOLONG: "use a shorter path",
}


def _say(message: object, code: int) -> int:
    line = " ".join(str(message).split())
    print(f"error: {line}" if code != EXIT_INTERRUPTED else line, file=sys.stderr)
    return code
