"""From predicted and annotated images to metrics; arrays only, no files."""
