"""Networks in other people's languages: what a program becomes for C, hardware memories and NumPy."""
