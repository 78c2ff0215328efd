"""The stage ``gan``: FSL-GAN, or the same GAN in one place."""
