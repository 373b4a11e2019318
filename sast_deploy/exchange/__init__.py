"""Networks of other frameworks in, ours out."""
