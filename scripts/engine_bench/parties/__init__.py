"""Who is measured. One module each, imported in that party's own process and nowhere else."""
