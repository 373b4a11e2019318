"""The integer program, all that exists after the compiler: its arithmetic, profiles, records of its runs."""
