"""The steps: each asks the workspace for its artifact and computes what is missing."""
