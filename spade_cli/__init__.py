"""The command line: options to config to step. Nothing heavy is imported at module level."""
