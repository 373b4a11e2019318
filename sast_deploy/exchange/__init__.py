"""Networks of other tools: theirs become ours here, and ours theirs."""
