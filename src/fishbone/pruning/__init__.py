"""Saliency, compensation, schedules and masks."""
