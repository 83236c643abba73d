"""Disk to samples: data sets, pictures, panoptic maps."""
