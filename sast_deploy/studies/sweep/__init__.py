"""Many runs that a person can leave alone: a grid in a TOML file, one folder per run, resumable, parallel."""
