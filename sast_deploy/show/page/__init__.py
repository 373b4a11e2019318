"""A dossier as one HTML page that needs nothing else: figures, template, style and a small script."""
