"""Is the embedded world worth learning in?"""
