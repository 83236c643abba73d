"""Names that are not fixed: text embeddings, and what is known of names without training on them."""
