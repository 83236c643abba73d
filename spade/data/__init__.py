"""Disk to samples: data sets, images, annotated maps."""
