"""Stage 1: a diffusion model as a source of attention maps and features."""
