"""What a study found, in tables, figures, prose and HTML."""
