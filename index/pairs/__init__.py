"""Pairs of image and text: brought in, split, checked, handed to training."""
