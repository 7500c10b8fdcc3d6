"""The control endpoint: calls from outside, taken by a thread of its own so that a slow engine never blocks it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
import zmq

from streamrnn import calls, mistakes, security
from streamrnn.calls import Answer, Call, CallError, Done, Failed, Fault
from streamrnn.errors import DeviceError, UserError, did_you_mean, plain
from streamrnn.sources.bell import Bell

AUTO = "auto"
OFF = "off"

Where = Literal["control", "engine", "worker"]
Role = Literal["any", "read", "admin"]
_TURN = 64  # calls read before the answers go out
_WAITING = 256  # calls that may wait for an answer, of all callers together
_WORKERS = 4
_LARGEST_ANSWER = 1 << 20


class ControlConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take calls on `endpoint`. "auto" is the usual port, and none if another daemon has it; "off" is none at all.

    `keys` is a folder of streamrnn keygen; "" takes that of `security:`.
    """

    words: ClassVar[tuple[str, ...]] = (AUTO, OFF)  # that stand where an endpoint could
    endpoint: str = AUTO
    keys: str = ""


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of a method that takes none."""


@dataclass(frozen=True, slots=True)
class Method:
    """What a name stands for: `do(params)` on the thread `where`, for callers who have the `role`."""

    params: type[msgspec.Struct]
    do: Callable[[Any], Any]
    where: Where
    role: Role


@dataclass(slots=True, eq=False)
class _Job:
    """A call that waits for its answer; `begun` once a thread has taken it up."""

    route: list[bytes]
    call: Call
    method: Method
    params: msgspec.Struct
    due: float
    begun: bool = False


class Control:
    """Methods by name. Add them, `bind`, `start`; then the engine's thread does its `work` when its bell has rung."""

    def __init__(self, engine_bell: Bell) -> None:
        self.place = ""  # where it listens, for people; "" if nowhere
        self._methods: dict[str, Method] = {}
        self._engine_bell = engine_bell
        self._bell = Bell()
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []  # the control thread's own
        self._for_engine: deque[_Job] = deque()
        self._answers: deque[tuple[_Job, Answer]] = deque()
        self._workers = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._context = zmq.Context()
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self.add("ping", NoParams, lambda _: {"mono_ns": time.monotonic_ns()}, where="control", role="any")
        self.add("methods", NoParams, lambda _: sorted(self._methods), where="control", role="any")

    def add(
        self,
        name: str,
        params: type[msgspec.Struct],
        do: Callable[[Any], Any],
        *,
        where: Where,
        role: Role = "admin",
    ) -> None:
        """Let `do(params)` answer calls of `name`; before `start`.

        What it returns is sent as JSON. A CallError is answered with its code, another UserError with `refused`.
        `where` is the thread: "control" for what is done at once and touches no engine, "engine" for what must be the
        engine's thread, "worker" for what takes long and looks after itself. Where keys are asked for, who calls must
        have the `role`; an admin has all.
        """
        if name in self._methods:
            raise ValueError(f"{name}: another answers calls of that name already")
        self._methods[name] = Method(params, do, where, role)

    def bind(self, config: ControlConfig) -> None:
        """Take the endpoint. Raises DeviceError if it is taken or malformed, ConfigError if its keys are amiss."""
        if config.endpoint == OFF:
            return
        endpoint = calls.ENDPOINT if config.endpoint == AUTO else config.endpoint
        self._router.rcvhwm = self._router.sndhwm = 100
        self._door = security.secure(
            self._router, self._context, "control", endpoint, keys=config.keys, largest=calls.LARGEST_CALL
        )
        try:
            self._router.bind(endpoint)
        except zmq.ZMQError as error:
            # Who did not ask for control can do without it: files are heard beside a daemon that listens.
            if config.endpoint == AUTO and error.errno == zmq.EADDRINUSE:
                return
            raise DeviceError(f"control {config.endpoint}: {security.bind_repair(error)}") from None
        self.place = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def start(self) -> None:
        """Take calls from now on."""
        if self.place:
            self._thread.start()

    def work(self) -> None:
        """From the engine's thread: do what waits for it. What is beyond its deadline is not begun."""
        while self._for_engine:
            job = self._for_engine.popleft()
            if self._begin(job):
                self._answers.append((job, _perform(job)))
                self._bell.ring()

    def close(self) -> None:
        """Answer what waits with `closing` and let the endpoint go."""
        self._closing.set()
        self._bell.ring()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        self._router.close(security.LINGER_MS)
        security.end(self._context, security.LINGER_MS / 1000.0)
        self._bell.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._bell.socket, zmq.POLLIN)
        while not self._closing.is_set():
            due = min((job.due for job in self._jobs), default=time.monotonic() + 60.0)
            poller.poll(max(0, round((due - time.monotonic()) * 1000) + 1))
            self._bell.silence()
            for _ in range(_TURN):
                try:
                    frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                identity, *parts = (frame.bytes for frame in frames)
                # REQ sockets put an empty part before what they send, and whoever does expects it back. One that is all
                # there is stands before nothing: it is a call, and no JSON.
                blank = len(parts) > 1 and not parts[0]
                self._take(
                    [identity, b""] if blank else [identity],
                    parts[1:] if blank else parts,
                    self._door.roles_of(frames[-1]),
                )
            self._settle()
        self._settle()
        for job in self._jobs:
            self._send(job.route, Failed(job.call.id, Fault("closing", "the daemon stops")))

    def _take(self, route: list[bytes], parts: list[bytes], roles: frozenset[security.Role]) -> None:
        try:
            job = self._job(route, parts, roles)
        except CallError as error:
            self._send(route, Failed(calls.id_of(parts), Fault(error.code, error.text)))
            return
        if job.method.where == "control":
            self._send(route, _perform(job))
            return
        self._jobs.append(job)
        if job.method.where == "engine":
            self._for_engine.append(job)
            self._engine_bell.ring()
        else:
            self._workers += 1
            threading.Thread(target=self._labour, args=(job,), name=job.call.method, daemon=True).start()

    def _job(self, route: list[bytes], parts: list[bytes], roles: frozenset[security.Role]) -> _Job:
        call = calls.decode_call(parts)
        method = self._methods.get(call.method)
        if method is None:
            raise CallError("unknown_method", f"{call.method!r}: {did_you_mean(call.method, self._methods)}")
        if not roles:
            raise CallError("not_allowed", "the key is no longer in the daemon's list; ask for a new line there")
        if method.role not in ("any", *roles):
            raise CallError(
                "not_allowed", f"{call.method} takes a key with the role {method.role}; see streamrnn keygen"
            )
        if len(self._jobs) >= _WAITING or (method.where == "worker" and self._workers >= _WORKERS):
            raise CallError("busy", "too many calls wait for their answers; ask again")
        try:
            params = msgspec.convert(call.params, method.params)
        except msgspec.ValidationError as error:
            raise CallError("params", f"{call.method}: {mistakes.told(error, call.params, method.params)}") from None
        return _Job(route, call, method, params, time.monotonic() + call.deadline_ms / 1000.0)

    def _begin(self, job: _Job) -> bool:
        """Whether a job may still be done: once it is begun nobody says that it was not."""
        with self._lock:
            job.begun = time.monotonic() < job.due
        return job.begun

    def _labour(self, job: _Job) -> None:
        self._answers.append((job, _perform(job)))
        self._bell.ring()

    def _settle(self) -> None:
        """Send the answers that are there, and give up those that are due."""
        while self._answers:
            job, answer = self._answers.popleft()
            self._workers -= job.method.where == "worker"
            if job in self._jobs:
                self._jobs.remove(job)
                self._send(job.route, answer)
        now = time.monotonic()
        for job in [job for job in self._jobs if job.due <= now]:
            self._jobs.remove(job)
            with self._lock:
                begun = job.begun or job.method.where == "worker"
            left = "is not finished and goes on" if begun else "was not begun and will not be"
            text = f"{job.call.method} {left}, after {job.call.deadline_ms} ms"
            self._send(job.route, Failed(job.call.id, Fault("deadline", text)))

    def _send(self, route: list[bytes], answer: Answer) -> None:
        # A ROUTER drops what is for callers that are gone or do not read.
        self._router.send_multipart([*route, _encode(answer)], zmq.NOBLOCK)


def _perform(job: _Job) -> Answer:
    try:
        return Done(job.call.id, job.method.do(job.params))
    except CallError as error:
        return Failed(job.call.id, Fault(error.code, error.text))
    except UserError as error:
        return Failed(job.call.id, Fault("refused", plain(error)))
    except Exception as error:  # a fault of ours in one method must not end the daemon
        return Failed(job.call.id, Fault("internal", f"{job.call.method}: {type(error).__name__}: {plain(error)}"))


def _encode(answer: Answer) -> bytes:
    try:
        data = msgspec.json.encode(answer)
    except (TypeError, ValueError, RecursionError) as error:
        return msgspec.json.encode(Failed(answer.id, Fault("internal", plain(error))))
    if len(data) > _LARGEST_ANSWER:
        fault = Fault("too_large", f"the answer has {len(data)} bytes, {_LARGEST_ANSWER} are allowed; ask for less")
        return msgspec.json.encode(Failed(answer.id, fault))
    return data
