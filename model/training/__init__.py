"""Making a model: pairs of images and texts in, a checkpoint out."""
