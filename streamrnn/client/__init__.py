"""What a user's own program imports to talk to a daemon: `Subscriber` to its results, `Pusher` of samples."""

from streamrnn.client.pusher import Pusher
from streamrnn.client.subscriber import Subscriber

__all__ = ["Pusher", "Subscriber"]
