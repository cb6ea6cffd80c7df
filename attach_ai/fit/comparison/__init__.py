"""Against what else could be so: what is left out is predicted, by us and by honest rivals."""
