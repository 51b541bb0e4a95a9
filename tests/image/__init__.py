"""The image, built and run."""
