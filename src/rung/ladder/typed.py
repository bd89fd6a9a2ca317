"""Typed functions: a function that writes a prompt becomes one that returns the validated answer."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast, get_type_hints, overload

from rung.errors import ContractError
from rung.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rung.contract import Contract
    from rung.ladder.ladder import Ladder
    from rung.ladder.options import Prompt, RequestOptions

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")


class _Bound:
    """What both kinds of typed function share: the prompt's function, the contract, and binding to an instance."""

    def __init__(
        self, ladder: Ladder, function: Callable[..., Any], contract: Contract[Any], settings: RequestOptions
    ) -> None:
        functools.update_wrapper(cast("Callable[..., Any]", self), function)
        self._ladder = ladder
        self._function = function
        self._contract = contract
        self._settings = settings

    def _bind(self, instance: object) -> Any:
        if instance is None:  # looked up on the class
            return self
        bound = types.MethodType(self._function, instance)
        return type(self)(self._ladder, bound, self._contract, self._settings)


class Typed(_Bound, Generic[P, R]):
    """A typed function: call it for the answer, or call `outcome` for everything that came of it."""

    @overload
    def __get__(self, instance: None, owner: type) -> Typed[P, R]: ...
    @overload
    def __get__(self: Typed[Concatenate[Any, Q], R], instance: object, owner: type) -> Typed[Q, R]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """The typed function as a method of `instance`."""
        return self._bind(instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The validated answer.

        Raises:
            Unresolved: no tier gave one.
            ContractError: a validator is misused.
        """
        return self.outcome(*args, **kwargs).unwrap()

    def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[R]:
        """Everything that came of it; raises as `Ladder.run` does."""
        return self._ladder.run(self._function(*args, **kwargs), self._contract, **self._settings)


class AsyncTyped(_Bound, Generic[P, R]):
    """The same for an `async def` function."""

    @overload
    def __get__(self, instance: None, owner: type) -> AsyncTyped[P, R]: ...
    @overload
    def __get__(self: AsyncTyped[Concatenate[Any, Q], R], instance: object, owner: type) -> AsyncTyped[Q, R]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """The typed function as a method of `instance`."""
        return self._bind(instance)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The validated answer.

        Raises:
            Unresolved: no tier gave one.
            ContractError: a validator is misused.
        """
        return (await self.outcome(*args, **kwargs)).unwrap()

    async def outcome(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[R]:
        """Everything that came of it; raises as `Ladder.arun` does."""
        prompt = await self._function(*args, **kwargs)
        found: Outcome[R] = await self._ladder.arun(prompt, self._contract, **self._settings)
        return found


class Wrap(Generic[T]):
    """`ladder.typed(Invoice)`: wraps a function whose answer is an `Invoice`."""

    def __init__(self, ladder: Ladder, output: Any, settings: RequestOptions) -> None:
        ladder.refuse_unknown(settings)
        self._ladder = ladder
        if output is None:
            output = ladder.task_output(settings.get("task"))
        # compiled here, so that a contract that can't be used fails where it is written
        self._contract = ladder.contract(output, settings.get("validators", ()))
        self._settings = settings.copy()
        self._settings.pop("validators", None)

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, Prompt]]) -> AsyncTyped[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, Prompt]) -> Typed[P, T]: ...
    def __call__(self, function: Callable[..., Any]) -> Any:
        """The typed function."""
        return _wrap(self._ladder, function, self._contract, self._settings)


class Decorator:
    """`ladder.typed`, bare or with an output."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder

    # A class is also callable, and a coroutine is also a result. The overlaps are meant: the first match is right.
    @overload
    def __call__(self, output: type[T], **settings: Unpack[RequestOptions]) -> Wrap[T]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, output: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTyped[P, R]: ...
    @overload
    def __call__(self, output: Callable[P, R], /) -> Typed[P, R]: ...
    @overload
    def __call__(self, output: Any = None, **settings: Unpack[RequestOptions]) -> Wrap[Any]: ...
    def __call__(self, output: Any = None, **settings: Any) -> Any:
        """See `Ladder.typed`."""
        if inspect.isfunction(output):
            return _wrap(self._ladder, output, self._annotated(output), {})
        return Wrap(self._ladder, output, settings)  # type: ignore[arg-type]  # checked by the overloads

    def _annotated(self, function: types.FunctionType) -> Contract[Any]:
        """The contract of the return annotation, if that is a kind of text."""
        name = function.__qualname__
        if "return" not in function.__annotations__:
            raise ContractError(f"{name} has no return annotation", hint="write -> str, or @ladder.typed(YourType)")
        # only the return annotation is wanted: the types of parameters may exist for type checkers only
        only = types.SimpleNamespace(__annotations__={"return": function.__annotations__["return"]})
        try:
            output = get_type_hints(only, function.__globals__, include_extras=True)["return"]
        except NameError as error:
            raise ContractError(
                f"the return annotation of {name} can't be read: {error}", hint="define it at the top of the module"
            ) from None
        contract = self._ladder.contract(output)
        if not contract.is_text:
            shown = getattr(output, "__name__", output)
            raise ContractError(
                f"{name} returns a prompt, so its annotation can't promise {shown}",
                hint=f"write @ladder.typed({shown}) and -> str",
            )
        return contract


def _wrap(ladder: Ladder, function: Callable[..., Any], contract: Contract[Any], settings: RequestOptions) -> Any:
    kind: type[_Bound] = AsyncTyped if inspect.iscoroutinefunction(function) else Typed
    return kind(ladder, function, contract, settings)
