"""Writes test/golden/tensorboard/events: an event file as TensorBoard's own package writes it.

    pip install tensorboard   (2.21)
    python scripts/reference/tensorboard_events.py

The same events, with the same wall times, are written by test/train/tensorboard.test.ts; the bytes must be equal.
"""
import os

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

path = os.path.join(os.path.dirname(__file__), "../../test/golden/tensorboard/events")


def scalars(time, step, **values):
    tags = [Summary.Value(tag=tag.replace("__", "/"), simple_value=value) for tag, value in values.items()]
    return Event(wall_time=time, step=step, summary=Summary(value=tags))


events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    Event(wall_time=1700000001.5, step=1, session_log=SessionLog(status=SessionLog.START)),
    scalars(1700000001.5, 1, train__loss=5.5, train__learning_rate=0.0, train__grad_norm=1.25),
    scalars(1700000002.5, 300, train__loss=float("nan"), train__learning_rate=1e-3, train__grad_norm=float("inf")),
    scalars(1700000003.75, 5_000_000_000, eval__loss=2.1),
]
with open(path, "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()
