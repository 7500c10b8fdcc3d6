"""What a user's own program imports to talk to a daemon: `Subscriber` to results, `Pusher` of samples, `Control`."""

from streamrnn.client.control import Control
from streamrnn.client.pusher import Pusher
from streamrnn.client.recovery import Loss
from streamrnn.client.subscriber import Subscriber

__all__ = ["Control", "Loss", "Pusher", "Subscriber"]
