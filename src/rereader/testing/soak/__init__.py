"""Kills, crowds and broken files: what shows that a workspace holds. ``make soak`` runs it at length."""
