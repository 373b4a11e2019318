"""Everything that decides about a network, gathered for one page."""
