"""Saliency, compensation, schedules and masks. For any network: `Surgeon`."""

from fishbone.pruning.surgeon import Surgeon

__all__ = ["Surgeon"]
