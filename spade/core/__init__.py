"""Files, workspace, device, progress: no machine learning, nothing of the field."""
