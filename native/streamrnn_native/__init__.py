"""A compiled step for recognizers: stages of features, recurrent cells and posteriors in one call."""

from streamrnn_native._kernel import Plan, available

__all__ = ["Plan", "available"]
