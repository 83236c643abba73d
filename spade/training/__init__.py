"""What is learned, from what, and on which schedule."""
