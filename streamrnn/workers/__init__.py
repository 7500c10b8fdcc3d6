"""Several workers: streams are heard by processes of their own, one a core; docs/decisions/0009 says why so."""

from streamrnn.workers.elsewhere import Elsewhere, elsewhere
from streamrnn.workers.sharded import Sharded

__all__ = ["Elsewhere", "Sharded", "elsewhere"]
