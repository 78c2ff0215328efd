"""FSL-GAN, its baselines and generative metrics."""
